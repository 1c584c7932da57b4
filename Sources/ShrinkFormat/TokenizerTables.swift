/// The `tokenizer` entry of an artifact: everything that turns text into token ids and back, as
/// little-endian tables that are used in place.
///
/// ```
/// header (256 + 8 × sections) | sections, each at a multiple of 8, in the order of `TokenizerSection`
/// ```
///
/// Absent sections have offset and size 0. All numbers are untrusted until `TokenizerTables.init`
/// has accepted the whole; the lookups after that check nothing.
public enum TokenizerFormat {
    public static let magic: UInt64 = 0x4E4B_4F54_4B52_4853  // "SHRKTOKN"
    public static let majorVersion: UInt16 = 0
    public static let minorVersion: UInt16 = 1
    public static let headerByteCount = 256 + TokenizerSection.allCases.count * 8
    public static let sectionAlignment = 8
    /// Indices of hash slots have 24 bits, one value of which means "empty".
    public static let maximumVocabulary = (1 << 24) - 1
    public static let maximumNormalizerSteps = 8
    public static let maximumPreTokenizerStages = 8
    /// Slots that a lookup may visit; the writer enlarges its table until this holds.
    public static let maximumProbes = 64
    /// Bytes of the longest token, added token or not.
    public static let maximumTokenByteCount = 4096
    /// Characters of the longest word that WordPiece may be told to look at.
    public static let maximumWordLength = 65_536
    public static let maximumTemplateItems = 64
    /// Most scalars that one scalar decomposes or is lowercased to.
    public static let maximumMappingLength = 4
    /// Means "there is no such token" wherever an id is stored.
    public static let noToken = UInt32.max
}

public enum TokenizerSection: Int, CaseIterable, Sendable {
    /// Vocabulary + 1 offsets into `tokenBytes`, 32 bits each.
    case tokenOffsets = 0
    /// What each token decodes to, for WordPiece with the prefix of continuing pieces.
    case tokenBytes = 1
    /// `TokenFlags` of every token, 8 bits each.
    case tokenFlags = 2
    /// Hash slots over the tokens that a model may look up by their bytes.
    case vocabularySlots = 3
    /// BPE: the token of each of the 256 bytes, or `noToken`.
    case byteTokens = 4
    /// BPE: left, right and merged token, 32 bits each, by rank.
    case merges = 5
    /// Hash slots over `merges`, by pair.
    case mergeSlots = 6
    /// For each 128 code points the number of their block in `classBlocks`, 16 bits each.
    case classIndex = 7
    /// 128 × `CharacterClass`, 16 bits each.
    case classBlocks = 8
    /// `ScalarMap`s: a count, then (scalar, first << 8 | length) by scalar, then the scalars mapped to.
    case decompositions = 9
    case lowercase = 10
    /// (first, second, composite), 32 bits each, by first and second.
    case compositions = 11
    /// (first, last << 8 | class), 32 bits each, ascending.
    case combiningClasses = 12
    /// `AddedTokenRecord`s.
    case addedTokens = 13
    /// Tries over the contents of added tokens, looked for before and after normalization.
    case addedTrie = 14
    case normalizedAddedTrie = 15
    /// `TemplateItem`s for one text and for a pair.
    case singleTemplate = 16
    case pairTemplate = 17
    /// Tokens that end a generation, 32 bits each.
    case stopTokens = 18
    /// Text of the system message that the chat template adds when the conversation has none.
    case defaultSystemMessage = 19
    /// WordPiece: what the pieces inside a word start with.
    case continuingPrefix = 20
}

public enum TokenizerModel: UInt8, Sendable {
    case byteLevelBPE = 0, wordPiece = 1
}

public enum ChatTemplateKind: UInt8, Sendable {
    case none = 0
    /// `<|im_start|>role\ncontent<|im_end|>\n` for each message.
    case chatML = 1
}

/// Tokens with a role, by their place in the header.
public enum SpecialToken: Int, CaseIterable, Sendable {
    case unknown = 0, beginning = 1, end = 2, padding = 3, classification = 4, separator = 5, mask = 6
    case chatStart = 7, chatEnd = 8
}

public struct TokenFlags: OptionSet, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// Left out when decoding without special tokens.
    public static let special = TokenFlags(rawValue: 1)
    /// The id is not in use.
    public static let absent = TokenFlags(rawValue: 2)
    /// WordPiece: no space goes before this token.
    public static let joined = TokenFlags(rawValue: 4)
    /// WordPiece: starts with `continuingPrefix`.
    public static let continuing = TokenFlags(rawValue: 8)
}

/// What the tokenizer's normalizer and pre-tokenizer must know of a code point. A writer sets only
/// the bits that its steps look at, so that more blocks are equal.
public struct CharacterClass: OptionSet, Sendable {
    public let rawValue: UInt16
    @inline(__always) public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// `\p{L}`, `\p{N}` and `\s` of the pre-tokenizer patterns.
    public static let letter = CharacterClass(rawValue: 1 << 0)
    public static let number = CharacterClass(rawValue: 1 << 1)
    public static let whitespace = CharacterClass(rawValue: 1 << 2)
    /// What the `Digits` pre-tokenizer splits at.
    public static let numeric = CharacterClass(rawValue: 1 << 3)
    /// What BERT's pre-tokenizer isolates.
    public static let punctuation = CharacterClass(rawValue: 1 << 4)
    /// `\w`.
    public static let word = CharacterClass(rawValue: 1 << 5)
    /// What `clean_text` removes.
    public static let control = CharacterClass(rawValue: 1 << 6)
    /// What `handle_chinese_chars` puts between spaces.
    public static let ideograph = CharacterClass(rawValue: 1 << 7)
    /// What BERT's normalizer removes as an accent.
    public static let nonspacingMark = CharacterClass(rawValue: 1 << 8)
    /// What `StripAccents` removes.
    public static let mark = CharacterClass(rawValue: 1 << 9)
    /// Has an entry in `decompositions`, or is a Hangul syllable.
    public static let decomposes = CharacterClass(rawValue: 1 << 10)
    /// Has a canonical combining class other than 0.
    public static let combining = CharacterClass(rawValue: 1 << 11)
    /// Text without any of these is in normalization form C.
    public static let mayChangeInNFC = CharacterClass(rawValue: 1 << 12)
    /// Has an entry in `lowercase`.
    public static let hasLowercase = CharacterClass(rawValue: 1 << 13)
}

public enum NormalizerStep: UInt8, Sendable {
    case cleanText = 1, padIdeographs = 2, decompose = 3, compose = 4
    case removeNonspacingMarks = 5, removeMarks = 6, lowercase = 7
}

public enum PreTokenizerKind: UInt8, Sendable {
    /// White space removed, punctuation isolated.
    case bert = 1
    case whitespaceSplit = 2
    /// `\w+|[^\w\s]+`
    case words = 3
    /// Numeric characters apart; parameter 1: each alone.
    case digits = 4
    /// A space before a piece that does not start with one.
    case prefixSpace = 5
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
    case gpt2 = 6
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,n}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
    /// parameter: n.
    case tiktoken = 7
}

/// One stage of the pre-tokenizer; every stage splits the pieces of the one before.
public struct PreTokenizerStage: Equatable, Sendable {
    public static let byteCount = 4
    public var kind: PreTokenizerKind
    public var parameter: UInt8

    public init(_ kind: PreTokenizerKind, _ parameter: UInt8 = 0) {
        self.kind = kind
        self.parameter = parameter
    }
}

/// How an added token is found in text.
public struct AddedTokenRecord: Equatable, Sendable {
    public static let byteCount = 8
    public static let stripsLeft: UInt32 = 1
    public static let stripsRight: UInt32 = 2
    public static let singleWord: UInt32 = 4
    public static let special: UInt32 = 8
    public var id: UInt32
    public var flags: UInt32

    public init(id: UInt32, flags: UInt32) {
        self.id = id
        self.flags = flags
    }
}

/// One place of a template: the first or second text, or a token.
public struct TemplateItem: Equatable, Sendable {
    public static let byteCount = 8
    public enum Kind: UInt8, Sendable { case first = 0, second = 1, token = 2 }
    public var kind: Kind
    public var typeID: UInt8
    public var id: UInt32

    public init(_ kind: Kind, typeID: UInt8, id: UInt32 = 0) {
        self.kind = kind
        self.typeID = typeID
        self.id = id
    }
}

/// A node of an added-token trie: children are a list linked by increasing index and byte.
///
/// A trie section is 256 root children by byte, 32 bits each (0: none), then the nodes; node 0 is
/// not used.
public struct TrieNode: Equatable, Sendable {
    public static let byteCount = 16
    public static let rootByteCount = 256 * 4
    /// The byte of this step, and its distance from the start << 8.
    public var byte: UInt32
    public var firstChild: UInt32
    public var nextSibling: UInt32
    /// Index of the added token that ends here, + 1.
    public var value: UInt32

    public init(byte: UInt32, firstChild: UInt32 = 0, nextSibling: UInt32 = 0, value: UInt32 = 0) {
        self.byte = byte
        self.firstChild = firstChild
        self.nextSibling = nextSibling
        self.value = value
    }
}

/// The fixed part of the tables.
public struct TokenizerHeader: Sendable {
    public var majorVersion = TokenizerFormat.majorVersion
    public var minorVersion = TokenizerFormat.minorVersion
    public var model = TokenizerModel.byteLevelBPE
    public var chatTemplate = ChatTemplateKind.none
    /// BPE: a piece that is a token as a whole is not merged.
    public var ignoresMerges = false
    public var vocabularySize: UInt32 = 0
    public var maximumTokenByteCount: UInt32 = 0
    /// WordPiece: a word with more characters is the unknown token.
    public var maximumWordLength: UInt32 = 0
    /// Tokens at which the tokenizer's author truncates; 0 for no limit. Recorded, not applied.
    public var truncationLength: UInt32 = 0
    public var specialTokens = InlineArray<9, UInt32>(repeating: TokenizerFormat.noToken)
    public var normalizerSteps = InlineArray<8, UInt8>(repeating: 0)
    public var preTokenizerStageCount = 0
    public var preTokenizerStages = InlineArray<8, PreTokenizerStage>(repeating: PreTokenizerStage(.gpt2))

    public init() {}
}

/// The hash functions that the writer and the reader of the tables share.
public enum TokenizerHash {
    /// FNV-1a, offset basis and prime of 64 bits; can be continued byte by byte.
    public static let seed: UInt64 = 0xCBF2_9CE4_8422_2325

    @inline(__always) public static func appending(_ byte: UInt8, to hash: UInt64) -> UInt64 {
        (hash ^ UInt64(byte)) &* 0x100_0000_01B3
    }

    @inline(__always) public static func pair(_ left: UInt32, _ right: UInt32) -> UInt64 {
        let key = (UInt64(left) << 32 | UInt64(right)) &* 0x9E37_79B9_7F4A_7C15
        return key ^ key >> 32
    }

    /// The mixed hash: its top bits choose the slot, `fingerprint` goes into the slot.
    @inline(__always) public static func mixed(_ hash: UInt64) -> UInt64 {
        (hash ^ hash >> 29) &* 0xBF58_476D_1CE4_E5B9
    }

    @inline(__always) public static func fingerprint(_ mixed: UInt64) -> UInt32 {
        UInt32(truncatingIfNeeded: mixed >> 16) & 0xFF
    }
}

/// Where and why bytes are not tokenizer tables that this reader can use.
public struct TokenizerTablesError: Error, Sendable {
    public var isVersion: Bool
    public var message: StaticString
    /// A section or byte number that belongs to the message.
    public var detail: Int

    init(_ message: StaticString, _ detail: Int, isVersion: Bool = false) {
        self.message = message
        self.detail = detail
        self.isVersion = isVersion
    }
}
