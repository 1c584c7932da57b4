import ArgumentParser
import ShrinkJSON

struct Embed: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Turn texts into vectors.",
        discussion: """
            One line for each text: the numbers, separated by spaces. With --json: {"text": …, "embedding": […]}. \
            Texts longer than the model reads are cut, and a note says so. Special tokens spelled out in a text count as \
            plain text.
            """)

    @Argument(help: "A .shrink artifact, or a checkpoint to run in fp32.") var model: String
    @OptionGroup var input: TextInput
    @Flag(help: "Skip the checksum of the weights.") var noVerify = false
    @OptionGroup var options: RunOptions

    func run() throws {
        let model = try TextModels.open(self.model, threads: options.threadCount, verify: !noVerify)
        try input.forEach(quiet: options.quiet) { text in
            let (vector, wasCut) = try model.row(.embed, text)
            if options.json {
                Output.json([("text", .string(text)), ("embedding", .array(vector.map { .number(Double($0)) }))])
            } else {
                Output.line(vector.map { "\($0)" }.joined(separator: " "))
            }
            if wasCut, !options.quiet { Output.message("note: a text was cut to \(model.maximumTokens(.embed) ?? 0) tokens") }
        }
    }
}
