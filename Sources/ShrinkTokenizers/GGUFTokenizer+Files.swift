import ShrinkFormat
import ShrinkJSON

extension GGUFTokenizerMetadata {
    /// `tokenizer.json` and `tokenizer_config.json` for the same tokenizer, as Hugging Face `tokenizers` and
    /// `transformers` and this project read them: what a checkpoint needs that is made of a GGUF file.
    ///
    /// Throws an error that names the metadata key of what is missing or not supported.
    public func files(file: String) throws(TokenizerError) -> [(name: String, contents: [UInt8])] {
        _ = try TokenizerDefinition(gguf: self, file: file)
        guard model == "gpt2" else {
            throw TokenizerError(
                file: file, place: "tokenizer.ggml.model",
                "only a byte-level tokenizer (gpt2) can be written as tokenizer.json; take the files of the model's Hugging Face directory")
        }
        func contents(_ json: JSON) -> [UInt8] { Array(json.serialized.utf8) + [0x0A] }
        return [("tokenizer.json", contents(tokenizerJSON)), ("tokenizer_config.json", contents(configuration))]
    }

    private func text(_ id: Int) -> String { String(decoding: tokens[id], as: UTF8.self) }

    private var tokenizerJSON: JSON {
        var vocabulary = JSON.Object()
        for id in tokens.indices { vocabulary.append(text(id), .integer(id)) }
        // Token types of the format: 2 unknown, 3 control, 4 user-defined.
        let added = tokenTypes.enumerated().filter { (2...4).contains($0.element) && !tokens[$0.offset].isEmpty }.map { id, type in
            JSON.object([
                "id": .integer(id), "content": .string(text(id)), "single_word": .bool(false), "lstrip": .bool(false), "rstrip": .bool(false),
                "normalized": .bool(false), "special": .bool(type != 4),
            ])
        }
        let model = JSON.object([
            "type": .string("BPE"), "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null, "end_of_word_suffix": .null,
            "fuse_unk": .bool(false), "byte_fallback": .bool(false), "ignore_merges": .bool(pre == "llama-bpe"), "vocab": .object(vocabulary),
            "merges": .array(merges.map { .string(String(decoding: $0, as: UTF8.self)) }),
        ])
        return .object([
            "version": .string("1.0"), "truncation": .null, "padding": .null, "added_tokens": .array(added),
            "normalizer": pre == "qwen2" ? .object(["type": .string("NFC")]) : .null, "pre_tokenizer": preTokenizer,
            "post_processor": postProcessor, "decoder": byteLevel(usesPattern: true), "model": model,
        ])
    }

    private func byteLevel(usesPattern: Bool) -> JSON {
        .object([
            "type": .string("ByteLevel"), "add_prefix_space": .bool(false), "trim_offsets": .bool(true), "use_regex": .bool(usesPattern),
        ])
    }

    private var preTokenizer: JSON {
        func sequence(_ first: JSON, usesPattern: Bool) -> JSON {
            .object(["type": .string("Sequence"), "pretokenizers": .array([first, byteLevel(usesPattern: usesPattern)])])
        }
        func split(_ pattern: String) -> JSON {
            .object([
                "type": .string("Split"), "pattern": .object(["Regex": .string(pattern)]), "behavior": .string("Isolated"), "invert": .bool(false),
            ])
        }
        switch pre {
        case "smollm", "starcoder": return sequence(.object(["type": .string("Digits"), "individual_digits": .bool(true)]), usesPattern: true)
        case "qwen2": return sequence(split(PreTokenizerStages.qwen2Pattern), usesPattern: false)
        case "llama-bpe": return sequence(split(PreTokenizerStages.llama3Pattern), usesPattern: false)
        default: return byteLevel(usesPattern: true)
        }
    }

    /// The beginning and end that the file asks for around each text.
    private var postProcessor: JSON {
        let first = addBos ? bos : nil, last = addEos ? eos : nil, around = [first, last].compactMap { $0 }
        guard !around.isEmpty else { return byteLevel(usesPattern: true) }
        func sequence(_ name: String, _ type: Int) -> [JSON] {
            func token(_ id: Int?) -> [JSON] {
                id.map { [.object(["SpecialToken": .object(["id": .string(text($0)), "type_id": .integer(type)])])] } ?? []
            }
            return token(first) + [.object(["Sequence": .object(["id": .string(name), "type_id": .integer(type)])])] + token(last)
        }
        var special = JSON.Object()
        for id in around {
            special.append(text(id), .object(["id": .string(text(id)), "ids": .array([.integer(id)]), "tokens": .array([.string(text(id))])]))
        }
        return .object([
            "type": .string("TemplateProcessing"), "single": .array(sequence("A", 0)), "pair": .array(sequence("A", 0) + sequence("B", 1)),
            "special_tokens": .object(special),
        ])
    }

    /// The general class of transformers, which takes `tokenizer.json` as it is.
    private var configuration: JSON {
        var object = JSON.Object()
        object.append("tokenizer_class", .string("PreTrainedTokenizerFast"))
        object.append("clean_up_tokenization_spaces", .bool(false))
        for (role, id) in [("bos_token", bos), ("eos_token", eos), ("unk_token", unknown), ("pad_token", padding)] {
            if let id { object.append(role, .string(text(id))) }
        }
        if let chatTemplate { object.append("chat_template", .string(chatTemplate)) }
        return .object(object)
    }
}
