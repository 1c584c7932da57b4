import ShrinkFormat

/// How to make a tokenizer from text.
public struct TokenizerRecipe: Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        /// Byte-level BPE with the pattern of GPT-2: any text can be encoded, nothing is unknown.
        case bytePair = "bpe"
        /// WordPiece with the normalizer and the word splitting of BERT.
        case wordPiece = "wordpiece"
    }

    public var kind: Kind
    /// Tokens in all: special ones, the alphabet, and what merging makes.
    public var vocabularySize: Int
    /// Pairs that are rarer are not merged.
    public var minimumCount = 2
    /// Lower case before anything else; with WordPiece also without accents, as BERT's uncased models.
    public var lowercases: Bool
    /// WordPiece: at most so many characters, the most frequent ones, of equally frequent ones those of
    /// the lower code point. Others are left out of the words that the tokenizer is trained on.
    public var maximumAlphabet: Int?
    /// After the kind's own.
    public var extraSpecialTokens: [String] = []

    public init(_ kind: Kind, vocabularySize: Int) {
        self.kind = kind
        self.vocabularySize = vocabularySize
        lowercases = kind == .wordPiece
    }

    /// With the ids from 0 on: `<|endoftext|>`, or `[PAD]`, `[UNK]`, `[CLS]`, `[SEP]`, `[MASK]`.
    public var specialTokens: [String] {
        (kind == .bytePair ? ["<|endoftext|>"] : ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]) + extraSpecialTokens
    }

    /// A tokenizer whose words (`Tokenizer.forEachWord`) are those to train on. It has no tokens.
    public func wordSplitter() -> TokenizerDefinition {
        var definition = TokenizerDefinition(
            file: "",
            model: .bytePair(merges: [], byteTokens: [UInt32](repeating: TokenizerFormat.noToken, count: 256), ignoresMerges: false),
            tokens: [nil])
        switch kind {
        case .bytePair:
            if lowercases { definition.normalizer = [.lowercase] }
            definition.preTokenizer = [PreTokenizerStage(.gpt2)]
        case .wordPiece:
            definition.normalizer = [.cleanText, .padIdeographs]
            if lowercases { definition.normalizer += [.decompose, .removeNonspacingMarks, .lowercase] }
            definition.preTokenizer = [PreTokenizerStage(.bert)]
        }
        return definition
    }

    /// Makes the vocabulary.
    ///
    /// The same words in any order give the same tokenizer: ids go to the special tokens in their order, to
    /// the alphabet by code point, with WordPiece to the characters that continue a word by code point, and
    /// then to what is merged, in the order of `MergeQueue`. This is what the trainers of Hugging Face
    /// `tokenizers` do, save that they number the continuing characters at random. Of two ways to merge one
    /// text the first that occurs makes the token.
    ///
    /// - Parameter progress: gets the tokens there are and the tokens wanted; may throw to stop.
    /// - Throws: `TokenizerTrainingError`, and what `progress` throws.
    public func train(on words: WordCounts, progress: (Int, Int) throws -> Void = { _, _ in }) throws -> TrainedTokenizer {
        var tokens = TokenTable()
        for text in specialTokens {
            guard !text.isEmpty, text.utf8.count <= TokenizerFormat.maximumTokenByteCount else {
                throw TokenizerTrainingError("a special token must have 1 to \(TokenizerFormat.maximumTokenByteCount) bytes")
            }
            guard tokens[Array(text.utf8)] == nil else { throw TokenizerTrainingError("the special token \"\(text)\" is given twice") }
            tokens.add(Array(text.utf8))
        }
        guard words.count > 0 else {
            throw TokenizerTrainingError("there is no text to train on: the files are empty or hold nothing but white space")
        }
        var learner = MergeLearner()
        switch kind {
        case .bytePair: try addBytes(of: words, to: &tokens, &learner)
        case .wordPiece: try addCharacters(of: words, to: &tokens, &learner)
        }
        guard tokens.count <= vocabularySize else {
            throw TokenizerTrainingError(
                "a vocabulary of \(vocabularySize) is too small: \(specialTokens.count) special tokens and the alphabet take \(tokens.count)"
                    + (kind == .wordPiece ? "; ask for more, or for less of the alphabet" : ""))
        }
        var merges: [(UInt32, UInt32)] = []
        var merged: Set<UInt64> = []
        let prefix = kind == .wordPiece ? TrainedTokenizer.continuingPrefix.count : 0
        try learner.learn(
            minimumCount: minimumCount,
            isDone: {
                if tokens.count & 31 == 0 { try progress(tokens.count, vocabularySize) }
                return tokens.count >= vocabularySize
            },
            merge: { left, right in
                let text = tokens.texts[Int(left)] + tokens.texts[Int(right)].dropFirst(prefix)
                guard text.count <= TokenizerFormat.maximumTokenByteCount else { return nil }
                if merged.insert(UInt64(left) << 32 | UInt64(right)).inserted { merges.append((left, right)) }
                return tokens.add(text)
            })
        return TrainedTokenizer(recipe: self, tokens: tokens.texts, merges: merges)
    }

    private func addBytes(of words: WordCounts, to tokens: inout TokenTable, _ learner: inout MergeLearner) throws(TokenizerTrainingError) {
        var ids = [UInt32](repeating: 0, count: 256)
        let alphabet = (0...UInt8.max).sorted { ByteAlphabet.scalars[Int($0)] < ByteAlphabet.scalars[Int($1)] }
        for byte in alphabet { ids[Int(byte)] = tokens.add(ByteAlphabet.text(of: byte)) }
        var fits = true
        words.forEach { word, count in fits = learner.add(word.map { ids[Int($0)] }, weight: count) && fits }
        if !fits { throw .tooMuchText }
    }

    private func addCharacters(of words: WordCounts, to tokens: inout TokenTable, _ learner: inout MergeLearner) throws(TokenizerTrainingError) {
        var counts: [Unicode.Scalar: Int] = [:]
        words.forEach { word, count in
            for scalar in String(decoding: word, as: UTF8.self).unicodeScalars { counts[scalar, default: 0] += count }
        }
        var alphabet = counts.keys.sorted { counts[$0, default: 0] == counts[$1, default: 0] ? $0 < $1 : counts[$0, default: 0] > counts[$1, default: 0] }
        if let maximumAlphabet { alphabet = Array(alphabet.prefix(maximumAlphabet)) }
        var first: [Unicode.Scalar: UInt32] = [:]
        for scalar in alphabet.sorted() { first[scalar] = tokens.add(Array(String(scalar).utf8)) }
        var isContinuing: Set<Unicode.Scalar> = []
        words.forEach { word, _ in
            isContinuing.formUnion(String(decoding: word, as: UTF8.self).unicodeScalars.dropFirst().lazy.filter { first[$0] != nil })
        }
        var other: [Unicode.Scalar: UInt32] = [:]
        for scalar in isContinuing.sorted() { other[scalar] = tokens.add(TrainedTokenizer.continuingPrefix + Array(String(scalar).utf8)) }
        var fits = true
        words.forEach { word, count in
            let symbols = String(decoding: word, as: UTF8.self).unicodeScalars.enumerated().compactMap { $0 == 0 ? first[$1] : other[$1] }
            fits = learner.add(symbols, weight: count) && fits
        }
        if !fits { throw .tooMuchText }
    }
}

/// Why no tokenizer could be made.
public struct TokenizerTrainingError: Error, Equatable, CustomStringConvertible {
    public var description: String

    init(_ description: String) { self.description = description }

    static let tooMuchText = TokenizerTrainingError("the distinct words have more than 4 billion characters; train on a part of the text")
}

/// Texts of tokens by id and back.
private struct TokenTable {
    private(set) var texts: [[UInt8]] = []
    private var ids: [[UInt8]: UInt32] = [:]

    var count: Int { texts.count }

    subscript(text: [UInt8]) -> UInt32? { ids[text] }

    /// The id of a text, which may be new.
    @discardableResult
    mutating func add(_ text: [UInt8]) -> UInt32 {
        if let id = ids[text] { return id }
        let id = UInt32(texts.count)
        texts.append(text)
        ids[text] = id
        return id
    }
}
