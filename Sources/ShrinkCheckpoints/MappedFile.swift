import Glibc

/// A file mapped read-only; unmapped when the last reference goes.
///
/// Opening costs nothing but address space: pages come in when they are touched. Should another
/// process cut the file short while it is mapped, touching the lost pages is a bus error, as with
/// every mapping; files that are replaced by rename are safe.
public final class MappedFile: @unchecked Sendable {
    public let path: String
    /// The whole file. Valid as long as this object lives.
    public let bytes: UnsafeRawBufferPointer

    /// - Throws: `notFound`, `cannotOpen` or `notARegularFile`, with the system's words.
    public init(path: String) throws(CheckpointError) {
        func failure(_ code: CheckpointError.Code, _ what: String) -> CheckpointError {
            CheckpointError(code, file: path, message: "\(what): \(systemMessage(errno))")
        }
        // O_NONBLOCK: opening a pipe must fail below, not wait for a writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw failure(errno == ENOENT ? .notFound : .cannotOpen, "cannot be opened")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure(.cannotOpen, "cannot be examined") }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw CheckpointError(.notARegularFile, file: path, message: "is not a regular file")
        }
        let count = Int(status.st_size)
        self.path = path
        guard count > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let base = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
            throw failure(.cannotOpen, "cannot be mapped")
        }
        bytes = UnsafeRawBufferPointer(start: base, count: count)
    }

    deinit {
        if let base = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: base), bytes.count) }
    }

    /// Gives the pages that `range` touches back to the system, so that a pass over a large file keeps
    /// its resident set small. The bytes stay readable; the next touch reads them again.
    public func discard(_ range: Range<Int>) {
        let range = range.clamped(to: 0..<bytes.count)
        guard let base = bytes.baseAddress, !range.isEmpty else { return }
        let start = range.lowerBound & ~(Self.pageSize - 1)
        madvise(UnsafeMutableRawPointer(mutating: base + start), range.upperBound - start, MADV_DONTNEED)
    }

    private static let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))
}

/// The system's words for an error number.
func systemMessage(_ code: Int32) -> String {
    strerror(code).map { String(cString: $0) } ?? "error \(code)"
}
