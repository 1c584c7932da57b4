import ShrinkFormat
import ShrinkJSON

extension TokenizerDefinition {
    /// BERT's tokenizer from its `vocab.txt`, one token a line, with the options and names of tokens of
    /// `tokenizer_config.json` (`do_lower_case`, `strip_accents`, `tokenize_chinese_chars`, …).
    public init(vocabTxt: [UInt8], config: JSON? = nil, file: String, configFile: String = "tokenizer_config.json") throws(TokenizerError) {
        var lines = vocabTxt.split(separator: 0x0A, omittingEmptySubsequences: false).map { $0.last == 0x0D ? $0.dropLast() : $0 }
        if lines.last?.isEmpty == true { lines.removeLast() }
        var vocabulary = Vocabulary(file: file)
        for (id, line) in lines.enumerated() {
            let place = "line \(id + 1)"
            guard String(validating: line, as: UTF8.self) != nil else { throw TokenizerError(file: file, place: place, "not valid UTF-8") }
            try vocabulary.insert(Array(line), id: id, of: lines.count, place: place)
        }
        let configuration = try TokenizerConfiguration(config ?? .object(JSON.Object()), file: configFile)
        try self.init(bert: vocabulary, configuration: configuration)
        apply(configuration) { vocabulary.ids[Array($0.utf8)] }
    }

    /// The tokenizer of BERT over a vocabulary.
    init(bert vocabulary: Vocabulary, configuration: TokenizerConfiguration) throws(TokenizerError) {
        let prefix = Array("##".utf8)
        self.init(
            file: vocabulary.file, model: .wordPiece(prefix: prefix, maximumWordLength: 100),
            tokens: try vocabulary.wordPieceTokens(prefix: prefix, cleanup: true))
        let lowercase = try configuration.bool("do_lower_case", default: true)
        normalizer = [.cleanText]
        if try configuration.bool("tokenize_chinese_chars", default: true) { normalizer.append(.padIdeographs) }
        if try configuration.bool("strip_accents", default: lowercase) { normalizer += [.decompose, .removeNonspacingMarks] }
        if lowercase { normalizer.append(.lowercase) }
        preTokenizer = [PreTokenizerStage(.bert)]

        let standard: [(SpecialToken, String, isRequired: Bool)] = [
            (.unknown, "[UNK]", true), (.classification, "[CLS]", true), (.separator, "[SEP]", true),
            (.padding, "[PAD]", false), (.mask, "[MASK]", false),
        ]
        var added: [AddedToken] = []
        for (role, name, isRequired) in standard {
            let name = configuration.roles[role] ?? name
            guard let id = vocabulary.ids[Array(name.utf8)] else {
                guard isRequired else { continue }
                throw TokenizerError(
                    file: file, "the special token \"\(name)\" is not in the vocabulary; name the right one in \(configuration.root.file)")
            }
            specialTokens[role] = id
            if !added.contains(where: { $0.id == id }) { added.append(AddedToken(id: id, content: Array(name.utf8), isSpecial: true)) }
        }
        try add(added) { text in Token(bytes: text, isLookedUp: false) }
        if let first = specialTokens[.classification], let last = specialTokens[.separator] {
            setEncoderTemplates(first: first, last: last, isRoberta: false)
        }
        if let length = configuration.root.optional("model_max_length")?.value.int, length > 0, length < 1 << 30 {
            truncationLength = length
        }
    }
}
