import ShrinkFormat

/// A tokenizer as its files describe it, ready to be written as the runtime's tables.
public struct TokenizerDefinition: Sendable {
    /// Ids are below this.
    public static let maximumVocabulary = TokenizerFormat.maximumVocabulary

    /// A token that encoding may produce or decoding may meet.
    struct Token: Sendable {
        /// What it decodes to (see `TokenizerSection.tokenBytes`).
        var bytes: [UInt8]
        /// Whether the model may look it up by its bytes.
        var isLookedUp: Bool
        var flags: TokenFlags = []
    }

    struct AddedToken: Sendable {
        var id: Int
        var content: [UInt8]
        var stripsLeft = false
        var stripsRight = false
        var isSingleWord = false
        /// Looked for in the text after normalization, with its own content normalized.
        var isNormalized = false
        var isSpecial = false
    }

    enum Model: Sendable {
        /// Merges by rank.
        case bytePair(merges: [Merge], byteTokens: [UInt32], ignoresMerges: Bool)
        case wordPiece(prefix: [UInt8], maximumWordLength: Int)
    }

    struct Merge: Sendable {
        var left: UInt32
        var right: UInt32
        var merged: UInt32
    }

    /// Where the tokenizer comes from, for errors.
    var file: String
    var model: Model
    /// By id; nil where an id is not in use.
    var tokens: [Token?]
    var addedTokens: [AddedToken] = []
    var normalizer: [NormalizerStep] = []
    var preTokenizer: [PreTokenizerStage] = []
    var singleTemplate = [TemplateItem(.first, typeID: 0)]
    var pairTemplate = [TemplateItem(.first, typeID: 0), TemplateItem(.second, typeID: 1)]
    var specialTokens: [SpecialToken: Int] = [:]
    var chat = ChatTemplate.none

    /// Tokens that end a generation. Starts as the files say; the caller may change it.
    public var stopTokens: [Int] = []
    /// Tokens at which the tokenizer's author truncates; recorded in the tables, not applied.
    public internal(set) var truncationLength: Int?

    public var vocabularySize: Int { tokens.count }
    public var beginningToken: Int? { specialTokens[.beginning] }
    public var endToken: Int? { specialTokens[.end] }
    public var paddingToken: Int? { specialTokens[.padding] }
    /// The name of the chat template, such as "smollm2"; nil when there is none or it is unknown.
    public var chatTemplateName: String? { chat.name }

    /// Puts added tokens into the vocabulary, once `normalizer` is known; `token` makes the entry of a
    /// new one from its text.
    mutating func add(_ added: [AddedToken], token makeToken: ([UInt8]) throws(TokenizerError) -> Token) throws(TokenizerError) {
        for token in added where !token.content.isEmpty {
            if token.id >= tokens.count { tokens.append(contentsOf: repeatElement(nil, count: token.id + 1 - tokens.count)) }
            // The library decodes an added token to what it looks for: its content after normalization.
            let text = token.isNormalized ? TextNormalization.normalized(token.content, by: normalizer) : token.content
            guard text.count <= TokenizerFormat.maximumTokenByteCount else {
                throw TokenizerError(file: file, "the added token \(token.id) is longer than \(TokenizerFormat.maximumTokenByteCount) bytes")
            }
            var entry: Token
            if let known = tokens[token.id], text == token.content { entry = known } else { entry = try makeToken(text) }
            if text != token.content { entry.isLookedUp = false }
            if token.isSpecial { entry.flags.insert(.special) }
            tokens[token.id] = entry
            addedTokens.append(token)
        }
    }
}
