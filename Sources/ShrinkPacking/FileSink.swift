import Glibc

/// A new file that is written from front to back and disappears unless it is kept.
final class FileSink {
    let path: String
    private(set) var byteCount = 0
    let descriptor: Int32
    private var isKept: Bool

    /// Creates a file with a name of its own in the directory of `target`; readable by everyone as
    /// the umask allows. One with `isAnonymous` loses its name at once, so that not even a killed
    /// process leaves it behind, and cannot be committed.
    init(beside target: String, isAnonymous: Bool = false) throws {
        var path: String, descriptor: Int32
        repeat {
            path = "\(target).new-\(String(UInt32.random(in: 1 << 28...UInt32.max), radix: 16))"
            descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        } while descriptor < 0 && errno == EEXIST
        guard descriptor >= 0 else {
            throw PackingError(.output, "cannot create \(target): \(FileSink.reason(errno)); choose a directory that you may write to")
        }
        if isAnonymous { unlink(path) }
        self.path = path
        self.descriptor = descriptor
        isKept = isAnonymous
    }

    /// A target must be free, or an ordinary file that may be replaced.
    static func checkTarget(_ target: String) throws {
        var status = stat()
        guard lstat(target, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == Glibc.S_IFREG else {
            throw PackingError(.output, "\(target) is there and is no ordinary file; name another")
        }
    }

    deinit {
        close(descriptor)
        if !isKept { unlink(path) }
    }

    func write(_ bytes: [UInt8]) throws { try bytes.withUnsafeBytes { try write($0) } }

    func write<T: FixedWidthInteger>(littleEndian values: [T]) throws {
        try values.map(\.littleEndian).withUnsafeBytes { try write($0) }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw FileSink.failure(writing: path, errno) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
            byteCount += count
        }
    }

    /// Makes the bytes durable and the file known as `target`, replacing what was there.
    func commit(as target: String) throws {
        guard fsync(descriptor) == 0 else { throw FileSink.failure(writing: path, errno) }
        guard rename(path, target) == 0 else { throw FileSink.failure(writing: target, errno) }
        isKept = true
    }

    /// What has been written, mapped for reading.
    func withMapping<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        guard byteCount > 0 else { return try body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        guard let base = mmap(nil, byteCount, PROT_READ, MAP_SHARED, descriptor, 0), base != MAP_FAILED else {
            throw PackingError(.output, "cannot map \(path): \(FileSink.reason(errno))")
        }
        defer { munmap(base, byteCount) }
        return try body(UnsafeRawBufferPointer(start: base, count: byteCount))
    }

    /// Gives the pages of a part of the mapping back, so that streaming through it stays small.
    func discard(_ range: Range<Int>, of mapping: UnsafeRawBufferPointer) {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let start = range.lowerBound / page * page
        madvise(UnsafeMutableRawPointer(mutating: mapping.baseAddress! + start), range.upperBound - start, MADV_DONTNEED)
    }

    static func failure(writing path: String, _ code: Int32) -> PackingError {
        let remedy = code == ENOSPC || code == EDQUOT ? "; free some space or write elsewhere" : ""
        return PackingError(.output, "cannot write \(path): \(reason(code))\(remedy)")
    }

    static func reason(_ code: Int32) -> String { String(cString: strerror(code)) }
}
