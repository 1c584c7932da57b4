/// Reads little-endian numbers and strings from a mapped file; every read is checked against its end.
struct ByteReader {
    let file: MappedFile
    var position = 0
    /// What is being read, for error messages: a metadata key or a tensor.
    var subject = ""

    var remaining: Int { file.bytes.count - position }

    func error(_ code: CheckpointError.Code, _ message: String) -> CheckpointError {
        let place = subject.isEmpty ? "byte \(position)" : "\(subject) (byte \(position))"
        return CheckpointError(code, file: file.path, place: place, message: message)
    }

    mutating func read<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type = T.self) throws(CheckpointError) -> T {
        guard remaining >= MemoryLayout<T>.size else {
            throw error(.truncated, "the file ends inside a \(MemoryLayout<T>.size)-byte number")
        }
        defer { position += MemoryLayout<T>.size }
        return T(littleEndian: file.bytes.loadUnaligned(fromByteOffset: position, as: T.self))
    }

    /// A count of things that take at least `minimumBytes` each, refused when the rest of the file cannot
    /// hold them or there are more than `limit`.
    mutating func count(of things: String, minimumBytes: Int, limit: Int = .max) throws(CheckpointError) -> Int {
        let start = self
        let claimed: UInt64 = try read()
        guard let count = Int(exactly: claimed), count <= remaining / minimumBytes else {
            throw start.error(.countTooLarge, "\(claimed) \(things) cannot fit the \(remaining) bytes that follow")
        }
        guard count <= limit else {
            throw start.error(.countTooLarge, "\(count) \(things) are more than the \(limit) allowed")
        }
        return count
    }

    /// Far above the longest string of any model, a chat template.
    private static let maximumStringByteCount = 1 << 24

    /// A 64-bit length and as many bytes.
    mutating func string() throws(CheckpointError) -> UnsafeRawBufferPointer {
        let start = self
        let length: UInt64 = try read()
        guard let count = Int(exactly: length), count <= remaining else {
            throw start.error(.stringTooLong, "a string of \(length) bytes cannot fit the \(remaining) that follow")
        }
        guard count <= Self.maximumStringByteCount else {
            throw start.error(.stringTooLong,
                "a string of \(count) bytes is longer than the \(Self.maximumStringByteCount) allowed")
        }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: file.bytes[position..<position + count])
    }

    /// A string that must be UTF-8 and at most 65,535 bytes, as keys and tensor names are.
    mutating func name() throws(CheckpointError) -> String {
        let start = self
        let bytes = try string()
        guard bytes.count <= 65535, let text = String(validating: bytes, as: UTF8.self) else {
            throw start.error(.invalidUTF8, "a name is not UTF-8 text of at most 65,535 bytes")
        }
        return text
    }

    mutating func skip(_ byteCount: Int) throws(CheckpointError) {
        guard byteCount <= remaining else { throw error(.truncated, "the file ends inside \(byteCount) bytes of data") }
        position += byteCount
    }
}
