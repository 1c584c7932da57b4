/// Where the entries of an artifact are. The container is an uncompressed ustar archive in a strict
/// subset, so that every byte outside the entries' contents has exactly one accepted value:
/// the entries of `Entry` in its order, each once, the optional ones there or not; headers as
/// `TarHeader` has them; zero padding to 512 bytes; two zero blocks; nothing after them.
public struct ArtifactDirectory: Equatable, Sendable {
    /// The entries in the order of the file. `tokenizer`, `selftest`, `LICENSE` and `README.md` may
    /// be absent, each on its own: a model of embeddings may be fed with tokens of another origin,
    /// and a model packed without running it has no self-test.
    public enum Entry: Int, Sendable, CaseIterable {
        case manifest = 0, program, weights, tokenizer, selfTest, license, readme, checksums

        public var name: StaticString {
            switch self {
            case .manifest: "manifest.json"
            case .program: "program"
            case .weights: "weights"
            case .tokenizer: "tokenizer"
            case .selfTest: "selftest"
            case .license: "LICENSE"
            case .readme: "README.md"
            case .checksums: "SHA256SUMS"
            }
        }

        public var isRequired: Bool {
            switch self {
            case .manifest, .program, .weights, .checksums: true
            case .tokenizer, .selfTest, .license, .readme: false
            }
        }
    }

    static let blockByteCount = 512
    static let endByteCount = 2 * blockByteCount

    private var offsets = InlineArray<8, Int>(repeating: -1)
    private var byteCounts = InlineArray<8, Int>(repeating: 0)

    public static func == (a: Self, b: Self) -> Bool {
        for i in a.offsets.indices where a.offsets[i] != b.offsets[i] || a.byteCounts[i] != b.byteCounts[i] { return false }
        return true
    }

    /// The bytes of an entry within the file; nil when it is absent.
    public subscript(entry: Entry) -> Range<Int>? {
        let offset = offsets[entry.rawValue]
        return offset < 0 ? nil : offset..<(offset + byteCounts[entry.rawValue])
    }

    /// Reads the headers of a whole artifact. Throws `invalidArtifact` with the byte offset of the
    /// first thing that is not as it must be.
    public init(reading file: UnsafeRawBufferPointer) throws(RuntimeError) {
        guard let base = file.baseAddress, file.count >= TarHeader.byteCount else {
            throw RuntimeError(.invalidArtifact, "the file is too short to be an artifact", file.count)
        }
        guard file.count % Self.blockByteCount == 0 else {
            throw RuntimeError(.invalidArtifact, "the file is incomplete or has been added to: its size is not a multiple of 512", file.count)
        }
        var offset = 0
        for entry in Entry.allCases {
            guard file.count - offset >= TarHeader.byteCount + Self.endByteCount else {
                throw RuntimeError(.invalidArtifact, "the file is truncated: an entry is missing", offset)
            }
            let header = base + offset
            guard Self.isNamed(entry.name, header) else {
                if entry.isRequired {
                    throw RuntimeError(.invalidArtifact, "not an artifact: an unknown, misplaced or missing entry", offset)
                }
                continue
            }
            guard let count = TarHeader.fileByteCount(of: header) else {
                throw RuntimeError(.invalidArtifact, "an entry's size is not an octal number", offset)
            }
            let expected = TarHeader.canonical(name: entry.name, fileByteCount: count)
            for i in expected.indices where header.load(fromByteOffset: i, as: UInt8.self) != expected[i] {
                throw RuntimeError(.invalidArtifact, "a tar header is damaged or not in the artifact's form", offset + i)
            }
            offset += TarHeader.byteCount
            // At most 2^33 more than the offset, which is within the file: nothing can overflow.
            let padded = (count + Self.blockByteCount - 1) / Self.blockByteCount * Self.blockByteCount
            guard file.count - offset >= padded + Self.endByteCount else {
                throw RuntimeError(.invalidArtifact, "the file is truncated inside an entry", offset)
            }
            try Self.checkZero(file, from: offset + count, to: offset + padded)
            offsets[entry.rawValue] = offset
            byteCounts[entry.rawValue] = count
            offset += padded
        }
        guard file.count - offset == Self.endByteCount else {
            throw RuntimeError(.invalidArtifact, "there are bytes after the last entry", offset)
        }
        try Self.checkZero(file, from: offset, to: file.count)
    }

    private static func isNamed(_ name: StaticString, _ header: UnsafeRawPointer) -> Bool {
        let text = UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        for i in text.indices where header.load(fromByteOffset: i, as: UInt8.self) != text[i] { return false }
        return header.load(fromByteOffset: text.count, as: UInt8.self) == 0
    }

    private static func checkZero(_ file: UnsafeRawBufferPointer, from start: Int, to end: Int) throws(RuntimeError) {
        var i = start
        while i < end {
            if file[i] != 0 { throw RuntimeError(.invalidArtifact, "padding is not zero", i) }
            i += 1
        }
    }
}
