import ArgumentParser
import ShrinkCheckpoints
import ShrinkJSON
import ShrinkTraining

struct Plot: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Draw loss and metric curves of training runs.",
        discussion: """
            Reads metrics.jsonl in the directories of runs, which may still be going on, and writes one file that needs nothing \
            else: .html is a page that shows the values under the pointer, .svg a picture. Noisy values are faint behind a \
            smoothed curve (a local linear fit over a twentieth of the run); axes are logarithmic where values span a decade.

            With --json: {"output": …, "bytes": …, "runs": …, "lines": …, "bad_lines": …}.
            """)

    @Argument(help: "Directories of runs.") var runs: [String]
    @Option(name: [.short, .long], help: "The file to write, .html or .svg.") var output = "plot.html"
    @Option(help: "The share of lines that may be bad.") var maxBadLines = 0.01
    @Flag(help: "One JSON object.") var json = false
    @Flag(help: "No progress, no notes.") var quiet = false

    func validate() throws {
        if !(1...MetricPlot.maximumRuns ~= runs.count) { throw ValidationError("Give from 1 to \(MetricPlot.maximumRuns) runs.") }
        if !output.hasSuffix(".html"), !output.hasSuffix(".svg") { throw ValidationError("--output must end in .html or .svg.") }
        if !(0...1 ~= maxBadLines) { throw ValidationError("--max-bad-lines must be from 0 to 1.") }
    }

    func run() throws {
        var lines = 0, badLines = 0
        let metrics = try runs.map { path in
            let progress = Progress(path, quiet: quiet)
            defer { progress.clear() }
            let badRows = BadRows(maximumShare: maxBadLines) { error in
                progress.clear()
                if !quiet { Output.message("note: \("\(error)".onOneLine); left out") }
            }
            let run = try RunMetrics(directory: path, badRows: badRows, progress: progress.update)
            lines += run.lineCount
            badLines += badRows.count
            return run
        }
        let plot = MetricPlot(metrics), bytes = Array((output.hasSuffix(".svg") ? plot.svg : plot.html).utf8)
        try Interrupt.check()
        let file = try ReplacementFile(path: output, expectedByteCount: bytes.count)
        try bytes.withUnsafeBytes { try file.write($0) }
        try file.commit()
        if json {
            Output.json([
                ("output", .string(output)), ("bytes", .integer(bytes.count)), ("runs", .integer(metrics.count)), ("lines", .integer(lines)),
                ("bad_lines", .integer(badLines)),
            ])
        } else {
            Output.line(output)
        }
    }
}
