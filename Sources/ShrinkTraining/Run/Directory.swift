import Glibc
import ShrinkCheckpoints

/// What a run does with directories.
enum Directory {
    /// Names of what is in it; none when it cannot be read.
    static func names(_ path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    static func make(_ path: String) throws(CheckpointError) {
        guard mkdir(path, 0o777) == 0 || errno == EEXIST else { throw failure(path, "cannot be made") }
    }

    /// A directory of files and directories, or a file; nothing happens when it is not there. Links are removed, not followed.
    static func remove(_ path: String) {
        if unlink(path) == 0 || errno == ENOENT { return }
        for name in names(path) { remove("\(path)/\(name)") }
        rmdir(path)
    }

    private static func failure(_ path: String, _ what: String) -> CheckpointError {
        let code = errno
        return CheckpointError(
            code == ENOSPC || code == EDQUOT ? .diskFull : .cannotCreate, file: path, message: "\(what): \(String(cString: strerror(code)))")
    }
}
