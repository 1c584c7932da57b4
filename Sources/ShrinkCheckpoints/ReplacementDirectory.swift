import CFileExchange
import Glibc

/// A directory that appears under its name all at once or not at all.
///
/// Files are written to `stagingPath`, `.<name>.tmp-…` beside the target; `commit` brings them to the disk and
/// puts the directory in its place. Unless that happens it is removed when the object goes.
public final class ReplacementDirectory {
    public let path: String
    /// Where the files go.
    public let stagingPath: String
    private var isCommitted = false

    /// - Parameter ownNames: what a directory that stands at `path` already may hold; what is not ours is not
    ///   ours to remove.
    /// - Throws: `foreignContents`, `cannotCreate`.
    public init(path: String, replacing ownNames: Set<String>) throws(CheckpointError) {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        self.path = path
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT != S_IFDIR {
            throw CheckpointError(.cannotCreate, file: path, message: "is there already, and is no directory")
        }
        if let foreign = Self.names(in: path)?.first(where: { !ownNames.contains($0) }) {
            throw CheckpointError(.foreignContents, file: path, message: "holds \(foreign), which would be lost")
        }
        let slash = path.lastIndex(of: "/")
        let parent = slash.map { String(path[...$0]) } ?? ""
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        var staging: String
        var answer: Int32
        repeat {
            staging = parent + ".\(name).tmp-" + String(UInt32.random(in: 0x1000_0000...UInt32.max), radix: 16)
            answer = mkdir(staging, 0o777)
        } while answer != 0 && errno == EEXIST
        stagingPath = staging
        guard answer == 0 else {
            isCommitted = true  // there is nothing to remove
            throw CheckpointError(.cannotCreate, file: path, message: "cannot be created: \(systemMessage(errno))")
        }
    }

    deinit { if !isCommitted { Self.remove(stagingPath) } }

    /// A directory that stands at the path is exchanged for the new one in one step, and then removed. The files
    /// must be on the disk already, as `ReplacementFile` and `SafetensorsWriter` leave them.
    /// - Throws: `cannotCreate`, `writeFailed`.
    public func commit() throws(CheckpointError) {
        Self.synchronize(stagingPath)
        var status = stat()
        if lstat(path, &status) != 0 {
            guard rename(stagingPath, path) == 0 else { throw failure() }
        } else if exchange_paths(stagingPath, path) == 0 {
            Self.remove(stagingPath)
        } else {
            // File systems that cannot exchange: for a moment there is nothing under the name.
            let old = stagingPath + ".old"
            guard rename(path, old) == 0 else { throw failure() }
            guard rename(stagingPath, path) == 0 else {
                let failure = failure()
                rename(old, path)
                throw failure
            }
            Self.remove(old)
        }
        isCommitted = true
        Self.synchronize(path.lastIndex(of: "/").map { String(path[...$0]) } ?? ".")
    }

    private func failure() -> CheckpointError {
        CheckpointError(.writeFailed, file: path, message: "cannot be put in its place: \(systemMessage(errno))")
    }

    private static func synchronize(_ path: String) {
        let directory = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
        guard directory >= 0 else { return }
        fsync(directory)
        close(directory)
    }

    /// What a directory holds; nil when there is none.
    private static func names(in path: String) -> [String]? {
        guard let directory = opendir(path) else { return nil }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    private static func remove(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            unlink(path)
            return
        }
        for name in names(in: path) ?? [] { remove(path + "/" + name) }
        rmdir(path)
    }
}
