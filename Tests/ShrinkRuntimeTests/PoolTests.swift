import CShrinkKernels
import Foundation
import Testing

@Suite struct PoolTests {
    final class Pool {
        let memory: UnsafeMutableRawPointer
        let pool: OpaquePointer

        init(_ threads: Int) throws {
            memory = .allocate(byteCount: shrink_pool_byte_count(threads), alignment: 64)
            var pool: OpaquePointer?
            try #require(shrink_pool_create(memory, threads, &pool) == 0)
            self.pool = pool!
        }

        func run(_ count: Int, _ work: @escaping shrink_work, _ context: UnsafeMutableRawPointer) {
            shrink_pool_run(UnsafeMutableRawPointer(pool), count, work, context)
        }

        deinit {
            shrink_pool_destroy(pool)
            memory.deallocate()
        }
    }

    @Test(arguments: [1, 2, 3, 8]) func everyShareRunsOnceAndIsDoneOnReturn(threads: Int) throws {
        let pool = try Pool(threads)
        var counts = [Int64](repeating: 0, count: threads)
        for round in 1...2_000 {
            counts.withUnsafeMutableBytes { bytes in
                pool.run(threads, { context, worker in
                    _ = shrink_atomic_add(context!.assumingMemoryBound(to: Int64.self) + worker, 1)
                }, bytes.baseAddress!)
            }
            #expect(counts.allSatisfy { $0 == Int64(round) })
        }
    }

    @Test func fewerSharesThanThreadsAndParkedWorkersWork() throws {
        let pool = try Pool(4)
        var sum: Int64 = 0
        for count in [1, 2, 3, 4, 2, 1] {
            usleep(2_000)  // long enough for the workers to park
            pool.run(count, { context, worker in
                _ = shrink_atomic_add(context!.assumingMemoryBound(to: Int64.self), Int64(worker) + 1)
            }, &sum)
        }
        #expect(sum == 1 + 3 + 6 + 10 + 3 + 1)
    }

    /// CPU time of the worker threads alone, from the kernel's accounts.
    @Test func anIdlePoolUsesNoCPU() throws {
        func threadTimes() -> [String: Int] {
            var times: [String: Int] = [:]
            for id in (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? [] {
                guard let text = try? String(contentsOfFile: "/proc/self/task/\(id)/schedstat", encoding: .utf8) else { continue }
                times[id] = text.split(separator: " ").first.flatMap { Int($0) }
            }
            return times
        }
        let before = Set(threadTimes().keys)
        let pool = try Pool(3)
        let workers = Set(threadTimes().keys).subtracting(before)
        var sum: Int64 = 0
        pool.run(3, { _, _ in }, &sum)
        usleep(100_000)
        let start = threadTimes()
        usleep(300_000)
        let end = threadTimes()
        let idle = workers.filter { start[$0] != nil && start[$0] == end[$0] }
        #expect(idle.count >= 2)
        withExtendedLifetime(pool) {}
    }
}
