import ShrinkFormat
import ShrinkJSON

/// A tokenizer that `TokenizerRecipe` made, and the files that it is kept in.
public struct TrainedTokenizer: Sendable {
    static let continuingPrefix = Array("##".utf8)

    let recipe: TokenizerRecipe
    /// By id, as the files spell them.
    let tokens: [[UInt8]]
    let merges: [(UInt32, UInt32)]

    public var vocabularySize: Int { tokens.count }
    /// Merges in their order; WordPiece does without them.
    public var mergeCount: Int { merges.count }

    /// `tokenizer.json`, `tokenizer_config.json` and for WordPiece `vocab.txt`, as Hugging Face
    /// `tokenizers` and `transformers` and this project read them. Equal tokenizers give equal bytes.
    public func files() -> [(name: String, contents: [UInt8])] {
        func text(_ json: JSON) -> [UInt8] { Array(json.serialized.utf8) + [0x0A] }
        var files = [("tokenizer.json", text(tokenizerJSON)), ("tokenizer_config.json", text(configuration))]
        if recipe.kind == .wordPiece { files.append(("vocab.txt", tokens.flatMap { $0 + [0x0A] })) }
        return files
    }

    private var tokenizerJSON: JSON {
        let added = recipe.specialTokens.enumerated().map { id, text in
            object(
                ("id", .integer(id)), ("content", .string(text)), ("single_word", .bool(false)), ("lstrip", .bool(false)),
                ("rstrip", .bool(false)), ("normalized", .bool(false)), ("special", .bool(true)))
        }
        var vocabulary = JSON.Object()
        for (id, token) in tokens.enumerated() { vocabulary.append(String(decoding: token, as: UTF8.self), .integer(id)) }
        let parts = recipe.kind == .bytePair ? bytePairParts(.object(vocabulary)) : wordPieceParts(.object(vocabulary))
        return object(
            ("version", .string("1.0")), ("truncation", .null), ("padding", .null), ("added_tokens", .array(added)),
            ("normalizer", parts.normalizer), ("pre_tokenizer", parts.preTokenizer), ("post_processor", parts.postProcessor),
            ("decoder", parts.decoder), ("model", parts.model))
    }

    private typealias Parts = (normalizer: JSON, preTokenizer: JSON, postProcessor: JSON, decoder: JSON, model: JSON)

    private func bytePairParts(_ vocabulary: JSON) -> Parts {
        let byteLevel = object(
            ("type", .string("ByteLevel")), ("add_prefix_space", .bool(false)), ("trim_offsets", .bool(true)), ("use_regex", .bool(true)))
        let merges = merges.map { left, right in
            JSON.string(String(decoding: tokens[Int(left)] + [0x20] + tokens[Int(right)], as: UTF8.self))
        }
        let model = object(
            ("type", .string("BPE")), ("dropout", .null), ("unk_token", .null), ("continuing_subword_prefix", .null),
            ("end_of_word_suffix", .null), ("fuse_unk", .bool(false)), ("byte_fallback", .bool(false)), ("ignore_merges", .bool(false)),
            ("vocab", vocabulary), ("merges", .array(merges)))
        return (recipe.lowercases ? object(("type", .string("Lowercase"))) : .null, byteLevel, byteLevel, byteLevel, model)
    }

    private func wordPieceParts(_ vocabulary: JSON) -> Parts {
        let lowercase = JSON.bool(recipe.lowercases)
        let normalizer = object(
            ("type", .string("BertNormalizer")), ("clean_text", .bool(true)), ("handle_chinese_chars", .bool(true)),
            ("strip_accents", lowercase), ("lowercase", lowercase))
        func token(_ text: String, _ type: Int) -> JSON { object(("SpecialToken", object(("id", .string(text)), ("type_id", .integer(type))))) }
        func sequence(_ name: String, _ type: Int) -> JSON { object(("Sequence", object(("id", .string(name)), ("type_id", .integer(type))))) }
        func special(_ text: String) -> (String, JSON) {
            let id = recipe.specialTokens.firstIndex(of: text) ?? 0
            return (text, object(("id", .string(text)), ("ids", .array([.integer(id)])), ("tokens", .array([.string(text)]))))
        }
        let single = [token("[CLS]", 0), sequence("A", 0), token("[SEP]", 0)]
        let postProcessor = object(
            ("type", .string("TemplateProcessing")), ("single", .array(single)),
            ("pair", .array(single + [sequence("B", 1), token("[SEP]", 1)])), ("special_tokens", object(special("[CLS]"), special("[SEP]"))))
        let prefix = JSON.string(String(decoding: Self.continuingPrefix, as: UTF8.self))
        let model = object(
            ("type", .string("WordPiece")), ("unk_token", .string("[UNK]")), ("continuing_subword_prefix", prefix),
            ("max_input_chars_per_word", .integer(100)), ("vocab", vocabulary))
        let decoder = object(("type", .string("WordPiece")), ("prefix", prefix), ("cleanup", .bool(true)))
        return (normalizer, object(("type", .string("BertPreTokenizer"))), postProcessor, decoder, model)
    }

    /// The general class of transformers, which takes `tokenizer.json` as it is.
    private var configuration: JSON {
        var members = [("tokenizer_class", JSON.string("PreTrainedTokenizerFast")), ("clean_up_tokenization_spaces", .bool(false))]
        switch recipe.kind {
        case .bytePair:
            for role in ["bos_token", "eos_token", "unk_token"] { members.append((role, .string("<|endoftext|>"))) }
        case .wordPiece:
            for role in ["pad", "unk", "cls", "sep", "mask"] { members.append(("\(role)_token", .string("[\(role.uppercased())]"))) }
            members.append(("model_input_names", .array(["input_ids", "token_type_ids", "attention_mask"].map(JSON.string))))
            members.append(("do_lower_case", .bool(recipe.lowercases)))
            members.append(("strip_accents", .bool(recipe.lowercases)))
            members.append(("tokenize_chinese_chars", .bool(true)))
        }
        return .object(members.reduce(into: JSON.Object()) { $0.append($1.0, $1.1) })
    }

    private func object(_ members: (String, JSON)...) -> JSON {
        .object(members.reduce(into: JSON.Object()) { $0.append($1.0, $1.1) })
    }
}
