import ShrinkFormat
import ShrinkRuntime
import ShrinkTokenizers

/// Turns text files into encoded examples with a tokenizer; special tokens that a text spells are plain text.
public final class ExampleEncoder {
    private var tokenizer: Tokenizer
    private let tables: UnsafeMutableRawBufferPointer
    private var buffer = TokenBuffer(allocator: .system)
    private let template: SequenceTemplate

    /// - Parameter tables: `TokenizerDefinition.encodedTables()`, or the `tokenizer` entry of an artifact.
    /// - Throws: `RuntimeError` when they are not sound.
    public init(tables encoded: [UInt8]) throws {
        let tables = UnsafeMutableRawBufferPointer.allocate(byteCount: encoded.count, alignment: 64)
        tables.copyBytes(from: encoded)
        self.tables = tables
        do { tokenizer = try Tokenizer(tables: UnsafeRawBufferPointer(tables), allocator: .system) } catch {
            tables.deallocate()
            throw error
        }
        template = SequenceTemplate(tokenizer.tables)
    }

    deinit { tables.deallocate() }

    public var vocabularySize: Int { tokenizer.vocabularySize }
    public func token(_ role: SpecialToken) -> Int32? { tokenizer.token(role).map(Int32.init) }

    /// For each token whether it continues a word (WordPiece `##`).
    public var continuesWord: [Bool] { (0..<vocabularySize).map { tokenizer.tables.flags(ofToken: $0).contains(.continuing) } }

    /// The tokens of a text alone.
    /// - Throws: `RuntimeError` for want of memory.
    public func tokens(of text: [UInt8]) throws -> [Int32] {
        buffer.truncate()
        try text.withUnsafeBufferPointer { text throws(RuntimeError) in
            try tokenizer.append(plainText: text, to: &buffer)
        }
        return buffer.withIDs { $0.map(Int32.init) }
    }

    /// The tokens of a text or a pair between the tokenizer's special ones, at most `limit`.
    public func example(_ first: String, _ second: String? = nil, limit: Int) throws -> Example {
        template.assemble(try tokens(of: Array(first.utf8)), try second.map { try tokens(of: Array($0.utf8)) }, limit: limit).example
    }

    func pair(_ first: [Int32], _ second: [Int32], limit: Int) -> Example { template.assemble(first, second, limit: limit).example }

    /// The tokens of words with a tag each between the special ones, at most `limit`: a word's first token has its tag, the others and special tokens `Example.ignored`.
    ///
    /// With byte-level BPE every word but the first is encoded with the space before it.
    public func example(words: [String], tags: [Int32], limit: Int) throws -> Example {
        precondition(words.count == tags.count)
        let space: [UInt8] = tokenizer.tables.header.model == .byteLevelBPE ? [0x20] : []
        var (ids, marks): ([Int32], [Int32]) = ([], [])
        for (i, word) in words.enumerated() {
            let tokens = try tokens(of: (i == 0 ? [] : space) + Array(word.utf8))
            ids += tokens
            marks += tokens.indices.map { $0 == 0 ? tags[i] : Example.ignored }
        }
        var (example, place) = template.assemble(ids, nil, limit: limit)
        example.tags = [Int32](repeating: Example.ignored, count: example.tokens.count)
        example.tags.replaceSubrange(place, with: marks.prefix(place.count))
        return example
    }

    /// Special tokens that `example` puts around texts.
    public func overhead(isPair: Bool) -> Int { template.overhead(isPair: isPair) }
}
