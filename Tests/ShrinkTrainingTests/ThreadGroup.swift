import Foundation
import ShrinkTraining

/// A group of threads of this process: what a group does, as plainly as possible.
final class ThreadGroup: TrainingGroup, @unchecked Sendable {
    struct Aborted: Error {}

    /// What the members share.
    final class Table: @unchecked Sendable {
        let size: Int
        fileprivate let condition = NSCondition()
        fileprivate var waiting = 0
        fileprivate var round = 0
        fileprivate var isAborted = false
        fileprivate var numbers: [[Double]]
        fileprivate var bytes: UnsafeMutableRawBufferPointer?
        fileprivate var sums: [[UnsafeMutableBufferPointer<Float>]]

        init(_ size: Int) {
            self.size = size
            numbers = Array(repeating: [], count: size)
            sums = Array(repeating: [], count: size)
        }

        /// Waits until all are here.
        fileprivate func meet() throws {
            condition.lock()
            defer { condition.unlock() }
            let round = round
            waiting += 1
            if waiting == size {
                waiting = 0
                self.round += 1
                condition.broadcast()
            }
            while self.round == round, !isAborted { condition.wait() }
            if isAborted { throw Aborted() }
        }
    }

    private let table: Table
    let rank: Int
    var size: Int { table.size }
    var localSize: Int { table.size }
    var hasEnded = false
    /// Of each step: sums that began before the last of them was waited for.
    private(set) var begunEarly: [Int] = []
    private(set) var begunLengths: [[Int]] = []
    private var early = 0

    init(_ table: Table, rank: Int) {
        self.table = table
        self.rank = rank
    }

    func sum(_ numbers: inout [Double]) throws {
        table.numbers[rank] = numbers
        try table.meet()
        for place in numbers.indices { numbers[place] = table.numbers.reduce(0) { $0 + $1[place] } }
        try table.meet()
    }

    func minimum(_ number: Int) throws -> Int {
        table.numbers[rank] = [Double(number)]
        try table.meet()
        defer { try? table.meet() }
        return Int(table.numbers.map { $0[0] }.min() ?? 0)
    }

    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from rank: Int) throws {
        if rank == self.rank { table.bytes = bytes }
        try table.meet()
        if rank != self.rank, let source = table.bytes { bytes.copyMemory(from: UnsafeRawBufferPointer(source)) }
        try table.meet()
    }

    func beginSum(_ numbers: UnsafeMutableBufferPointer<Float>) { table.sums[rank].append(numbers) }

    func advanceSums() { early = table.sums[rank].count }

    func finishSums() throws {
        begunEarly.append(early)
        begunLengths.append(table.sums[rank].map(\.count))
        early = 0
        try table.meet()
        if rank == 0 {
            for (place, total) in table.sums[0].enumerated() {
                for other in table.sums.dropFirst() { for i in total.indices { total[i] += other[place][i] } }
                for other in table.sums.dropFirst() { _ = other[place].update(fromContentsOf: total) }
            }
        }
        try table.meet()
        table.sums[rank] = []
    }

    func leave() {}

    func abort(exitCode: Int32) -> Never { fatalError("a test aborts the group") }

    func abort() {
        table.condition.lock()
        table.isAborted = true
        table.condition.broadcast()
        table.condition.unlock()
    }

    /// Does `body` in a group of `size` threads; results and errors by rank.
    static func run<R: Sendable>(_ size: Int, _ body: @escaping @Sendable (ThreadGroup) throws -> R) -> [Result<R, any Error>] {
        let table = Table(size), lock = NSLock()
        nonisolated(unsafe) var results: [Result<R, any Error>?] = Array(repeating: nil, count: size)
        let threads = (0..<size).map { rank in
            let group = ThreadGroup(table, rank: rank)
            let thread = Thread {
                let result = Result { try body(group) }
                // As with processes: who ends without the others' knowing ends all.
                if case .failure(let error) = result, !group.hasEnded, !(error is Aborted) { group.abort() }
                lock.withLock { results[rank] = result }
            }
            thread.stackSize = 8 << 20
            return thread
        }
        for thread in threads { thread.start() }
        while lock.withLock({ results.contains { $0 == nil } }) { usleep(1000) }
        return results.compactMap { $0 }
    }
}
