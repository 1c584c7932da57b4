import ArgumentParser
import ShrinkFormat
import ShrinkJSON
import ShrinkRuntime

struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure how fast an artifact runs here, without loading it and without tokenizing.",
        discussion: """
            A language model reads so many tokens (prefill) and then makes tokens one by one behind them \
            (decode); other models read one input. Times are medians over the rounds, after one round that \
            does not count; the tokens are made up.

            With --json, for each measurement: {"task": "prefill" | "decode" | "embed" | "classify" | "tag" | \
            "encode", "tokens": …, "threads": …, "isa": …, "rounds": …, "milliseconds": …, \
            "fastest_milliseconds": …, "tokens_per_second": …, "peak_rss_bytes": …}. "tokens" is the length \
            of the input, of "decode" the depth at its start; its milliseconds are for one token.
            """)

    @Argument(help: "A .shrink artifact.") var model: String
    @Option(help: "Length of the input; may be given several times (default: 128 and 512 for language models, 16, 64 and 128 for others).")
    var tokens: [Int] = []
    @Option(help: "Tokens to make behind each prefill.") var decode = 32
    @Option(help: "How often each measurement is made.") var rounds = 5
    @OptionGroup var options: RunOptions

    func validate() throws {
        if tokens.contains(where: { $0 < 1 }) { throw ValidationError("--tokens must be positive.") }
        if !(0...65_536 ~= decode) { throw ValidationError("--decode must be from 0 to 65536.") }
        if !(1...1_000_000 ~= rounds) { throw ValidationError("--rounds must be from 1 to 1000000.") }
    }

    func run() throws {
        let model = try ArtifactFile.open(self.model)
        let kinds: [EntryRecord.Kind] = [.generate, .embed, .classify, .tag, .encode]
        guard let kind = kinds.first(where: { model.program.entry($0) != nil }), let entry = model.program.entry(kind) else {
            throw CommandFailure("\(self.model): no entry point to measure; `shrink inspect` lists what it has")
        }
        let lengths = tokens.isEmpty ? (kind == .generate ? [128, 512] : [16, 64, 128]) : tokens
        let limit = kind.isIncremental ? Int(model.program.header.maximumPositions) : Int(entry.maximumTokens)
        let made = kind.isIncremental ? decode : 0
        let longest = lengths.max() ?? 1
        guard longest <= limit - made else {
            throw CommandFailure(
                "\(self.model): the model has room for \(limit) tokens; \(longest) and \(made) behind them do not fit",
                exitCode: CommandFailure.usage)
        }
        var sessionOptions = SessionOptions(kind: kind)
        sessionOptions.context = longest + made
        sessionOptions.threads = options.threadCount
        sessionOptions.instructionSet = try ArtifactFile.forcedInstructionSet()
        sessionOptions.cancelFlag = UnsafePointer(Interrupt.flag)
        let stopwatch = Stopwatch(try Session(model, sessionOptions), vocabulary: model.program.header.vocabularySize)

        for length in lengths {
            var whole: [Double] = []
            var single: [Double] = []
            for round in 0...rounds {
                let (first, rest) = try stopwatch.run(length: length, decode: made)
                if round == 0 { continue }
                whole.append(first)
                single.append(rest)
            }
            report(kind == .generate ? "prefill" : kind.name, length, whole, tokensEach: length, stopwatch)
            if made > 0 { report("decode", length, single, tokensEach: 1, stopwatch) }
        }
    }

    private func report(_ task: String, _ length: Int, _ seconds: [Double], tokensEach: Int, _ stopwatch: Stopwatch) {
        let sorted = seconds.sorted()
        let median = (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
        let rate = Double(tokensEach) / max(median, 1e-9)
        if options.json {
            Output.json([
                ("task", .string(task)), ("tokens", .integer(length)), ("threads", .integer(options.threadCount)),
                ("isa", .string(stopwatch.instructionSet)), ("rounds", .integer(rounds)), ("milliseconds", .number(median * 1e3)),
                ("fastest_milliseconds", .number(sorted[0] * 1e3)), ("tokens_per_second", .number(rate)),
                ("peak_rss_bytes", .integer(ProcessMemory.peak)),
            ])
        } else {
            let place = task == "decode" ? "behind \(length) tokens" : "\(length) tokens"
            Output.line(
                "\(task.padded(to: 9))\(place.padded(to: 19))\(Format.decimal(median * 1e3, 3).paddedLeft(to: 9)) ms  "
                    + "\(Format.decimal(rate, 0).paddedLeft(to: 7)) tokens/s  (\(stopwatch.instructionSet), threads: \(options.threadCount))")
        }
    }
}

/// Times the steps of a session over made-up tokens.
private final class Stopwatch {
    private var session: Session
    private let vocabulary: UInt32
    let instructionSet: String

    init(_ session: consuming Session, vocabulary: UInt32) {
        instructionSet = session.instructionSet.name.map { String(cString: $0) } ?? "?"
        self.session = session
        self.vocabulary = vocabulary
    }

    /// Seconds to read `length` tokens from the start, and seconds a token to make `decode` more.
    func run(length: Int, decode: Int) throws -> (whole: Double, single: Double) {
        let tokens = (0..<UInt32(length + decode)).map { ($0 &* 2_654_435_761) % vocabulary }
        session.reset()
        return try tokens.withUnsafeBufferPointer { tokens in
            let start = Progress.now()
            _ = try session.feed(UnsafeBufferPointer(rebasing: tokens[..<length]))
            let middle = Progress.now()
            for i in length..<(length + decode) { _ = try session.step(UnsafeBufferPointer(rebasing: tokens[i...i])) }
            return (middle - start, (Progress.now() - middle) / Double(max(decode, 1)))
        }
    }
}
