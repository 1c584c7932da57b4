import ArgumentParser
import ShrinkEvaluation
import ShrinkFormat
import ShrinkJSON
import ShrinkRuntime

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure how fast an artifact runs here, and how near that is to what this machine can do.",
        discussion: """
            A language model reads so many tokens (prefill) and makes tokens one by one behind others (decode, \
            at a depth); other models read one input. The tokens are made up, nothing is tokenized. Every round measures \
            everything once, in turns, after one round that does not count; a single thread is pinned to one CPU. \
            p50, p90 and p99 are percentiles over the runs of all rounds, for decode over single tokens.

            The limits are measured between the rounds with the same number of threads, the best result counts: int8 \
            operations of a loop that touches registers only, and bytes read from a buffer larger than the caches. \
            Percent of int8 counts two operations for each product of linear layers and attention, percent of memory \
            every weight and the state once a run; weights that stay in the caches can be read faster than memory.

            The start is that of a model opened anew in this process, its file in the page cache, up to the first \
            output; memory is of this process with one session, after the longest work, and counts the pages of the \
            file that are mapped. Energy is of the whole machine, where the kernel exposes it (often to root only).

            With --json, one object a line, by "task":
            "machine": "cpu", "cores", "cache_bytes", "file_bytes", "energy" (the names of the counters, or null), \
            "energy_absence" (why there are none, or null).
            "start": "threads", "isa", "tokens", "milliseconds", "verified_milliseconds" (with the checksum of the \
            weights), "session_bytes", "rss_bytes", "peak_rss_bytes".
            "limits": "threads", "isa", "pinned_cpu", "int8_operations_per_second", "read_bytes_per_second".
            "prefill", "decode", "embed", "classify", "tag", "encode": "tokens" (of decode the depth), "threads", \
            "isa", "runs", "p50_milliseconds", "p90_milliseconds", "p99_milliseconds", "mean_milliseconds", \
            "fastest_milliseconds", "tokens_per_second" (of the median), "percent_of_int8_limit", \
            "percent_of_memory_limit", "millijoules" (a run), "int8_operations" and "memory_bytes" (that a run must at least do and read). \
            What is not known is null.
            """)

    @Argument(help: "A .shrink artifact.") var model: String
    @Option(help: "Threads, such as 1,2 (default: 1 and all cores, \(RunOptions.cores) here).") var threads: NumberList?
    @Option(help: "Instruction sets, such as avx2,avx512-vnni (default: SHRINK_ISA, or the best).") var isa: String?
    @Option(help: "Lengths of the input (default: 128,512 for language models, 16,64,128 for others).") var tokens: NumberList?
    @Option(help: "Depths at which tokens are made (default: 16,512).") var depth: NumberList?
    @Option(help: "Tokens to make at each depth; 0 for none.") var decode = 32
    @Option(help: "How often everything is measured.") var rounds = 8
    @Flag(help: "Leave out the limits of the machine.") var noLimits = false
    @Flag(help: "Leave out the start and the memory.") var noStart = false
    @Flag(help: "Skip the checksum of the weights before measuring.") var noVerify = false
    @Flag(help: "One JSON object a line.") var json = false
    @Flag(help: "No progress, no notes.") var quiet = false

    func validate() throws {
        if !(0...65_536 ~= decode) { throw ValidationError("--decode must be from 0 to 65536.") }
        if !(1...1_000_000 ~= rounds) { throw ValidationError("--rounds must be from 1 to 1000000.") }
        if let most = threads?.values.last, most > 256 { throw ValidationError("--threads must be from 1 to 256.") }
    }

    func run() throws {
        let sets = try instructionSets()
        let plan = try plan(ArtifactFile.open(self.model, verify: !noVerify))
        let counts = threads?.values ?? Set([1, RunOptions.cores]).sorted()
        let energy = EnergyCounters()
        let report = BenchReport(json: json)
        report.machine(fileBytes: FileSize.of(self.model), energy)
        if !quiet, let most = counts.last, most > Machine.usableCPUs {
            Output.message("note: \(most) threads share \(Machine.usableCPUs) CPUs")
        }
        for set in noStart ? [] : sets {
            for count in counts {
                report.start(try BenchStart.measure(self.model, plan, threads: count, instructionSet: set), plan, count, set)
            }
        }
        // Not before: what is mapped would count as memory of the sessions above.
        let model = try ArtifactFile.open(self.model, verify: false)
        let sessions = try sets.flatMap { set in
            try counts.map { try BenchSession(model, plan, threads: $0, instructionSet: set) }
        }
        var limits = [MachineLimits](repeating: MachineLimits(), count: sessions.count)
        let progress = Progress("bench", quiet: quiet)
        for round in 0...rounds {
            for (index, session) in sessions.enumerated() {
                try progress.update(round * sessions.count + index, (rounds + 1) * sessions.count)
                if !noLimits { limits[index].measure(threads: session.threads, instructionSet: session.instructionSet) }
                try Pinning.onOneCPU(session.threads == 1) { try session.runAll(counting: round > 0, energy: energy) }
            }
        }
        progress.finish("\(rounds) rounds")
        if !noLimits { for (session, limits) in zip(sessions, limits) { report.limits(limits, session) } }
        report.heading()
        for (session, limits) in zip(sessions, limits) { report.speed(session, plan, limits, model.program) }
    }

    private func instructionSets() throws -> [InstructionSet] {
        guard let isa else { return [try ArtifactFile.forcedInstructionSet() ?? .best] }
        return try isa.split(separator: ",", omittingEmptySubsequences: false).map {
            try ArtifactFile.instructionSet(named: String($0), by: "--isa \($0)")
        }
    }

    /// What to measure of the model; lengths that nobody asked for are left out when they do not fit.
    private func plan(_ artifact: borrowing Model) throws -> BenchPlan {
        let program = artifact.program
        let kinds: [EntryRecord.Kind] = [.generate, .embed, .classify, .tag, .encode]
        guard let kind = kinds.first(where: { program.entry($0) != nil }), let entry = program.entry(kind) else {
            throw CommandFailure("\(model): no entry point to measure; `shrink inspect` lists what it has")
        }
        let limit = kind.isIncremental ? program.header.positionLimit ?? .max : Int(entry.maximumTokens)
        func fitting(_ asked: NumberList?, _ usual: [Int], behind: Int) throws -> [Int] {
            if let longest = asked?.values.last, longest > limit - behind {
                let rest = behind > 0 ? " and \(behind) behind them" : ""
                throw CommandFailure(
                    "\(model): the model has room for \(limit) tokens; \(longest)\(rest) do not fit", exitCode: CommandFailure.usage)
            }
            if let asked { return asked.values }
            let fits = usual.filter { $0 <= limit - behind }
            return fits.isEmpty ? [max(1, limit - behind)] : fits
        }
        let lengths = try fitting(tokens, kind.isIncremental ? [128, 512] : [16, 64, 128], behind: 0)
        guard kind.isIncremental, decode > 0 else { return BenchPlan(kind: kind, lengths: lengths, depths: [], decode: 0) }
        guard decode < limit else {
            throw CommandFailure("\(model): the model has room for \(limit) tokens; --decode \(decode) does not fit", exitCode: CommandFailure.usage)
        }
        return BenchPlan(kind: kind, lengths: lengths, depths: try fitting(depth, [16, 512], behind: decode), decode: decode)
    }
}
