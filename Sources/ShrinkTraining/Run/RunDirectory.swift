import Glibc
import ShrinkCheckpoints

/// The directory of a run: `recipe.yaml`, `metrics.jsonl`, `data/` (encoded examples), `checkpoints/`, and when there are such, the
/// best and the last model as `best/` and `last/`.
///
/// One process at a time works in it.
public final class RunDirectory {
    public let path: String
    /// Negative when another process has it.
    private let lock: Int32

    public var recipePath: String { path + "/recipe.yaml" }
    public var metricsPath: String { path + "/metrics.jsonl" }
    public var dataPath: String { path + "/data" }
    public var bestPath: String { path + "/best" }
    public var lastPath: String { path + "/last" }
    public var checkpoints: RunCheckpoints { RunCheckpoints(path: path + "/checkpoints") }

    /// Makes the directory with its recipe; one that is there must be empty.
    /// - Throws: `TrainingError` `badRun` when something is in it; `CheckpointError` when it cannot be made.
    public static func create(_ path: String, recipe: String) throws -> RunDirectory {
        let isNew = !Directory.isDirectory(path)
        try Directory.make(path)
        guard Directory.isDirectory(path) else { throw TrainingError(.inputOutput, path, "is not a directory") }
        let lock = try lock(path)
        // What a run leaves that was killed before its recipe was complete.
        guard Directory.names(path).allSatisfy({ $0.hasPrefix(".recipe.yaml.tmp-") }) else {
            close(lock)
            let isRun = access(path + "/recipe.yaml", F_OK) == 0
            throw TrainingError(
                .badRun, path, isRun ? "there is a run already; go on with it by --resume, or choose another directory" : "is not empty; choose another directory")
        }
        do {
            try ReplacementFile.write(Array(recipe.utf8), to: path + "/recipe.yaml")
            return try RunDirectory(path, lock: lock)
        } catch {
            discard(path)
            if isNew { rmdir(path) }
            close(lock)
            throw error
        }
    }

    /// Opens the directory of a run.
    /// - Throws: `TrainingError` `badRun` when it is none, or another process works in it.
    public convenience init(_ path: String) throws {
        guard access(path + "/recipe.yaml", R_OK) == 0 else {
            let code = errno
            throw TrainingError(
                code == ENOENT || code == ENOTDIR ? .badRun : .inputOutput, path,
                "is no run: recipe.yaml cannot be opened: \(String(cString: strerror(code)))")
        }
        let lock = try Self.lock(path)
        do { try self.init(path, lock: lock) } catch {
            close(lock)
            throw error
        }
    }

    private init(_ path: String, lock: Int32) throws {
        for directory in [path + "/data", path + "/checkpoints"] { try Directory.make(directory) }
        for directory in [path, path + "/data", path + "/checkpoints"] {
            // What killed processes were writing.
            for name in Directory.names(directory) where name.hasPrefix(".") && name.contains(".tmp-") { Directory.remove("\(directory)/\(name)") }
        }
        self.path = path
        self.lock = lock
    }

    /// Takes the directory for this process.
    private static func lock(_ path: String) throws -> Int32 {
        let lock = open(path, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
        guard lock >= 0 else { throw TrainingError(.inputOutput, path, "cannot be opened: \(String(cString: strerror(errno)))") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
            close(lock)
            throw TrainingError(.badRun, path, "another process is working in this run")
        }
        return lock
    }

    /// The directory of a run that the first process of a group has opened, for the others to read.
    public init(openedByFirst path: String) {
        self.path = path
        lock = -1
    }

    /// Takes away what `create` made and what has been put there since: nothing came of the run.
    public func discard() {
        guard lock >= 0 else { return }
        Self.discard(path)
        rmdir(path)
    }

    private static func discard(_ path: String) {
        for name in ["recipe.yaml", "data", "checkpoints", "metrics.jsonl"] { Directory.remove("\(path)/\(name)") }
    }

    deinit { if lock >= 0 { close(lock) } }
}
