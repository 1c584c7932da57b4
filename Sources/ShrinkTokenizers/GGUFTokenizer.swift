import ShrinkFormat
import ShrinkJSON

/// The `tokenizer.ggml.*` metadata of a GGUF file.
public struct GGUFTokenizerMetadata: Sendable {
    /// `tokenizer.ggml.model`: "gpt2" is byte-level BPE, "bert" is WordPiece.
    public var model: String
    /// `tokenizer.ggml.pre`: which pre-tokenizer a "gpt2" model has.
    public var pre: String?
    public var tokens: [[UInt8]]
    /// Each two tokens with a space between them, by rank.
    public var merges: [[UInt8]] = []
    /// `tokenizer.ggml.token_type`; empty when the file has none.
    public var tokenTypes: [Int32] = []
    public var bos: Int?
    public var eos: Int?
    public var unknown: Int?
    public var padding: Int?
    public var classification: Int?
    public var separator: Int?
    public var mask: Int?
    public var addBos = false
    public var addEos = false
    public var chatTemplate: String?

    public init(model: String, pre: String? = nil, tokens: [[UInt8]]) {
        self.model = model
        self.pre = pre
        self.tokens = tokens
    }
}

extension TokenizerDefinition {
    /// Throws an error that names the metadata key of what is missing or not supported.
    public init(gguf: GGUFTokenizerMetadata, file: String) throws(TokenizerError) {
        func error(_ key: String, _ reason: String) -> TokenizerError {
            TokenizerError(file: file, place: "tokenizer.ggml.\(key)", reason)
        }
        guard gguf.tokenTypes.isEmpty || gguf.tokenTypes.count == gguf.tokens.count else {
            throw error("token_type", "\(gguf.tokenTypes.count) types for \(gguf.tokens.count) tokens")
        }
        var vocabulary = Vocabulary(file: file)
        let isBERT = gguf.model == "bert"
        for (id, text) in gguf.tokens.enumerated() {
            let place = "tokenizer.ggml.tokens[\(id)]"
            guard String(validating: text, as: UTF8.self) != nil else { throw TokenizerError(file: file, place: place, "not valid UTF-8") }
            try vocabulary.insert(isBERT ? Self.wordPieceText(text) : text, id: id, of: gguf.tokens.count, place: place)
        }
        switch gguf.model {
        case "gpt2": try self.init(gpt2: gguf, vocabulary: vocabulary, error: error)
        case "bert":
            // Only the vocabulary tells whether the model knows upper case.
            let isCased = gguf.tokens.contains { text in text.first != 0x5B && text.contains { (0x41...0x5A).contains($0) } }
            var options = JSON.Object()
            options.append("do_lower_case", .bool(!isCased))
            try self.init(bert: vocabulary, configuration: TokenizerConfiguration(.object(options), file: file))
        default:
            throw error("model", "the tokenizer \"\(gguf.model)\" is not supported; supported: gpt2 (byte-level BPE), bert (WordPiece)")
        }
        let roles: [(SpecialToken, String, Int?)] = [
            (.beginning, "bos_token_id", gguf.bos), (.end, "eos_token_id", gguf.eos), (.unknown, "unknown_token_id", gguf.unknown),
            (.padding, "padding_token_id", gguf.padding), (.classification, "cls_token_id", gguf.classification),
            (.separator, "seperator_token_id", gguf.separator), (.mask, "mask_token_id", gguf.mask),
        ]
        for (role, key, id) in roles {
            guard let id else { continue }
            guard gguf.tokens.indices.contains(id) else { throw error(key, "\(id) is not in the vocabulary of \(gguf.tokens.count) tokens") }
            specialTokens[role] = id
        }
        if let end = gguf.eos { stopTokens = [end] }
        if let jinja = gguf.chatTemplate { setChatTemplate(jinja) { vocabulary.ids[Array($0.utf8)] } }
    }

    private init(
        gpt2 gguf: GGUFTokenizerMetadata, vocabulary: Vocabulary, error: (String, String) -> TokenizerError
    ) throws(TokenizerError) {
        var merges: [Merge] = []
        for (rank, merge) in gguf.merges.enumerated() {
            merges.append(try vocabulary.merge(merge, place: "tokenizer.ggml.merges[\(rank)]"))
        }
        let ignoresMerges = gguf.pre == "llama-bpe"
        self.init(
            file: vocabulary.file,
            model: .bytePair(merges: merges, byteTokens: vocabulary.byteTokens(), ignoresMerges: ignoresMerges),
            tokens: vocabulary.byteLevelTokens())
        switch gguf.pre {
        case "gpt-2": preTokenizer = [PreTokenizerStage(.gpt2)]
        case "smollm", "starcoder": preTokenizer = [PreTokenizerStage(.digits, 1), PreTokenizerStage(.gpt2)]
        case "qwen2":
            normalizer = [.compose]
            preTokenizer = [PreTokenizerStage(.tiktoken, 1)]
        case "llama-bpe": preTokenizer = [PreTokenizerStage(.tiktoken, 3)]
        default:
            throw error(
                "pre", "the pre-tokenizer \"\(gguf.pre ?? "")\" is not supported; supported: gpt-2, smollm, starcoder, qwen2, llama-bpe")
        }
        // Token types of the format: 2 unknown, 3 control, 4 user-defined.
        var added: [AddedToken] = []
        for (id, type) in gguf.tokenTypes.enumerated() where (2...4).contains(type) {
            added.append(AddedToken(id: id, content: gguf.tokens[id], isSpecial: type != 4))
        }
        try add(added, token: Vocabulary.byteLevelToken)
        let begin = gguf.addBos ? try item(gguf.bos, "bos_token_id", error) : []
        let end = gguf.addEos ? try item(gguf.eos, "eos_token_id", error) : []
        singleTemplate = begin + [TemplateItem(.first, typeID: 0)] + end
        pairTemplate = singleTemplate + begin.map { TemplateItem(.token, typeID: 1, id: $0.id) }
            + [TemplateItem(.second, typeID: 1)] + end.map { TemplateItem(.token, typeID: 1, id: $0.id) }
    }

    private func item(_ id: Int?, _ key: String, _ error: (String, String) -> TokenizerError) throws(TokenizerError) -> [TemplateItem] {
        guard let id, tokens.indices.contains(id) else { throw error(key, "the file asks for this token but does not have it") }
        return [TemplateItem(.token, typeID: 0, id: UInt32(id))]
    }

    /// GGUF marks the start of a word (U+2581) where `vocab.txt` marks what continues one ("##").
    private static func wordPieceText(_ text: [UInt8]) -> [UInt8] {
        let mark = Array("\u{2581}".utf8)
        if text.starts(with: mark) { return Array(text.dropFirst(mark.count)) }
        if text.first == UInt8(ascii: "["), text.last == UInt8(ascii: "]") { return text }
        return Array("##".utf8) + text
    }
}
