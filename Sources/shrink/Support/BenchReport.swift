import ShrinkEvaluation
import ShrinkFormat
import ShrinkJSON
import ShrinkRuntime

/// Prints what `shrink bench` measured, as a table or as JSON lines.
struct BenchReport {
    let json: Bool

    func machine(fileBytes: Int, _ energy: EnergyCounters) {
        guard !json else {
            return Output.json([
                ("task", .string("machine")), ("cpu", .string(Machine.name)), ("cores", .integer(RunOptions.cores)),
                ("cache_bytes", .integer(Machine.cacheBytes)), ("file_bytes", .integer(fileBytes)),
                ("energy", energy.absence == nil ? .array(energy.names.map { .string($0) }) : .null),
                ("energy_absence", energy.absence.map { .string($0) } ?? .null),
            ])
        }
        Output.line("\(Machine.name), \(RunOptions.cores) cores, cache \(Format.bytes(Machine.cacheBytes)); the file has \(Format.bytes(fileBytes))")
        Output.line("energy: \(energy.absence.map { "unknown, \($0)" } ?? energy.names.joined(separator: ", "))")
    }

    func start(_ start: BenchStart, _ plan: BenchPlan, _ threads: Int, _ set: InstructionSet) {
        guard !json else {
            return Output.json([
                ("task", .string("start")), ("threads", .integer(threads)), ("isa", .string(set.text)), ("tokens", .integer(plan.firstTokens)),
                ("milliseconds", .number(start.seconds * 1e3)), ("verified_milliseconds", .number(start.verifiedSeconds * 1e3)),
                ("session_bytes", .integer(start.sessionBytes)), ("rss_bytes", .integer(start.residentBytes)),
                ("peak_rss_bytes", .integer(start.peakBytes)),
            ])
        }
        Output.line(
            "start, \(Self.name(threads, set)): \(Format.decimal(start.seconds * 1e3, 1)) ms from opening the model to the output of \(plan.firstTokens) tokens, "
                + "\(Format.decimal(start.verifiedSeconds * 1e3, 1)) ms with the checksum; resident \(Format.bytes(start.residentBytes)), "
                + "at most \(Format.bytes(start.peakBytes)), of it the session \(Format.bytes(start.sessionBytes))")
    }

    func limits(_ limits: MachineLimits, _ session: BenchSession) {
        let cpu = session.threads == 1 ? Pinning.cpu : nil
        guard !json else {
            return Output.json([
                ("task", .string("limits")), ("threads", .integer(session.threads)), ("isa", .string(session.instructionSet.text)),
                ("pinned_cpu", cpu.map { .integer($0) } ?? .null), ("int8_operations_per_second", Self.number(limits.int8Rate)),
                ("read_bytes_per_second", Self.number(limits.readRate)),
            ])
        }
        let int8 = limits.int8Rate.map { "\(Format.decimal($0 * 1e-9, 0)) GOPS of int8" } ?? "int8 unknown"
        let read = limits.readRate.map { "\(Format.decimal($0 * 1e-9, 1)) GB/s from memory" } ?? "memory unknown"
        Output.line("limits, \(Self.name(session.threads, session.instructionSet)): \(int8), \(read)\(cpu.map { ", pinned to CPU \($0)" } ?? "")")
    }

    func heading() {
        guard !json else { return }
        Output.line("")
        Output.line(
            "".padded(to: 42) + ["p50 ms", "p90 ms", "p99 ms", "tokens/s", "of int8", "of memory", "mJ"].map { $0.paddedLeft(to: 10) }.joined())
    }

    /// A line for each task of a session.
    func speed(_ session: BenchSession, _ plan: BenchPlan, _ limits: MachineLimits, _ program: ProgramView) {
        guard let entry = program.entry(plan.kind) else { return }
        let tasks = plan.lengths.map { BenchTask(kind: .read, tokens: $0) } + plan.depths.map { BenchTask(kind: .decode, tokens: $0) }
        for task in tasks {
            guard let samples = session.samples[task], !samples.seconds.isEmpty else { continue }
            let name = task.kind == .decode ? "decode" : plan.kind == .generate ? "prefill" : plan.kind.name
            let made = task.kind == .decode ? 1 : task.tokens
            // The middle of the tokens that were made stands for all of them.
            let work = Workload(program, entry, tokens: made, position: task.kind == .decode ? task.tokens + plan.decode / 2 : 0)
            let times = Distribution(samples.seconds)
            let median = max(times.median, 1e-9)
            let percentiles = [50.0, 90, 99].map { times.percentile($0) * 1e3 }
            let int8 = work.int8Operations > 0 ? limits.int8Rate.map { 100 * work.int8Operations / median / $0 } : nil
            let memory = limits.readRate.map { 100 * work.byteCount / median / $0 }
            let energy = samples.joules.map { $0 * 1e3 / Double(times.count) }
            if json {
                Output.json([
                    ("task", .string(name)), ("tokens", .integer(task.tokens)), ("threads", .integer(session.threads)),
                    ("isa", .string(session.instructionSet.text)), ("runs", .integer(times.count)),
                    ("p50_milliseconds", .number(percentiles[0])), ("p90_milliseconds", .number(percentiles[1])),
                    ("p99_milliseconds", .number(percentiles[2])), ("fastest_milliseconds", .number(times.least * 1e3)),
                    ("tokens_per_second", .number(Double(made) / median)), ("percent_of_int8_limit", Self.number(int8)),
                    ("percent_of_memory_limit", Self.number(memory)), ("millijoules", Self.number(energy)),
                    ("int8_operations", .number(work.int8Operations)), ("memory_bytes", .number(work.byteCount)),
                ])
            } else {
                let place = task.kind == .decode ? "at depth \(task.tokens)" : "\(task.tokens) tokens"
                let percent = [int8, memory].map { $0.map { "\(Format.decimal($0, 0)) %" } ?? "-" }
                let cells = percentiles.map { Format.decimal($0, 3) } + [Format.decimal(Double(made) / median, 0)] + percent
                    + [energy.map { Format.decimal($0, 2) } ?? "-"]
                Output.line(
                    name.padded(to: 9) + place.padded(to: 15) + Self.name(session.threads, session.instructionSet).padded(to: 18)
                        + cells.map { $0.paddedLeft(to: 10) }.joined())
            }
        }
    }

    private static func name(_ threads: Int, _ set: InstructionSet) -> String { "T\(threads) \(set.text)" }

    private static func number(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
}
