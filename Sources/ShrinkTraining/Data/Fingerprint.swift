import ShrinkCheckpoints
import ShrinkFormat

/// Tells whether something was made from the same data, tokenizer and settings: SHA-256 over its parts,
/// each with its length before it, so that no two lists of parts give the same bytes.
public struct Fingerprint: Sendable, Equatable, CustomStringConvertible {
    public static let byteCount = 32
    public let bytes: [UInt8]

    /// - Throws: `CheckpointError` when a file cannot be read.
    public init(files: [String], tokenizer tables: [UInt8], settings: [String]) throws {
        var hash = SHA256()
        func add(_ bytes: [UInt8]) {
            withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { hash.update($0) }
            bytes.withUnsafeBytes { hash.update($0) }
        }
        withUnsafeBytes(of: UInt64(files.count).littleEndian) { hash.update($0) }
        for path in files { add(Self.digest(of: try MappedFile(path: path))) }
        add(tables)
        for setting in settings { add(Array(setting.utf8)) }
        bytes = Self.bytes(of: hash)
    }

    init(bytes: [UInt8]) { self.bytes = bytes }

    /// SHA-256 of a file, read through once without keeping it in memory.
    static func digest(of file: MappedFile) -> [UInt8] {
        var hash = SHA256()
        let piece = 4 << 20
        for start in stride(from: 0, to: file.bytes.count, by: piece) {
            let range = start..<min(start + piece, file.bytes.count)
            hash.update(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
            file.discard(range)
        }
        return bytes(of: hash)
    }

    static func bytes(of hash: SHA256) -> [UInt8] {
        let digest = hash.digest()
        return digest.indices.map { digest[$0] }
    }

    /// 64 lower-case digits.
    public var description: String { bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() }
}
