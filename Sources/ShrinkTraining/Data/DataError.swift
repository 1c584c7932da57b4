/// What is wrong with training data, and where.
public struct DataError: Error, Equatable, CustomStringConvertible {
    public enum Code: Sendable {
        case notFound, cannotRead
        /// The compressed stream is damaged or unpacks to more than the limits allow.
        case badCompression
        /// A table without the column, or without rows of the right form; what is no text.
        case badTable
        /// More bad rows than allowed.
        case tooManyBadRows
        case noData
        /// A file of encoded examples that is damaged, of other data, or cannot be written.
        case badStore, cannotWrite
    }

    public var code: Code
    public var file: String
    /// From 1; nil for the file as a whole.
    public var line: Int?
    public var message: String

    public init(_ code: Code, file: String, line: Int? = nil, _ message: String) {
        self.code = code
        self.file = file
        self.line = line
        self.message = message
    }

    public var description: String { "\(file)\(line.map { ", line \($0)" } ?? ""): \(message)" }
}

/// How much of memory and time a stranger's file may take.
public struct DataLimits: Sendable {
    /// A longer line, or record of a table, is a bad row.
    public var lineByteCount = 16 << 20
    /// A compressed file may unpack to so many times its size, and a megabyte.
    public var expansion = 256

    public init() {}
}
