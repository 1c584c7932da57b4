import CArchive
import Glibc

/// A file of text, read from its start in pieces; gzip, zstd, xz and bzip2 are told by their content
/// and unpacked on the way.
final class DataFile {
    let path: String
    /// On the disk.
    let byteCount: Int
    private let descriptor: Int32
    private let archive: OpaquePointer
    private let limits: DataLimits
    private var unpacked = 0

    /// - Throws: `notFound`, `cannotRead`, `badCompression`.
    init(path: String, limits: DataLimits) throws(DataError) {
        // O_NONBLOCK: opening a pipe must fail below, not wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let code = errno
            throw DataError(code == ENOENT ? .notFound : .cannotRead, file: path, "cannot be opened: \(String(cString: strerror(code)))")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw DataError(.cannotRead, file: path, "is not a regular file")
        }
        guard let archive = archive_read_new() else {
            close(descriptor)
            throw DataError(.cannotRead, file: path, "libarchive has no memory")
        }
        self.path = path
        self.descriptor = descriptor
        self.archive = archive
        self.limits = limits
        byteCount = Int(status.st_size)
        // These four are part of the library; others would start programs.
        archive_read_support_filter_gzip(archive)
        archive_read_support_filter_zstd(archive)
        archive_read_support_filter_xz(archive)
        archive_read_support_filter_bzip2(archive)
        archive_read_support_format_raw(archive)
        archive_read_support_format_empty(archive)
        guard archive_read_open_fd(archive, descriptor, 1 << 16) == ARCHIVE_OK else { throw failure() }
        var entry: OpaquePointer?
        let answer = archive_read_next_header(archive, &entry)
        isAtEnd = answer == ARCHIVE_EOF
        guard isAtEnd || answer == ARCHIVE_OK else { throw failure() }
    }

    deinit {
        archive_read_free(archive)
        close(descriptor)
    }

    private var isAtEnd = false

    /// Bytes of the file that have been used, for progress.
    var consumed: Int { min(Int(archive_filter_bytes(archive, -1)), byteCount) }

    /// The next bytes of the text; 0 at its end.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws(DataError) -> Int {
        if isAtEnd { return 0 }
        let count = archive_read_data(archive, buffer.baseAddress, buffer.count)
        guard count >= 0 else { throw failure() }
        unpacked += count
        let (allowed, overflow) = byteCount.multipliedReportingOverflow(by: limits.expansion)
        if archive_filter_count(archive) > 1, !overflow, unpacked > allowed + 1 << 20 {
            throw DataError(.badCompression, file: path, "unpacks to more than \(limits.expansion) times its size; unpack it beforehand if it is meant to")
        }
        return count
    }

    private func failure() -> DataError {
        let reason = archive_error_string(archive).map { String(cString: $0) } ?? "unknown error"
        let isDamaged = archive_errno(archive) <= 0 || archive_filter_count(archive) > 1
        return DataError(isDamaged ? .badCompression : .cannotRead, file: path, "cannot be read: \(reason)")
    }
}

/// The whole text of a file, perhaps compressed with gzip, zstd, xz or bzip2.
/// - Throws: `DataError`; `badTable` for what is no UTF-8.
public func readText(path: String, limits: DataLimits = DataLimits()) throws(DataError) -> String {
    let file = try DataFile(path: path, limits: limits)
    var bytes: [UInt8] = []
    let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    defer { piece.deallocate() }
    while case let count = try file.read(into: piece), count > 0 { bytes.append(contentsOf: piece[..<count]) }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw DataError(.badTable, file: path, "is no UTF-8 text") }
    return text
}
