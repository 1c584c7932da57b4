import CHostKernels
import CShrinkKernels
import Glibc
import Synchronization

/// The float kernels for this CPU.
let kernels: host_kernels = host_kernels_best().pointee

/// A number of threads that share out independent tasks. What a task computes depends on the task alone, so
/// results are the same for every number of threads.
///
/// They are the runtime's pool: workers that wait park after some microseconds. Callers on several threads take
/// turns.
public final class HostThreads: @unchecked Sendable {
    public let count: Int
    private let memory: UnsafeMutableRawPointer
    private let pool: OpaquePointer?
    private let turn = Mutex<Void>(())

    /// All cores unless a number is given. Where the system gives no further threads, one does all.
    public init(_ count: Int? = nil) {
        let wanted = min(max(1, count ?? sysconf(Int32(_SC_NPROCESSORS_ONLN))), Int(SHRINK_POOL_MAXIMUM_THREADS))
        memory = .allocate(byteCount: shrink_pool_byte_count(wanted), alignment: 64)
        var pool: OpaquePointer?
        let isStarted = wanted > 1 && shrink_pool_create(memory, wanted, &pool) == 0
        self.pool = isStarted ? pool : nil
        self.count = isStarted ? wanted : 1
    }

    deinit {
        if let pool { shrink_pool_destroy(pool) }
        memory.deallocate()
    }

    /// What every thread of a run does.
    private final class Work {
        let body: (Int) -> Void
        init(_ body: @escaping (Int) -> Void) { self.body = body }
    }

    private final class Counter {
        let next = Atomic<Int>(0)
    }

    /// Runs `body` once for every number below `count`, each on a thread of its own.
    private func run(_ count: Int, _ body: (_ worker: Int) -> Void) {
        guard let pool, count > 1 else {
            for worker in 0..<count { body(worker) }
            return
        }
        withoutActuallyEscaping(body) { body in
            let work = Work(body)
            turn.withLock { _ in
                // The pool knows no owners: the work must live until all have done it.
                withExtendedLifetime(work) {
                    shrink_pool_run(
                        UnsafeMutableRawPointer(pool), count,
                        { context, worker in
                            guard let context else { return }
                            Unmanaged<Work>.fromOpaque(context).takeUnretainedValue().body(worker)
                        }, Unmanaged.passUnretained(work).toOpaque())
                }
            }
        }
    }

    /// Runs `body` for every task below `tasks`, which threads take one after the other. The second argument is a
    /// number below `count` that no other thread has at the same time. Not from within a task.
    public func forEach(_ tasks: Int, _ body: (_ task: Int, _ worker: Int) -> Void) {
        let counter = Counter()
        run(min(count, tasks)) { worker in
            while true {
                let task = counter.next.wrappingAdd(1, ordering: .relaxed).oldValue
                if task >= tasks { return }
                body(task, worker)
            }
        }
    }

    /// Runs `body` for one range of each thread, the same whenever it is asked for the same number: what a thread
    /// reads there again is in its cache.
    public func forShares(_ tasks: Int, _ body: (_ share: Range<Int>) -> Void) {
        let shares = min(count, tasks)
        run(shares) { share in body(share * tasks / shares..<(share + 1) * tasks / shares) }
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
