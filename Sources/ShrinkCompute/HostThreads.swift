import CHostKernels
import Dispatch
import Glibc
import Synchronization

/// The float kernels for this CPU.
nonisolated(unsafe) let kernels: host_kernels = host_kernels_best().pointee

/// A number of threads that share out independent tasks. What a task computes depends on the task alone, so
/// results are the same for every number of threads.
public final class HostThreads: Sendable {
    public let count: Int

    /// All cores unless a number is given.
    public init(_ count: Int? = nil) { self.count = max(1, count ?? sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    private struct Body: @unchecked Sendable {
        let run: (Int, Int) -> Void
    }

    private final class Counter: Sendable {
        let next = Atomic<Int>(0)
        func take() -> Int { next.wrappingAdd(1, ordering: .relaxed).oldValue }
    }

    /// Runs `body` for every task below `tasks`. The second argument is a number below `count` that no
    /// other thread has at the same time.
    public func forEach(_ tasks: Int, _ body: (_ task: Int, _ worker: Int) -> Void) {
        let workers = min(count, tasks)
        guard workers > 1 else {
            for task in 0..<tasks { body(task, 0) }
            return
        }
        let counter = Counter()
        withoutActuallyEscaping(body) { body in
            let body = Body(run: body)
            DispatchQueue.concurrentPerform(iterations: workers) { worker in
                while true {
                    let task = counter.take()
                    if task >= tasks { return }
                    body.run(task, worker)
                }
            }
        }
    }

    /// Runs `body` for ranges of rows that are some ten thousand floats each.
    public func forRows(_ count: Int, width: Int, _ body: (_ rows: Range<Int>) -> Void) {
        let share = max(1, 16384 / max(width, 1))
        forEach((count + share - 1) / share) { part, _ in body(part * share..<min((part + 1) * share, count)) }
    }

    /// Runs `body` for ranges of elements, all but the last of whole vectors.
    public func forElements(_ count: Int, _ body: (_ elements: Range<Int>) -> Void) {
        let share = 16384
        forEach((count + share - 1) / share) { part, _ in body(part * share..<min((part + 1) * share, count)) }
    }
}
