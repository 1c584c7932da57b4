import Glibc
import ShrinkTraining

/// The processes of a command that `mpirun` started, one of them when none did.
enum Processes {
    /// Does `body` in every process. When one fails, it says why and gives its exit code, and all end.
    static func together(_ body: (any TrainingGroup) throws -> Void) throws {
        let group: any TrainingGroup
        // Without a group there is nobody to wait for; the first process says what is wrong.
        do { group = try LaunchedProcesses.join() } catch is GroupFailure { exit(CommandFailure.unavailable) }
        do { try body(group) } catch is GroupFailure {
            Output.flush()
            group.leave()
            exit(0)
        } catch {
            guard group.size > 1, !group.hasEnded, let failure = CommandFailure(error) else {
                group.leave()
                throw error
            }
            // The others know nothing of it, and wait.
            Output.message("shrink: process \(group.rank): \(failure.description.onOneLine)")
            group.abort(exitCode: failure.exitCode)
        }
        group.leave()
    }
}
