import ArgumentParser
import ShrinkFormat
import ShrinkJSON
import ShrinkRuntime

struct Run: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Continue a prompt with a language model; the text streams as it is made.",
        discussion: """
            With --json, one object at the end: {"prompt": …, "text": …, "prompt_tokens": …, "tokens": …, \
            "stop": "end" | "length" | "context", "prefill_tokens_per_second": …, "decode_tokens_per_second": …, \
            "file_bytes": …, "predicted_session_bytes": …, "predicted_peak_bytes": …, "peak_rss_bytes": …}.
            """)

    @Argument(help: "A .shrink artifact.") var model: String
    @Option(help: "The text to continue, or the question with --chat.") var prompt: String
    @Flag(help: "Put the prompt into the model's chat format.") var chat = false
    @Option(help: "The system message of --chat (default: the model's own).") var system: String?
    @Option(help: "Stop after so many tokens.") var maxTokens = 256
    @Option(help: "0 takes the most likely token; higher is more varied.") var temperature: Float = 0
    @Option(help: "Draw from the k most likely tokens only (0: all).") var topK = 0
    @Option(help: "Draw from the most likely tokens that reach this probability together.") var topP: Float = 1
    @Option(help: "Of the random draws: the same seed gives the same text.") var seed: UInt64 = 0
    @Option(help: "Tokens of room for prompt and answer (default: what they need).") var context: Int?
    @Flag(help: "Skip the checksum of the weights.") var noVerify = false
    @OptionGroup var options: RunOptions

    func validate() throws {
        if maxTokens < 1 { throw ValidationError("--max-tokens must be positive.") }
        if let context, context < 1 { throw ValidationError("--context must be positive.") }
        if system != nil, !chat { throw ValidationError("--system needs --chat.") }
        if !temperature.isFinite || temperature < 0 { throw ValidationError("--temperature must be a number from 0 up.") }
        if !(topP > 0 && topP <= 1) { throw ValidationError("--top-p must be above 0 and at most 1.") }
        if temperature == 0, topK != 0 || topP != 1 { throw ValidationError("--top-k and --top-p need a --temperature above 0.") }
        if topK < 0 { throw ValidationError("--top-k must not be negative.") }
    }

    func run() throws {
        let startMemory = ProcessMemory.resident
        let model = try ArtifactFile.open(self.model, verify: !noVerify)
        guard model.program.entry(.generate) != nil else {
            throw CommandFailure("\(self.model): not a language model; use `shrink embed` or `shrink classify`")
        }
        guard let tables = model.bytes(of: .tokenizer) else { throw CommandFailure("\(self.model): the artifact has no tokenizer") }
        let tokenizer = try TextTokenizer(tables: tables)
        try tokenizer.check(fits: Int(model.program.header.vocabularySize), of: self.model)
        let promptTokens = chat ? try tokenizer.encodeChat(system: system, user: prompt) : try tokenizer.encode(prompt).tokens
        guard !promptTokens.isEmpty else { throw CommandFailure("the prompt is empty; give --prompt some text", exitCode: CommandFailure.usage) }

        let limit = model.program.header.positionLimit
        if let context, let limit, context > limit {
            throw CommandFailure("--context \(context) is longer than the model's \(limit)", exitCode: CommandFailure.usage)
        }
        // Without a limit, nothing grows with the context.
        let room = limit.map { min(context ?? promptTokens.count + min(maxTokens, $0), $0) } ?? context ?? .max
        guard promptTokens.count < room else {
            throw CommandFailure("the prompt has \(promptTokens.count) tokens, which leaves no room in a context of \(room)")
        }
        var sessionOptions = SessionOptions(kind: .generate)
        sessionOptions.context = room
        sessionOptions.threads = options.threadCount
        sessionOptions.instructionSet = try ArtifactFile.forcedInstructionSet()
        sessionOptions.cancelFlag = UnsafePointer(Interrupt.flag)
        var sampling = SamplerOptions()
        sampling.temperature = temperature
        sampling.topK = topK
        sampling.topP = topP
        sampling.seed = seed
        let generator = try TextGenerator(model, tokenizer, sessionOptions, sampling: sampling)

        let start = Progress.now()
        let first = try generator.start(promptTokens)
        let decodeStart = Progress.now()
        let stop: TextGenerator.Stop
        do {
            stop = try generator.generate(from: first, limit: maxTokens) { if !options.json { Output.write($0) } }
        } catch {
            if !options.json { Output.line("") }
            throw error
        }
        let end = Progress.now()

        let prefillRate = Double(promptTokens.count) / max(decodeStart - start, 1e-9)
        let decodeRate = Double(generator.decodeSteps) / max(end - decodeStart, 1e-9)
        if options.json {
            Output.json([
                ("prompt", .string(prompt)), ("text", .string(generator.output)),
                ("prompt_tokens", .integer(promptTokens.count)), ("tokens", .integer(generator.tokenCount)), ("stop", .string(stop.rawValue)),
                ("prefill_tokens_per_second", .number(prefillRate)), ("decode_tokens_per_second", .number(decodeRate)),
                ("file_bytes", .integer(FileSize.of(self.model))), ("predicted_session_bytes", .integer(generator.byteCount)),
                ("predicted_peak_bytes", .integer(startMemory + FileSize.of(self.model) + generator.byteCount + generator.samplerByteCount)),
                ("peak_rss_bytes", .integer(ProcessMemory.peak)),
            ])
        } else {
            Output.line("")
            if !options.quiet {
                if stop == .context { Output.message("note: the context of \(room) tokens is full") }
                Output.message(
                    "\(promptTokens.count) prompt tokens at \(Format.decimal(prefillRate, 0)) tokens/s, \(generator.tokenCount) tokens at \(Format.decimal(decodeRate, 0)) tokens/s, peak memory \(Format.bytes(ProcessMemory.peak))")
            }
        }
    }
}
