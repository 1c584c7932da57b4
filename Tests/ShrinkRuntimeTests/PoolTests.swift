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

    /// CPU time of the pool's own threads, from the kernel's accounts.
    @Test func anIdlePoolUsesNoCPU() throws {
        func cpuTime(_ thread: Int64) throws -> Int {
            let text = try String(contentsOfFile: "/proc/self/task/\(thread)/schedstat", encoding: .utf8)
            return try #require(text.split(separator: " ").first.flatMap { Int($0) })
        }
        let pool = try Pool(3)
        // Each share waits for the others to begin, so that every thread takes one and leaves its id.
        var words = [Int64](repeating: 0, count: 4)
        words.withUnsafeMutableBytes { bytes in
            pool.run(3, { context, share in
                let words = context!.assumingMemoryBound(to: Int64.self)
                let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")
                words[1 + share] = link?.split(separator: "/").last.flatMap { Int64($0) } ?? 0
                _ = shrink_atomic_add(words, 1)
                while shrink_atomic_add(words, 0) < 3 { sched_yield() }
            }, bytes.baseAddress!)
        }
        let workers = words[2...]
        #expect(Set(words[1...]).count == 3)
        usleep(100_000)
        let start = try workers.map(cpuTime)
        usleep(300_000)
        #expect(try workers.map(cpuTime) == start)
        withExtendedLifetime(pool) {}
    }
}
