import CShrinkKernels
import ShrinkFormat

/// The counts that a target reports at its end.
@_extern(c) func fuzz_count_run()
@_extern(c) func fuzz_count_skipped()
@_extern(c) func fuzz_count_accepted()

/// Runs entry points of whatever was accepted: within a limit of memory and work, with options that the input decides.
struct EntryRun {
    /// About the multiplications of one run.
    static let mostWork = 2e6
    static let mostBytes = 1 << 21
    static let mostTokens = 72

    let entry: EntryRecord
    var options: SessionOptions
    let tokens: UnsafeMutableBufferPointer<UInt32>
    let segments: UnsafeMutableBufferPointer<UInt32>?

    /// nil: nothing of this entry point is small enough to run.
    init?(_ entry: EntryRecord, of program: ProgramView, _ random: inout FuzzRandom) {
        self.entry = entry
        let longest = entry.kind.isIncremental ? program.header.positionLimit ?? .max : Int(entry.maximumTokens)
        // All that there is, at times: limits are met at the end.
        let context = longest <= Self.mostTokens && random.oneIn(3) ? longest : 1 + random.below(min(longest, Self.mostTokens))
        options = SessionOptions(kind: entry.kind)
        options.context = context
        options.chunk = 1 + random.below(min(context, Int(entry.maximumTokens)))
        options.maximumByteCount = Self.mostBytes
        options.instructionSet = Self.instructionSet(&random)
        if random.oneIn(4) {
            options.threads = 3
            options.parallelFor = ParallelFor(context: nil) { _, count, work, workContext in
                for i in stride(from: count - 1, through: 0, by: -1) { work?(workContext, i) }
            }
        }
        let count = random.oneIn(3) ? context : 1 + random.below(context)
        guard Self.work(entry, of: program, tokens: count) <= Self.mostWork else {
            fuzz_count_skipped()
            return nil
        }
        tokens = .allocate(capacity: count)
        for i in 0..<count { tokens[i] = UInt32(random.below(Int(program.header.vocabularySize))) }
        let limit = Self.segmentLimit(entry, of: program)
        if random.oneIn(2), limit > 0 {
            let ids = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: count)
            for i in 0..<count { ids[i] = UInt32(random.below(limit)) }
            segments = ids
        } else {
            segments = nil
        }
    }

    /// One of those that this machine runs.
    static func instructionSet(_ random: inout FuzzRandom) -> InstructionSet {
        let all = InstructionSet.allCases
        let chosen = all[random.below(all.count)]
        return chosen.status == .ready ? chosen : .best
    }

    func deallocate() {
        tokens.deallocate()
        segments?.deallocate()
    }

    /// Feeds all tokens to a session and returns the hash of its last row, and of all rows for the kinds without state.
    func run(_ model: borrowing Model) throws(RuntimeError) -> FloatHash {
        var session = try Session(model, options)
        let output = try session.feed(UnsafeBufferPointer(tokens), segments: segments.map { UnsafeBufferPointer($0) })
        var hash = FloatHash()
        for row in (entry.kind.isIncremental ? output.rowCount - 1 : 0)..<output.rowCount { hash.add(output[row]) }
        return hash
    }

    /// An upper estimate; in floating point, as the verifier's limits allow products beyond 64 bits.
    static func work(_ entry: EntryRecord, of program: ProgramView, tokens: Int) -> Double {
        var sum = 0.0
        for i in 0..<Int(entry.instructionCount) {
            guard let record = program.instruction(Int(entry.firstInstruction) + i),
                let x = program.tensor(Int(record.operands[0]))
            else { continue }
            var work = Double(x.storage == .fixed ? Int(x.rows) : tokens) * Double(x.rowElements)
            switch record.opcode {
            case .linear, .recurrent: work *= Double(program.tensor(Int(record.operands[1]))?.rows ?? 0) + 32
            case .attention: work *= Double(2 * tokens)
            default: work *= 8
            }
            sum += work
        }
        return sum
    }

    private static func segmentLimit(_ entry: EntryRecord, of program: ProgramView) -> Int {
        var limit = Int.max
        for i in 0..<Int(entry.instructionCount) {
            guard let record = program.instruction(Int(entry.firstInstruction) + i), record.opcode == .embed,
                record.integers[0] == EmbedIndex.segments.rawValue, let table = program.tensor(Int(record.operands[1]))
            else { continue }
            limit = min(limit, Int(table.rows) - Int(record.integers[2]))
        }
        return limit == .max ? 3 : limit
    }
}
