import ShrinkEvaluation
import ShrinkFormat
import ShrinkRuntime

/// What is measured: the lengths of inputs, and what is made behind them.
struct BenchPlan {
    var kind: EntryRecord.Kind
    /// Ascending.
    var lengths: [Int]
    /// Tokens before those that are made one by one; ascending, empty for the kinds without state.
    var depths: [Int]
    var decode: Int
    var context: Int { max(lengths.last ?? 1, (depths.last ?? 0) + (depths.isEmpty ? 0 : decode)) }
    /// What the first output is computed of when the start is measured.
    var firstTokens: Int { kind.isIncremental ? min(16, context) : lengths.first ?? 1 }
}

/// One measurement of a plan, in the order in which they are printed.
struct BenchTask: Hashable {
    enum Kind: Hashable { case read, decode }
    var kind: Kind
    /// Of the input, or before the tokens that are made.
    var tokens: Int
}

/// What the runs of one task took.
struct BenchSamples {
    var seconds: [Double] = []
    /// Of all runs together; nil without counters.
    var joules: Double?
}

/// A session and the stopwatch for its steps, over made-up tokens.
final class BenchSession {
    private var session: Session
    private let plan: BenchPlan
    private let tokens: [UInt32]
    let threads: Int
    let instructionSet: InstructionSet
    let byteCount: Int
    private(set) var samples: [BenchTask: BenchSamples] = [:]

    init(_ model: borrowing Model, _ plan: BenchPlan, threads: Int, instructionSet: InstructionSet) throws {
        var options = SessionOptions(kind: plan.kind)
        options.context = plan.context
        options.threads = threads
        options.instructionSet = instructionSet
        options.cancelFlag = UnsafePointer(Interrupt.flag)
        let session = try Session(model, options)
        byteCount = session.byteCount
        self.session = consume session
        self.plan = plan
        self.threads = threads
        self.instructionSet = instructionSet
        let vocabulary = model.program.header.vocabularySize
        tokens = (0..<UInt32(plan.context)).map { ($0 &* 2_654_435_761) % vocabulary }
    }

    /// Reads the first `count` tokens from the start.
    func read(_ count: Int) throws {
        session.reset()
        try feed(0..<count)
    }

    /// Every task once; of the kinds without state, whose inputs are short work, as often as fits a fifth of
    /// a second, at most 100 times.
    func runAll(counting: Bool, energy: EnergyCounters? = nil) throws {
        for length in plan.lengths {
            try measure(BenchTask(kind: .read, tokens: length), counting, energy) { samples in
                var left = 0.2
                repeat {
                    let start = Progress.now()
                    try read(length)
                    samples.append(Progress.now() - start)
                    left -= samples.last ?? 0
                } while !plan.kind.isIncremental && left > 0 && samples.count < 100
            }
        }
        // The deepest first: the others forget what they need not.
        for depth in plan.depths.reversed() {
            if !session.canTruncate { session.reset() }
            if session.position < depth { try feed(session.position..<depth) }
            try session.truncate(to: depth)
            try measure(BenchTask(kind: .decode, tokens: depth), counting, energy) { samples in
                for index in depth..<(depth + plan.decode) {
                    let start = Progress.now()
                    try feed(index..<(index + 1))
                    samples.append(Progress.now() - start)
                }
            }
        }
    }

    private func feed(_ range: Range<Int>) throws {
        try tokens.withUnsafeBufferPointer { _ = try session.feed(UnsafeBufferPointer(rebasing: $0[range])) }
    }

    private func measure(
        _ task: BenchTask, _ isCounted: Bool, _ energy: EnergyCounters?, _ body: (inout [Double]) throws -> Void
    ) throws {
        var seconds: [Double] = []
        let before = energy?.read()
        try body(&seconds)
        let after = energy?.read()
        guard isCounted else { return }
        var all = samples[task] ?? BenchSamples()
        all.seconds += seconds
        if let energy, let before, let after { all.joules = (all.joules ?? 0) + energy.joules(from: before, to: after) }
        samples[task] = all
    }
}
