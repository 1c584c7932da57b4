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
        // What a run leaves that was killed before its recipe was complete.
        guard Directory.names(path).allSatisfy({ $0.hasPrefix(".recipe.yaml.tmp-") }) else {
            let isRun = access(path + "/recipe.yaml", F_OK) == 0
            throw TrainingError(
                .badRun, path, isRun ? "there is a run already; go on with it by --resume, or choose another directory" : "is not empty; choose another directory")
        }
        do {
            try ReplacementFile.write(Array(recipe.utf8), to: path + "/recipe.yaml")
            return try RunDirectory(path)
        } catch {
            discard(path)
            if isNew { rmdir(path) }
            throw error
        }
    }

    /// Opens the directory of a run.
    /// - Throws: `TrainingError` `badRun` when it is none, or another process works in it.
    public init(_ path: String) throws {
        self.path = path
        lock = open(path + "/recipe.yaml", O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard lock >= 0 else {
            let code = errno
            throw TrainingError(code == ENOENT ? .badRun : .inputOutput, path, "is no run: recipe.yaml cannot be opened: \(String(cString: strerror(code)))")
        }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
            close(lock)
            throw TrainingError(.badRun, path, "another process is working in this run")
        }
        try Directory.make(path + "/data")
        try Directory.make(path + "/checkpoints")
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
