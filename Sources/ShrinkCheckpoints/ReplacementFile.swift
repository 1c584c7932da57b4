import Glibc

/// A file that appears under its name all at once or not at all.
///
/// The bytes go to `.<name>.tmp-…` in the same directory; `commit` brings them to the disk and renames.
/// Unless that happens the temporary file is removed when the object goes.
public final class ReplacementFile {
    public let path: String
    private let temporaryPath: String
    private let descriptor: Int32
    private var isCommitted = false
    private var hasFailed = false

    /// - Parameter expectedByteCount: reserved at once, so that a disk too small is known before the work
    ///   and not after it.
    /// - Throws: `cannotCreate`, `diskFull`, `writeFailed`.
    public init(path: String, expectedByteCount: Int) throws(CheckpointError) {
        let slash = path.lastIndex(of: "/")
        let directory = slash.map { String(path[...$0]) } ?? ""
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        var temporary: String
        var descriptor: Int32
        repeat {
            temporary = directory + ".\(name).tmp-" + String(UInt32.random(in: 0x1000_0000...UInt32.max), radix: 16)
            descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        } while descriptor < 0 && errno == EEXIST
        guard descriptor >= 0 else {
            throw CheckpointError(.cannotCreate, file: path, message: "cannot be created: \(systemMessage(errno))")
        }
        self.path = path
        self.temporaryPath = temporary
        self.descriptor = descriptor
        let answer = posix_fallocate(descriptor, 0, expectedByteCount)
        // Any other answer, such as EOPNOTSUPP, is no reason to stop.
        if answer == ENOSPC || answer == EDQUOT || answer == EFBIG { throw Self.failure(path, answer) }
    }

    deinit {
        close(descriptor)
        if !isCommitted { unlink(temporaryPath) }
    }

    /// After a failure the file can no longer be committed.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        do throws(CheckpointError) {
            try Self.write(bytes, to: descriptor, path: path)
        } catch {
            hasFailed = true
            throw error
        }
    }

    static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, path: String) throws(CheckpointError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let written = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
            if written >= 0 {
                rest = rest.dropFirst(written)
            } else if errno != EINTR {
                throw failure(path, errno)
            }
        }
    }

    /// Also makes the rename itself durable, where the file system lets a directory be synchronized.
    public func commit() throws(CheckpointError) {
        guard !hasFailed else { throw Self.failure(path, EIO) }
        guard fsync(descriptor) == 0, rename(temporaryPath, path) == 0 else { throw Self.failure(path, errno) }
        isCommitted = true
        let parent = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        let directory = open(parent, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
        guard directory >= 0 else { return }
        fsync(directory)
        close(directory)
    }

    private static func failure(_ path: String, _ code: Int32) -> CheckpointError {
        CheckpointError(code == ENOSPC || code == EDQUOT ? .diskFull : .writeFailed, file: path,
            message: "cannot be written: \(systemMessage(code))")
    }
}
