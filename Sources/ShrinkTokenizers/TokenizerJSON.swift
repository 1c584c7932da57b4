import ShrinkFormat
import ShrinkJSON

extension TokenizerDefinition {
    /// Reads a `tokenizer.json` of the Hugging Face `tokenizers` library (version "1.0"), and from
    /// `config` (`tokenizer_config.json`) the roles of tokens and the chat template.
    ///
    /// Throws an error that names the place and the value of whatever is not supported.
    public init(tokenizerJSON: JSON, config: JSON? = nil, file: String, configFile: String = "tokenizer_config.json") throws(TokenizerError) {
        let root = JSONField(file: file, tokenizerJSON)
        guard root.value.object != nil else { throw root.error("expected an object") }
        let model = try root.member("model")
        let vocabulary = try Vocabulary(json: model.member("vocab"))
        let normalizer = try root.optional("normalizer").map { field throws(TokenizerError) in try Self.normalizer(field) } ?? []
        let stages = try root.optional("pre_tokenizer").map { field throws(TokenizerError) in try PreTokenizerStages(field) } ?? PreTokenizerStages()

        // A model that names no type is told apart by its members, as old files need.
        let type = try model.string("type", default: model.optional("merges") != nil ? "BPE" : "WordPiece")
        let decoder = try root.member("decoder")
        let decoderType = try decoder.string("type")
        let addedToken: ([UInt8]) throws(TokenizerError) -> Token
        switch type {
        case "BPE":
            guard decoderType == "ByteLevel" else {
                throw decoder.error("the decoder \"\(decoderType)\" is not supported with BPE; supported: ByteLevel")
            }
            guard stages.isByteLevel else {
                throw root.error("only byte-level BPE is supported, but \"pre_tokenizer\" does not end with ByteLevel")
            }
            addedToken = Vocabulary.byteLevelToken
            self.init(file: file, model: try Self.bytePair(model, vocabulary), tokens: vocabulary.byteLevelTokens())
        case "WordPiece":
            guard !stages.isByteLevel else { throw root.error("the pre-tokenizer ByteLevel is not supported with WordPiece") }
            let prefix = Array(try model.string("continuing_subword_prefix", default: "##").utf8)
            let cleanup = try Self.wordPieceDecoder(decoder, decoderType, prefix: prefix)
            addedToken = { text throws(TokenizerError) in
                try Vocabulary.wordPieceToken(text, prefix: prefix, cleanup: cleanup, file: file)
            }
            let length = try model.optional("max_input_chars_per_word").map { field throws(TokenizerError) in try field.tokenID() } ?? 100
            guard length <= TokenizerFormat.maximumWordLength else {
                throw model.error("max_input_chars_per_word is \(length); at most \(TokenizerFormat.maximumWordLength) is supported")
            }
            self.init(
                file: file, model: .wordPiece(prefix: prefix, maximumWordLength: length),
                tokens: try vocabulary.wordPieceTokens(prefix: prefix, cleanup: cleanup))
            let unknown = try model.string("unk_token", default: "[UNK]")
            guard let id = vocabulary.ids[Array(unknown.utf8)] else { throw model.error("the unknown token \"\(unknown)\" is not in the vocabulary") }
            specialTokens[.unknown] = id
        default:
            throw model.error("the model \"\(type)\" is not supported; supported: BPE (byte-level), WordPiece")
        }
        self.normalizer = normalizer
        preTokenizer = stages.stages
        if let field = root.optional("added_tokens") { try add(Self.addedTokens(field, vocabulary), token: addedToken) }
        if let field = root.optional("post_processor") { try readPostProcessor(field) }
        if let length = root.optional("truncation")?.optional("max_length") { truncationLength = try length.tokenID() }
        if let config {
            let added = addedTokens
            try apply(TokenizerConfiguration(config, file: configFile)) { text in
                let bytes = Array(text.utf8)
                return added.first { $0.content == bytes }?.id ?? vocabulary.ids[bytes]
            }
        }
    }

    private static func bytePair(_ model: JSONField, _ vocabulary: Vocabulary) throws(TokenizerError) -> Model {
        let supported = "supported: byte-level BPE without it"
        try model.refuse("dropout", unless: { $0.double == 0 }, supported)
        try model.refuse("continuing_subword_prefix", unless: { $0.string == "" }, supported)
        try model.refuse("end_of_word_suffix", unless: { $0.string == "" }, supported)
        try model.refuse("byte_fallback", unless: { $0.bool == false }, supported)
        let byteTokens = vocabulary.byteTokens()
        if let unknown = model.optional("unk_token"), unknown.value.string != "", byteTokens.contains(TokenizerFormat.noToken) {
            throw unknown.error("\(unknown.shown) is not supported where the vocabulary lacks some of the 256 bytes")
        }
        var merges: [Merge] = []
        for field in try model.member("merges").elements() {
            if let text = field.value.string {
                merges.append(try vocabulary.merge(Array(text.utf8), place: field.path))
            } else {
                let parts = try field.elements()
                guard parts.count == 2 else { throw field.error("a merge must be two tokens") }
                merges.append(
                    try vocabulary.merge(Array(parts[0].string().utf8), Array(parts[1].string().utf8), place: field.path))
            }
        }
        return .bytePair(merges: merges, byteTokens: byteTokens, ignoresMerges: try model.bool("ignore_merges", default: false))
    }

    private static func wordPieceDecoder(_ decoder: JSONField, _ type: String, prefix: [UInt8]) throws(TokenizerError) -> Bool {
        guard type == "WordPiece" else {
            throw decoder.error("the decoder \"\(type)\" is not supported with WordPiece; supported: WordPiece")
        }
        guard Array(try decoder.string("prefix").utf8) == prefix else {
            throw decoder.error("the decoder's prefix is not the model's continuing_subword_prefix")
        }
        return try decoder.bool("cleanup", default: true)
    }

    static func normalizer(_ field: JSONField) throws(TokenizerError) -> [NormalizerStep] {
        var steps: [NormalizerStep] = []
        func add(_ step: NormalizerStep) throws(TokenizerError) {
            guard !steps.contains(step) else { throw field.error("the same normalization occurs twice; once is supported") }
            steps.append(step)
        }
        let type = try field.string("type")
        switch type {
        case "BertNormalizer":
            let lowercase = try field.bool("lowercase", default: true)
            if try field.bool("clean_text", default: true) { try add(.cleanText) }
            if try field.bool("handle_chinese_chars", default: true) { try add(.padIdeographs) }
            if try field.bool("strip_accents", default: lowercase) {
                try add(.decompose)
                try add(.removeNonspacingMarks)
            }
            if lowercase { try add(.lowercase) }
        case "NFC": try add(.compose)
        case "NFD": try add(.decompose)
        case "Lowercase": try add(.lowercase)
        case "StripAccents": try add(.removeMarks)
        case "Sequence":
            for element in try field.member("normalizers").elements() {
                for step in try normalizer(element) { try add(step) }
            }
        default:
            throw field.error(
                "the normalizer \"\(type)\" is not supported; supported: BertNormalizer, NFC, NFD, Lowercase, StripAccents, Sequence")
        }
        return steps
    }

    private static func addedTokens(_ field: JSONField, _ vocabulary: Vocabulary) throws(TokenizerError) -> [AddedToken] {
        var added: [AddedToken] = []
        var seen: Set<Int> = []
        var contents: Set<[UInt8]> = []
        let fields = try field.elements()
        for element in fields {
            let id = try element.member("id").tokenID()
            let content = Array(try element.string("content").utf8)
            guard content.count <= TokenizerFormat.maximumTokenByteCount else { throw element.error("the token is too long") }
            guard vocabulary.ids[content] ?? id == id, id >= vocabulary.texts.count || vocabulary.texts[id] ?? content == content else {
                throw element.error("the added token's id \(id) and content disagree with the vocabulary")
            }
            guard id < vocabulary.texts.count + 2 * fields.count + 65_536 else { throw element.error("the id \(id) is too large for this vocabulary") }
            guard seen.insert(id).inserted, contents.insert(content).inserted else { throw element.error("the added token occurs twice") }
            let isSpecial = try element.bool("special", default: false)
            added.append(
                AddedToken(
                    id: id, content: content, stripsLeft: try element.bool("lstrip", default: false),
                    stripsRight: try element.bool("rstrip", default: false), isSingleWord: try element.bool("single_word", default: false),
                    isNormalized: try element.bool("normalized", default: !isSpecial), isSpecial: isSpecial))
        }
        return added
    }
}

extension Vocabulary {
    init(json field: JSONField) throws(TokenizerError) {
        guard let object = field.value.object else { throw field.error("expected an object of tokens and ids") }
        self.init(file: field.file)
        for (key, value) in object.members {
            let member = JSONField(file: field.file, path: "\(field.path)[\"\(key)\"]", value)
            try insert(Array(key.utf8), id: member.tokenID(), of: object.members.count, place: member.path)
        }
    }
}
