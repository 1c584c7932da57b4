@preconcurrency import Glibc

/// Progress of long work on standard error: a line that is rewritten on a terminal, a plain line now
/// and then when piped, nothing when quiet. Checks for interruption on the way.
final class Progress {
    private let title: String
    private let isQuiet: Bool
    private let isTerminal = isatty(STDERR_FILENO) == 1 && getenv("TERM").map { strcmp($0, "dumb") != 0 } ?? true
    private let start = Progress.now()
    private var lastShown = 0.0
    private var hasLine = false

    init(_ title: String, quiet: Bool) {
        self.title = title
        isQuiet = quiet
    }

    func update(_ done: Int, _ total: Int) throws {
        do { try Interrupt.check() } catch {
            clear()
            throw error
        }
        guard !isQuiet, total > 0 else { return }
        let now = Progress.now()
        // Ten times a second on a terminal, every ten seconds in a log; short work says nothing there.
        guard now - max(lastShown, start) >= (isTerminal ? 0.1 : 10) else { return }
        lastShown = now
        let fraction = Double(done) / Double(total)
        var text = "\(title): \(Format.decimal(fraction * 100, 0)) %"
        if fraction > 0.01 { text += ", \(Progress.duration((now - start) / fraction * (1 - fraction))) left" }
        show(text)
    }

    /// Ends the line with what has been achieved, perhaps since an earlier start than this progress's own.
    func finish(_ result: String, since start: Double? = nil) {
        clear()
        if !isQuiet { Output.message("\(title): \(result) in \(Progress.duration(Progress.now() - (start ?? self.start)))") }
    }

    /// A bar with words behind it, which may be rewritten as often as one likes. Does not look for interruption.
    func show(_ done: Int, of total: Int, _ text: @autoclosure () -> String) {
        guard !isQuiet, total > 0 else { return }
        let now = Progress.now()
        guard now - max(lastShown, start) >= (isTerminal ? 0.1 : 10) else { return }
        lastShown = now
        let fraction = min(max(Double(done) / Double(total), 0), 1), width = 20, filled = Int(fraction * Double(width))
        let bar = isTerminal ? "[\(String(repeating: "#", count: filled))\(String(repeating: ".", count: width - filled))] " : ""
        show("\(title): \(bar)\(Format.decimal(fraction * 100, 0)) %, \(text())")
    }

    /// Columns of the terminal.
    private static var columns: Int {
        var size = winsize()
        return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : 80
    }

    private func show(_ text: String) {
        if isTerminal {
            // A line that wraps could not be taken away again.
            fputs("\r\u{1B}[K\(text.prefix(Progress.columns - 1))", stderr)
            hasLine = true
        } else {
            Output.message(text)
        }
    }

    /// Takes the line away, for what is printed next.
    func clear() {
        if hasLine { fputs("\r\u{1B}[K", stderr) }
        hasLine = false
    }

    /// Seconds of the monotonic clock.
    static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    static func duration(_ seconds: Double) -> String {
        seconds < 60 ? "\(Format.decimal(seconds, 1)) s" : "\(Int(seconds) / 60) min \(Int(seconds) % 60) s"
    }
}
