import Glibc

/// The lines of a text file, one at a time, in memory that the limits bound.
public final class LineReader {
    private let file: DataFile
    private let limits: DataLimits
    private var buffer = [UInt8](repeating: 0, count: 1 << 16)
    private var position = 0
    private var end = 0
    /// The line with its line feed, if it has one; cut where it is too long.
    public private(set) var bytes: [UInt8] = []
    /// From 1.
    public private(set) var number = 0
    private var isTooLong = false

    /// - Throws: `notFound`, `cannotRead`, `badCompression`.
    public init(path: String, limits: DataLimits = DataLimits()) throws(DataError) {
        file = try DataFile(path: path, limits: limits)
        self.limits = limits
    }

    public var path: String { file.path }
    /// Of the file on the disk.
    public var byteCount: Int { file.byteCount }
    /// Bytes of the file on the disk that have been used.
    public var consumed: Int { file.consumed }

    /// Goes to the next line; false at the end. A byte order mark at the start of the file is left out.
    /// - Throws: `cannotRead`, `badCompression`.
    public func next() throws(DataError) -> Bool {
        bytes.removeAll(keepingCapacity: true)
        isTooLong = false
        while true {
            if position == end {
                position = 0
                end = try read()
                if end == 0 { break }
            }
            let length = buffer[position..<end].withUnsafeBytes { rest -> Int in
                guard let base = rest.baseAddress, let found = memchr(base, 0x0A, rest.count) else { return rest.count }
                return UnsafeRawPointer(found) - base + 1
            }
            let room = limits.lineByteCount - bytes.count
            if length > room { isTooLong = true }
            bytes += buffer[position..<position + min(length, room)]
            position += length
            if buffer[position - 1] == 0x0A { return started() }
        }
        return bytes.isEmpty ? false : started()
    }

    private func started() -> Bool {
        number += 1
        if number == 1, bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
        return true
    }

    private func read() throws(DataError) -> Int {
        let result = buffer.withUnsafeMutableBytes { bytes in Result { () throws(DataError) in try file.read(into: bytes) } }
        return try result.get()
    }

    /// The line without its end.
    public var content: ArraySlice<UInt8> {
        var content = bytes[...]
        if content.last == 0x0A { content.removeLast() }
        if content.last == 0x0D { content.removeLast() }
        return content
    }

    /// Why the line is no text; nil when it is.
    public var problem: String? {
        if isTooLong { return "is longer than \(limits.lineByteCount) bytes" }
        if bytes.contains(0) { return "has a zero byte: is this a binary file, or UTF-16?" }
        return String(validating: bytes, as: UTF8.self) == nil ? "is not UTF-8" : nil
    }
}
