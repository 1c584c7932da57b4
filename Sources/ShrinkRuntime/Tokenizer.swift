import ShrinkFormat

/// Turns text into token ids with the tables of an artifact, as the Hugging Face `tokenizers`
/// library does with the files that the tables were made from.
///
/// The tables are used in place and must outlive the tokenizer. Scratch memory comes from the
/// allocator, grows with the longest text seen (about 50 bytes for each byte of text without a word
/// boundary) and is kept, so that encoding texts that are no longer allocates nothing. One thread at
/// a time; any number of tokenizers may share the tables.
public struct Tokenizer: ~Copyable {
    public let tables: TokenizerTables
    let allocator: Allocator
    private var normalizer: TokenizerNormalizer
    private var merger: BytePairMerger
    private let wordPiece: WordPieceMatcher
    private var repaired: TokenizerBuffer<UInt8>
    private var prefixed: TokenizerBuffer<UInt8>
    var message: TokenizerBuffer<UInt8>

    /// Longest text of one call, in bytes.
    public static var maximumTextByteCount: Int { 1 << 29 }

    /// Verifies the tables; throws `invalidArtifact` or `unsupportedVersion`.
    public init(tables bytes: UnsafeRawBufferPointer, allocator: Allocator) throws(RuntimeError) {
        try self.init(tables: TokenizerTables(checked: bytes), allocator: allocator)
    }

    public init(tables: TokenizerTables, allocator: Allocator) throws(RuntimeError) {
        self.tables = tables
        self.allocator = allocator
        normalizer = try TokenizerNormalizer(tables: tables, allocator: allocator)
        merger = BytePairMerger(tables: tables, allocator: allocator)
        wordPiece = WordPieceMatcher(tables: tables)
        repaired = TokenizerBuffer(allocator: allocator)
        prefixed = TokenizerBuffer(allocator: allocator)
        message = TokenizerBuffer(allocator: allocator)
    }

    public var vocabularySize: Int { Int(tables.header.vocabularySize) }
    /// Tokens at which the tokenizer's author truncates; nil for no limit. Never applied by itself.
    public var truncationLength: Int? { tables.header.truncationLength == 0 ? nil : Int(tables.header.truncationLength) }
    public func token(_ special: SpecialToken) -> UInt32? { tables.special(special) }
    /// Whether generation ends with this token.
    public func isStop(_ id: UInt32) -> Bool { tables.isStop(id) }

    /// Appends the tokens of `text` (and `pair`), placed by the tokenizer's template.
    ///
    /// Bytes that are not UTF-8 count as U+FFFD, one for each maximal ill-formed part.
    /// - Parameters:
    ///   - addSpecialTokens: whether the template's own tokens (such as `[CLS]`) are put in.
    ///   - parseSpecialTokens: whether text that spells a special token becomes that token. Leave it
    ///     out for text from strangers.
    ///
    /// Throws `limitExceeded` for a text beyond `maximumTextByteCount` and `outOfMemory`; `output` is
    /// then as it was.
    public mutating func encode(
        _ text: UnsafeBufferPointer<UInt8>, pair: UnsafeBufferPointer<UInt8>? = nil, addSpecialTokens: Bool, parseSpecialTokens: Bool,
        into output: inout TokenBuffer
    ) throws(RuntimeError) {
        _ = try encode(
            text, pair: pair, addSpecialTokens: addSpecialTokens, parseSpecialTokens: parseSpecialTokens, limit: .max, into: &output)
    }

    /// The same with at most `limit` tokens: the end of a text that has more goes, the template's tokens behind
    /// it stay. Returns whether it was cut. Throws `limitExceeded` (detail: its tokens) also for a pair that
    /// is too long, and when the template alone fills the limit.
    public mutating func encode(
        _ text: UnsafeBufferPointer<UInt8>, pair: UnsafeBufferPointer<UInt8>? = nil, addSpecialTokens: Bool, parseSpecialTokens: Bool,
        limit: Int, into output: inout TokenBuffer
    ) throws(RuntimeError) -> Bool {
        let before = output.count
        var textEnd = before
        var textCount = 0
        do throws(RuntimeError) {
            for i in 0..<tables.templateCount(pair: pair != nil) {
                let item = tables.templateItem(i, pair: pair != nil)
                let typeID = UInt32(item.typeID)
                switch item.kind {
                case .first:
                    let start = output.count
                    try append(text, parseSpecialTokens: parseSpecialTokens, typeID: typeID, to: &output)
                    textEnd = output.count
                    textCount = textEnd - start
                case .second:
                    if let pair { try append(pair, parseSpecialTokens: parseSpecialTokens, typeID: typeID, to: &output) }
                case .token: if addSpecialTokens { try output.append(id: item.id, typeID: typeID) }
                }
            }
            let excess = output.count - before - max(limit, 0)
            if excess <= 0 { return false }
            guard pair == nil, excess < textCount else {
                throw RuntimeError(.limitExceeded, "more tokens than the limit, and not to be cut", output.count - before)
            }
            output.remove(from: textEnd - excess, to: textEnd)
            return true
        } catch {
            output.truncate(to: before)
            throw error
        }
    }

    /// Appends the tokens of a text outside any template.
    mutating func append(
        _ text: UnsafeBufferPointer<UInt8>, parseSpecialTokens: Bool, typeID: UInt32, to output: inout TokenBuffer
    ) throws(RuntimeError) {
        guard let base = text.baseAddress, text.count > 0 else { return }
        guard text.count <= Self.maximumTextByteCount else {
            throw RuntimeError(.limitExceeded, "the text is too long for one call", text.count)
        }
        let wellFormed = UTF8Stream.wellFormedCount(text)
        if wellFormed == text.count {
            return try encode(
                TokenizerText(base, count: text.count), .addedTrie, parseSpecialTokens: parseSpecialTokens, typeID: typeID, into: &output)
        }
        repaired.truncate()
        try repaired.append(UnsafeBufferPointer(start: base, count: wellFormed))
        var stream = UTF8Stream()
        for i in wellFormed..<text.count { try stream.push(base[i], into: &repaired) }
        try stream.flush(into: &repaired)
        let elements = repaired.elements
        guard let base = elements.baseAddress else { return }
        try encode(
            TokenizerText(base, count: elements.count), .addedTrie, parseSpecialTokens: parseSpecialTokens, typeID: typeID, into: &output)
    }

    /// Cuts a text at the added tokens of one trie and encodes what is between them.
    private mutating func encode(
        _ text: TokenizerText, _ trie: TokenizerSection, parseSpecialTokens: Bool, typeID: UInt32, into output: inout TokenBuffer
    ) throws(RuntimeError) {
        // Up to here the text has been dealt with.
        var done = 0
        var position = tables.hasTokens(in: trie) ? 0 : text.count
        while position < text.count {
            guard let match = tables.longestAddedToken(in: trie, text.base, from: position, count: text.count) else {
                position &+= 1
                continue
            }
            var start = position
            var end = match.end
            position = match.end
            let token = tables.addedToken(match.index)
            if !parseSpecialTokens, token.flags & AddedTokenRecord.special != 0 { continue }
            if token.flags & AddedTokenRecord.singleWord != 0, touchesWord(text, start, end) { continue }
            if token.flags & AddedTokenRecord.stripsLeft != 0 {
                while start > done, isSpace(text, text.boundary(before: start)) { start = text.boundary(before: start) }
            }
            if token.flags & AddedTokenRecord.stripsRight != 0 {
                // An earlier token may have taken this white space already.
                end = max(end, done)
                while end < text.count, isSpace(text, end) { end &+= text.scalar(at: end).length }
            }
            if start > done { try encodeBetween(text.slice(done, start), trie, parseSpecialTokens, typeID, &output) }
            try output.append(id: token.id, typeID: typeID)
            done = end
        }
        if done < text.count { try encodeBetween(text.slice(done, text.count), trie, parseSpecialTokens, typeID, &output) }
    }

    private func isSpace(_ text: TokenizerText, _ position: Int) -> Bool {
        tables.characterClass(text.scalar(at: position).value).contains(.whitespace)
    }

    private func touchesWord(_ text: TokenizerText, _ start: Int, _ end: Int) -> Bool {
        if start > 0, tables.characterClass(text.scalar(at: text.boundary(before: start)).value).contains(.word) { return true }
        return end < text.count && tables.characterClass(text.scalar(at: end).value).contains(.word)
    }

    private mutating func encodeBetween(
        _ text: TokenizerText, _ trie: TokenizerSection, _ parseSpecialTokens: Bool, _ typeID: UInt32, _ output: inout TokenBuffer
    ) throws(RuntimeError) {
        guard trie == .addedTrie else { return try split(text, stage: 0, typeID: typeID, into: &output) }
        let normal = try normalizer.normalize(text)
        try encode(normal, .normalizedAddedTrie, parseSpecialTokens: parseSpecialTokens, typeID: typeID, into: &output)
    }

    /// Splits a piece by the pre-tokenizer stages from `stage` on and encodes the words.
    private mutating func split(_ text: TokenizerText, stage: Int, typeID: UInt32, into output: inout TokenBuffer) throws(RuntimeError) {
        if stage == tables.header.preTokenizerStageCount {
            switch tables.header.model {
            case .byteLevelBPE: return try merger.encode(text, typeID: typeID, into: &output)
            case .wordPiece: return try wordPiece.encode(text, typeID: typeID, into: &output)
            }
        }
        let record = tables.header.preTokenizerStages[stage]
        if record.kind == .prefixSpace {
            if text.base[0] == 0x20 { return try split(text, stage: stage + 1, typeID: typeID, into: &output) }
            prefixed.truncate()
            try prefixed.append(0x20)
            try prefixed.append(UnsafeBufferPointer(start: text.base, count: text.count))
            let elements = prefixed.elements
            guard let base = elements.baseAddress else { return }
            return try split(TokenizerText(base, count: elements.count), stage: stage + 1, typeID: typeID, into: &output)
        }
        let scanner = PieceScanner(tables: tables, text: text)
        var position = 0
        while position < text.count {
            let (end, isKept) = scanner.piece(at: position, record)
            if isKept { try split(text.slice(position, end), stage: stage + 1, typeID: typeID, into: &output) }
            position = end
        }
    }
}

extension TokenizerTables {
    /// Verifies the tables; throws `invalidArtifact` or `unsupportedVersion`.
    init(checked bytes: UnsafeRawBufferPointer) throws(RuntimeError) {
        do { self = try TokenizerTables(verifying: bytes) } catch {
            throw RuntimeError(error.isVersion ? .unsupportedVersion : .invalidArtifact, error.message, error.detail)
        }
    }
}
