/// The `selftest` entry: tokens and the SHA-256 of what the model makes of them.
///
/// ```
/// magic u64 "SHRKTEST" | version u16 (1) | entry kind u16 | token count u32 | tokens u32… | digest 32
/// ```
///
/// Little-endian. All tokens go in one step from position 0, segments are 0; the digest is over the
/// output's rows one after the other, as binary32 little-endian without padding.
public struct SelfTest {
    public static let magic: UInt64 = 0x5453_4554_4B52_4853
    public static let version: UInt16 = 1
    static let headerByteCount = 16

    public let kind: EntryRecord.Kind
    public let tokenCount: Int
    public let digest: SHA256.Digest
    private let tokens: UnsafeRawPointer

    /// Throws `invalidArtifact` unless the bytes are exactly one self-test.
    public init(reading bytes: UnsafeRawBufferPointer) throws(RuntimeError) {
        guard let base = bytes.baseAddress, bytes.count >= Self.byteCount(tokenCount: 1) else {
            throw RuntimeError(.invalidArtifact, "the self-test is too short", bytes.count)
        }
        var reader = RecordReader(base: base)
        guard reader.read(UInt64.self) == Self.magic, reader.read(UInt16.self) == Self.version,
            let kind = EntryRecord.Kind(rawValue: reader.read())
        else { throw RuntimeError(.invalidArtifact, "the self-test is of an unknown kind", 0) }
        let count = Int(reader.read(UInt32.self))
        guard count >= 1, Self.byteCount(tokenCount: count) == bytes.count else {
            throw RuntimeError(.invalidArtifact, "the self-test has another size than its tokens need", bytes.count)
        }
        self.kind = kind
        tokenCount = count
        tokens = base + Self.headerByteCount
        reader.offset = Self.headerByteCount + count * 4
        var digest = SHA256.Digest(repeating: 0)
        for i in digest.indices { digest[i] = reader.read() }
        self.digest = digest
    }

    /// `index` is in 0 ..< tokenCount.
    public func token(_ index: Int) -> UInt32 {
        UInt32(littleEndian: tokens.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self))
    }

    public static func byteCount(tokenCount: Int) -> Int { headerByteCount + tokenCount * 4 + SHA256.digestByteCount }

    /// Writes `byteCount(tokenCount: tokens.count)` bytes.
    public static func write(
        kind: EntryRecord.Kind, tokens: UnsafeBufferPointer<UInt32>, digest: SHA256.Digest, to base: UnsafeMutableRawPointer
    ) {
        var cursor = RecordCursor(base: base)
        cursor.write(magic)
        cursor.write(version)
        cursor.write(kind.rawValue)
        cursor.write(UInt32(truncatingIfNeeded: tokens.count))
        for token in tokens { cursor.write(token) }
        for i in digest.indices { cursor.write(digest[i]) }
    }
}
