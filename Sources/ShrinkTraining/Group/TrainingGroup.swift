import Glibc
import ShrinkCompute
import ShrinkJSON

/// Processes that train one model together, each on its share of every step's examples.
///
/// All of them call the same of these in the same order, each on one thread: a process that calls another one, or none, leaves the
/// others waiting. Throws `TrainingError` when the processes lose each other.
public protocol TrainingGroup: AnyObject {
    /// The number of this process, from 0. The first one writes what the run leaves.
    var rank: Int { get }
    var size: Int { get }
    /// Processes on this machine.
    var localSize: Int { get }
    /// Whether all know that the work has ended, because one has failed or there is no more.
    var hasEnded: Bool { get set }

    /// Adds up numbers over all processes.
    func sum(_ numbers: inout [Double]) throws
    /// The smallest number that a process gives.
    func minimum(_ number: Int) throws -> Int
    /// Gives all the bytes that one process has.
    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from rank: Int) throws

    /// Begins to add up numbers in place. They must stay where they are, unused, until `finishSums` returns.
    func beginSum(_ numbers: UnsafeMutableBufferPointer<Float>) throws
    /// Lets sums that have begun go on.
    func advanceSums() throws
    func finishSums() throws

    /// Waits for the others and ends the work together; nothing may follow.
    func leave()
    /// Ends all processes at once, whatever they wait for.
    func abort(exitCode: Int32) -> Never
}

/// Another process of the group failed, and tells why itself.
public struct GroupFailure: Error, CustomStringConvertible {
    public var rank: Int
    public var description: String { "process \(rank) failed" }
}

extension TrainingGroup {
    public var isFirst: Bool { rank == 0 }

    /// Does something that may fail in some processes only: when it does, it throws in all, in one of them the error itself and in
    /// the others `GroupFailure`. Other calls of the group have no place in it.
    public func agree<R>(_ body: () throws -> R) throws -> R {
        if size == 1 { return try body() }
        let result = Result { try body() }
        let failed = try minimum((try? result.get()) == nil ? rank : size)
        if failed == size { return try result.get() }
        hasEnded = true
        if failed == rank { return try result.get() }
        throw GroupFailure(rank: failed)
    }

    /// Does something in the first process, then in the others, as `agree` does.
    public func firstThenOthers<R>(_ body: () throws -> R) throws -> R {
        let first = try agree { isFirst ? try body() : nil }
        let others = try agree { isFirst ? nil : try body() }
        guard let result = first ?? others else { throw GroupFailure(rank: 0) }
        return result
    }

    /// Gives all what the first process finds.
    public func fromFirst(_ body: () throws -> JSON) throws -> JSON {
        if size == 1 { return try body() }
        let found = try agree { isFirst ? try body() : nil }
        var bytes = Array((found?.serialized ?? "").utf8), count = [Double(bytes.count)]
        try count.withUnsafeMutableBytes { try broadcast($0, from: 0) }
        if !isFirst { bytes = [UInt8](repeating: 0, count: Int(count[0])) }
        try bytes.withUnsafeMutableBytes { try broadcast($0, from: 0) }
        return try JSON(parsing: bytes)
    }

    /// The number that the first process has: what is computed on different machines may differ in its last bits.
    public func fromFirst(_ number: Double) throws -> Double {
        var number = number
        if size > 1 { try withUnsafeMutableBytes(of: &number) { try broadcast($0, from: 0) } }
        return number
    }

    /// Whether it is true in any process.
    public func any(_ condition: Bool) throws -> Bool { size == 1 ? condition : try minimum(condition ? 0 : 1) == 0 }

    /// Gives all the numbers of the first process's tables.
    public func broadcast(_ tables: [ParameterTable]) throws {
        if size == 1 { return }
        for table in tables {
            for name in table.names {
                guard let tensor = table[name] else { continue }
                try broadcast(UnsafeMutableRawBufferPointer(tensor.buffer), from: 0)
            }
        }
    }

    /// The examples of a step that are this process's: consecutive ones, as many as the others have, or one more.
    public func share(of examples: [Int]) -> ArraySlice<Int> {
        examples[examples.count * rank / size..<examples.count * (rank + 1) / size]
    }
}

/// A group of one.
public final class SingleProcess: TrainingGroup {
    public let rank = 0, size = 1, localSize = 1
    public var hasEnded = false

    public init() {}

    public func sum(_ numbers: inout [Double]) {}
    public func minimum(_ number: Int) -> Int { number }
    public func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from rank: Int) {}
    public func beginSum(_ numbers: UnsafeMutableBufferPointer<Float>) {}
    public func advanceSums() {}
    public func finishSums() {}
    public func leave() {}
    public func abort(exitCode: Int32) -> Never { exit(exitCode) }
}
