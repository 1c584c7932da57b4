import ShrinkCheckpoints
import ShrinkFormat

/// A text, a pair, or a document as the tokenizer encoded it.
public struct Example: Sendable, Equatable {
    public var tokens: [Int32]
    /// Type (segment) of each token.
    public var segments: [Int32]
    /// For each token the index of its label, or `Example.ignored`; empty where only the whole is labelled.
    public var tags: [Int32] = []
    /// The index of a class, the bits of a Float (`value`), the number of the document of a sentence, or 0.
    public var label: UInt32 = 0

    /// A tag that is left out of the loss.
    public static let ignored: Int32 = -1

    public init(tokens: [Int32], segments: [Int32]? = nil, tags: [Int32] = [], label: UInt32 = 0) {
        self.tokens = tokens
        self.segments = segments ?? [Int32](repeating: 0, count: tokens.count)
        self.tags = tags
        self.label = label
    }

    /// The target of a regression.
    public var value: Float { Float(bitPattern: label) }
}

/// The file of encoded examples: little-endian
///
///     tokens    UInt32 each, the id in the low 24 bits, the type above; with tags a second UInt32 (as Int32)
///     offsets   UInt64, in tokens: where each example starts, then where the last ends
///     labels    UInt32 for each example
///     names     of labels, UTF-8, each with a line feed
///     footer    128 bytes: "SHRKDATA", version, has tags (UInt32 each), examples, tokens, bytes of names,
///               vocabulary (UInt64 each), fingerprint, SHA-256 of all before the footer (32 bytes each), zeros
enum ExampleStoreFormat {
    static let magic = Array("SHRKDATA".utf8)
    static let version: UInt32 = 1
    static let footerByteCount = 128
    static let maximumVocabulary = 1 << 24
}

/// Writes a file of encoded examples in one pass, with 12 bytes of memory for each.
public final class ExampleWriter {
    private let output: ReplacementFile
    private let hasTags: Bool
    private let vocabularySize: Int
    private var pending: [UInt32] = []
    private var offsets: [UInt64] = [0]
    private var labels: [UInt32] = []
    private var hash = SHA256()

    /// - Parameter hasTags: whether every token of every example has a tag.
    /// - Throws: `CheckpointError` when the file cannot be created.
    public init(path: String, vocabularySize: Int, hasTags: Bool = false) throws {
        output = try ReplacementFile(path: path, expectedByteCount: 0)
        self.hasTags = hasTags
        self.vocabularySize = vocabularySize
    }

    public var count: Int { labels.count }
    public var tokenCount: Int { Int(offsets[offsets.count - 1]) }

    /// Appends an example, or tokens to the example that has been begun.
    public func append(_ example: Example) throws {
        try append(tokens: example.tokens, segments: example.segments, tags: example.tags)
        finish(label: example.label)
    }

    func append(tokens: [Int32], segments: [Int32], tags: [Int32]) throws {
        precondition(segments.count == tokens.count && tags.count == (hasTags ? tokens.count : 0))
        for (i, token) in tokens.enumerated() {
            pending.append(UInt32(token) | UInt32(segments[i]) << 24)
            if hasTags { pending.append(UInt32(bitPattern: tags[i])) }
        }
        if pending.count > 1 << 16 { try flush() }
        unfinished += tokens.count
    }

    private var unfinished = 0

    /// Ends the example.
    func finish(label: UInt32) {
        offsets.append(UInt64(tokenCount + unfinished))
        labels.append(label)
        unfinished = 0
    }

    /// Completes the file and puts it in its place.
    /// - Throws: `CheckpointError` when it cannot be written.
    public func finish(fingerprint: Fingerprint, labelNames: [String] = []) throws {
        precondition(unfinished == 0)
        try flush()
        try write(offsets)
        try write(labels)
        let names = labelNames.reduce(into: [UInt8]()) { $0 += Array($1.utf8) + [0x0A] }
        try write(names)
        let digest = Fingerprint.bytes(of: hash)
        var footer = ExampleStoreFormat.magic
        for number in [ExampleStoreFormat.version, hasTags ? 1 : 0] { footer += withUnsafeBytes(of: number.littleEndian, Array.init) }
        for number in [labels.count, tokenCount, names.count, vocabularySize] { footer += withUnsafeBytes(of: UInt64(number).littleEndian, Array.init) }
        footer += fingerprint.bytes + digest
        try write(footer + [UInt8](repeating: 0, count: ExampleStoreFormat.footerByteCount - footer.count))
        try output.commit()
    }

    private func flush() throws {
        try write(pending)
        pending.removeAll(keepingCapacity: true)
    }

    private func write<T: BitwiseCopyable>(_ values: [T]) throws {
        try values.withUnsafeBytes {
            hash.update($0)
            try output.write($0)
        }
    }
}

/// Encoded examples in a mapped file: memory is what is being looked at.
public final class ExampleStore: Sendable {
    private let file: MappedFile
    private let stride: Int
    private let offsetsStart: Int
    private let labelsStart: Int
    public let count: Int
    /// Of all examples together.
    public let tokenCount: Int
    public let vocabularySize: Int
    public let labelNames: [String]
    public let fingerprint: Fingerprint
    public var hasTags: Bool { stride == 8 }

    /// Opens and checks the whole file, which reads it once.
    ///
    /// - Parameter expected: what the file must have been made from; nil to take any.
    /// - Throws: `CheckpointError` when it cannot be read; `DataError` `badStore` when it is damaged or made from something else.
    public init(path: String, expected: Fingerprint? = nil) throws {
        let file = try MappedFile(path: path)
        func damaged(_ what: String) -> DataError { DataError(.badStore, file: path, "no sound file of encoded data (\(what)); delete it, it will be made again") }
        let footerStart = file.bytes.count - ExampleStoreFormat.footerByteCount
        guard footerStart >= 0 else { throw damaged("too short") }
        let footer = Array(file.bytes[footerStart...])
        func number(_ at: Int) -> Int? { Int(exactly: footer.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: UInt64.self)) }) }
        func half(_ at: Int) -> UInt32 { footer.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: at, as: UInt32.self)) } }
        guard footer.starts(with: ExampleStoreFormat.magic) else { throw damaged("another kind of file") }
        guard half(8) == ExampleStoreFormat.version, half(12) <= 1 else { throw damaged("another version") }
        guard let count = number(16), let tokenCount = number(24), let nameByteCount = number(32), let vocabularySize = number(40),
            count < 1 << 40, tokenCount < 1 << 40, nameByteCount < 1 << 40, 1...ExampleStoreFormat.maximumVocabulary ~= vocabularySize
        else { throw damaged("impossible sizes") }
        stride = half(12) == 1 ? 8 : 4
        offsetsStart = tokenCount * stride
        labelsStart = offsetsStart + (count + 1) * 8
        let namesStart = labelsStart + count * 4
        guard namesStart + nameByteCount == footerStart else { throw damaged("the parts do not add up to the size") }
        self.file = file
        self.count = count
        self.tokenCount = tokenCount
        self.vocabularySize = vocabularySize
        fingerprint = Fingerprint(bytes: Array(footer[48..<80]))
        if let expected, expected != fingerprint {
            throw DataError(.badStore, file: path, "was made from other data, another tokenizer or other settings (\(fingerprint), expected \(expected))")
        }
        labelNames = String(decoding: file.bytes[namesStart..<footerStart], as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
        try check(digest: Array(footer[80..<112]), bodyByteCount: footerStart, damaged)
    }

    private func check(digest: [UInt8], bodyByteCount: Int, _ damaged: (String) -> DataError) throws {
        var hash = SHA256()
        let piece = 4 << 20
        for start in Swift.stride(from: 0, to: bodyByteCount, by: piece) {
            let range = start..<min(start + piece, bodyByteCount)
            hash.update(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
            let tokens = range.clamped(to: 0..<offsetsStart)
            for at in Swift.stride(from: tokens.lowerBound, to: tokens.upperBound, by: stride) where word(at) & 0xFF_FFFF >= vocabularySize {
                throw damaged("a token beyond the vocabulary")
            }
            file.discard(range)
        }
        guard Fingerprint.bytes(of: hash) == digest else { throw damaged("its checksum is wrong") }
        var last = 0
        for i in 0...count {
            guard let offset = Int(exactly: rawOffset(i)), i == 0 ? offset == 0 : offset >= last, offset <= tokenCount else { throw damaged("offsets out of order") }
            last = offset
        }
        guard last == tokenCount else { throw damaged("tokens outside of all examples") }
    }

    private func word(_ at: Int) -> UInt32 { UInt32(littleEndian: file.bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)) }

    private func rawOffset(_ index: Int) -> UInt64 {
        UInt64(littleEndian: file.bytes.loadUnaligned(fromByteOffset: offsetsStart + index * 8, as: UInt64.self))
    }

    /// Where an example's tokens are among all.
    public func range(_ index: Int) -> Range<Int> {
        precondition(0..<count ~= index)
        return Int(rawOffset(index))..<Int(rawOffset(index + 1))
    }

    public func length(_ index: Int) -> Int { range(index).count }

    public func label(_ index: Int) -> UInt32 {
        precondition(0..<count ~= index)
        return word(labelsStart + index * 4)
    }

    /// Ids of a stretch of all tokens, across examples.
    public func tokens(_ range: Range<Int>) -> [Int32] {
        precondition(range.lowerBound >= 0 && range.upperBound <= tokenCount)
        return range.map { Int32(word($0 * stride) & 0xFF_FFFF) }
    }

    public subscript(index: Int) -> Example {
        let range = range(index)
        return Example(
            tokens: tokens(range), segments: range.map { Int32(word($0 * stride) >> 24) },
            tags: hasTags ? range.map { Int32(bitPattern: word($0 * stride + 4)) } : [], label: label(index))
    }
}

/// All tokens of a store, one document after the other, cut into windows for a language model.
///
/// Window i has the tokens from i·length on as inputs and the same shifted by one as targets, so that every
/// token but the first is a target once. What does not fill a window at the end is left out.
public struct TokenWindows: Sendable {
    public let store: ExampleStore
    public let length: Int

    public init(_ store: ExampleStore, length: Int) {
        precondition(length > 0)
        self.store = store
        self.length = length
    }

    public var count: Int { max(store.tokenCount - 1, 0) / length }

    public func window(_ index: Int) -> (inputs: [Int32], targets: [Int32]) {
        precondition(0..<count ~= index)
        let tokens = store.tokens(index * length..<index * length + length + 1)
        return (Array(tokens.dropLast()), Array(tokens.dropFirst()))
    }
}
