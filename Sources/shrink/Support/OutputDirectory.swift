import Glibc
import ShrinkCheckpoints

/// A directory that a command writes files to; made at once, so that a bad name is known before the work,
/// and taken away again if the work comes to nothing.
final class OutputDirectory {
    let path: String
    private let isNew: Bool
    private var isUsed = false

    init(_ path: String) throws {
        self.path = path
        isNew = mkdir(path, 0o777) == 0
        guard isNew || errno == EEXIST else { throw Self.failure(path, errno) }
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { throw Self.failure(path, ENOTDIR) }
        guard access(path, W_OK | X_OK) == 0 else { throw Self.failure(path, errno) }
    }

    deinit { if isNew, !isUsed { rmdir(path) } }

    /// Puts files into the directory, each complete or not at all, and none before all are on the disk.
    func write(_ files: [(name: String, contents: [UInt8])]) throws {
        var replacements: [ReplacementFile] = []
        for (name, contents) in files {
            let file = try ReplacementFile(path: "\(path)/\(name)", expectedByteCount: contents.count)
            try contents.withUnsafeBytes { try file.write($0) }
            replacements.append(file)
        }
        try Interrupt.check()
        for file in replacements {
            try file.commit()
            isUsed = true
        }
    }

    private static func failure(_ path: String, _ code: Int32) -> CommandFailure {
        CommandFailure("\(path): cannot be written to: \(String(cString: strerror(code)))", exitCode: CommandFailure.inputOutput)
    }
}
