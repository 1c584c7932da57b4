import ShrinkCheckpoints
import ShrinkRuntime
import ShrinkTokenizers

/// The runtime's tokenizer over the tables of an artifact or of a checkpoint's tokenizer files.
final class TextTokenizer {
    private var tokenizer: Tokenizer
    private var buffer = TokenBuffer(allocator: .system)
    private let ownedTables: UnsafeMutableRawBufferPointer?

    /// Over tables that outlive it.
    init(tables: UnsafeRawBufferPointer) throws {
        ownedTables = nil
        tokenizer = try Tokenizer(tables: tables, allocator: .system)
    }

    init(_ definition: TokenizerDefinition) throws {
        let encoded = try definition.encodedTables()
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: encoded.count, alignment: 64)
        copy.copyBytes(from: encoded)
        ownedTables = copy
        tokenizer = try Tokenizer(tables: UnsafeRawBufferPointer(copy), allocator: .system)
    }

    deinit { ownedTables?.deallocate() }

    /// Throws when its tokens are more than those of a model, which could not look the last ones up.
    func check(fits vocabularySize: Int, of path: String) throws {
        guard tokenizer.vocabularySize <= vocabularySize else {
            throw CommandFailure(
                "\(path): the tokenizer has \(tokenizer.vocabularySize) tokens, the model only \(vocabularySize); they do not belong together")
        }
    }

    struct Encoding {
        var tokens: [UInt32]
        var segments: [UInt32]
    }

    /// The tokens of a text with the tokenizer's own special ones around it.
    func encode(_ text: String, pair: String? = nil) throws -> Encoding {
        buffer.truncate()
        try text.withUTF8Bytes { text in
            if let pair {
                try pair.withUTF8Bytes { pair in
                    try tokenizer.encode(text, pair: pair, addSpecialTokens: true, parseSpecialTokens: false, into: &buffer)
                }
            } else {
                try tokenizer.encode(text, addSpecialTokens: true, parseSpecialTokens: false, into: &buffer)
            }
        }
        return Encoding(tokens: tokens, segments: buffer.withTypeIDs(Array.init))
    }

    /// The same, cut to `limit` tokens: the end of the text goes, the special tokens behind it stay.
    func encode(_ text: String, pair: String?, limit: Int) throws -> (encoding: Encoding, wasCut: Bool) {
        let full = try encode(text, pair: pair)
        guard full.tokens.count > limit else { return (full, false) }
        guard pair == nil else { throw CommandFailure("a pair of \(full.tokens.count) tokens is longer than the model's \(limit); shorten it") }
        let empty = try encode("").tokens
        let head = zip(empty, full.tokens).prefix { $0 == $1 }.count
        let tail = empty.count - head
        guard limit > empty.count else {
            throw CommandFailure("the model reads \(limit) tokens, which the \(empty.count) around every text fill up; pack it with a longer --context")
        }
        var cut = full
        cut.tokens = full.tokens.prefix(limit - tail) + full.tokens.suffix(tail)
        cut.segments = full.segments.prefix(limit - tail) + full.segments.suffix(tail)
        return (cut, true)
    }

    /// One user message, and perhaps a system message, in the model's chat format, ready for the answer.
    func encodeChat(system: String?, user: String) throws -> [UInt32] {
        buffer.truncate()
        let messages = (system.map { [(role: "system", content: $0)] } ?? []) + [(role: "user", content: user)]
        return try tokenizer.encodeChat(messages)
    }

    private var tokens: [UInt32] { buffer.withIDs(Array.init) }

    func isStop(_ token: UInt32) -> Bool { tokenizer.isStop(token) }

    func detokenizer() -> Detokenizer { Detokenizer(tables: tokenizer.tables, skipsSpecialTokens: true) }

    /// The text of one token.
    func text(of token: UInt32) throws -> String {
        var detokenizer = Detokenizer(tables: tokenizer.tables, skipsSpecialTokens: false)
        var bytes = TokenizerBuffer<UInt8>(allocator: .system)
        try detokenizer.push(token, into: &bytes)
        try detokenizer.flush(into: &bytes)
        return bytes.withElements { String(decoding: $0, as: UTF8.self) }
    }
}

extension String {
    func withUTF8Bytes<R>(_ body: (UnsafeBufferPointer<UInt8>) throws -> R) rethrows -> R {
        var copy = self
        return try copy.withUTF8(body)
    }
}
