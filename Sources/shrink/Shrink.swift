import ArgumentParser
import Glibc

@main
struct Shrink: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shrink",
        abstract: "Make trained language models and encoders small, and run them on small devices.",
        discussion: """
            A checkpoint (a Hugging Face directory or a .gguf file) becomes one .shrink file, which the \
            runtime maps and runs. Results go to standard output, progress and messages to standard error.

            Exit codes: 0 done; 1 the result is negative (a failed check); 64 wrong usage; 65 bad input; \
            66 input not found; 69 not possible on this machine; 74 a file could not be read or written; \
            130 interrupted; 141 the reader of standard output has gone.

            Environment: SHRINK_ISA forces an instruction set (see `shrink cpu`); NO_COLOR is honoured: \
            nothing is ever coloured.
            """,
        version: "0.1.0",
        subcommands: [
            Inspect.self, Quantize.self, Run.self, Embed.self, Classify.self, Eval.self, Compare.self, Bench.self,
            Train.self, Distill.self, TokenizerCommand.self, CPU.self,
        ])

    static func main() {
        do {
            Output.reserveDescriptors()
            var command = try parseAsRoot()
            Interrupt.install()
            try command.run()
            Output.flush()
        } catch let exit as ExitCode {
            Glibc.exit(exit.rawValue)
        } catch {
            guard let failure = CommandFailure(error) else { Shrink.exit(withError: error) }
            Output.message("shrink: \(failure.description.onOneLine)")
            Glibc.exit(failure.exitCode)
        }
    }
}
