@preconcurrency import Glibc
import ShrinkJSON

/// Standard output for results, standard error for everything else.
enum Output {
    /// Called before any file is opened: one that got the number of a closed standard stream would have
    /// messages written into it. Results for a closed standard output are an error, so it is not opened for writing.
    static func reserveDescriptors() {
        while case let descriptor = open("/dev/null", O_RDONLY), descriptor >= 0 {
            if descriptor > STDERR_FILENO { close(descriptor); return }
        }
    }

    static func line(_ text: String) { write(text + "\n") }

    static func json(_ members: [(String, JSON)]) {
        line(JSON.members(members).serialized)
        flush()
    }

    static func write(_ text: String) {
        var text = text
        text.withUTF8 { if fwrite($0.baseAddress, 1, $0.count, stdout) < $0.count { giveUp() } }
    }

    static func write(_ bytes: UnsafeBufferPointer<UInt8>) {
        if fwrite(bytes.baseAddress, 1, bytes.count, stdout) < bytes.count { giveUp() }
        flush()
    }

    /// Makes sure that results reached their reader.
    static func flush() {
        if fflush(stdout) != 0 { giveUp() }
    }

    /// Nobody gets the results, so there is no sense in computing more of them. Commands write results
    /// when their files are complete: nothing is left half-done. A reader that has gone, as `head`
    /// does, is no error to talk about; the code is that of the signal which other tools die of.
    private static func giveUp() -> Never {
        let code = errno
        if code == EPIPE { _exit(128 + SIGPIPE) }
        if code == EINTR, Interrupt.flag.pointee != 0 {
            fputs("shrink: interrupted\n", stderr)
            _exit(CommandFailure.interrupted)
        }
        fputs("shrink: standard output could not be written: \(String(cString: strerror(code)))\n", stderr)
        _exit(CommandFailure.inputOutput)
    }

    static func message(_ text: String) {
        flush()
        var text = text + "\n"
        text.withUTF8 { _ = fwrite($0.baseAddress, 1, $0.count, stderr) }
    }
}

extension String {
    /// With control characters as escapes: messages quote names from files, which may hold anything.
    var onOneLine: String {
        unicodeScalars.reduce(into: "") { text, scalar in
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: text += scalar.escaped(asASCII: true)
            default: text.unicodeScalars.append(scalar)
            }
        }
    }
}

/// Numbers for people.
enum Format {
    static func bytes(_ count: Int) -> String {
        switch count {
        case ..<1024: "\(count) B"
        case ..<(1 << 20): "\(decimal(Double(count) / 1024, 1)) KiB"
        case ..<(1 << 30): "\(decimal(Double(count) / Double(1 << 20), 1)) MiB"
        default: "\(decimal(Double(count) / Double(1 << 30), 2)) GiB"
        }
    }

    static func decimal(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return "\(value)" }
        var factor = 1.0
        for _ in 0..<digits { factor *= 10 }
        guard abs(value) * factor < 0x1p62 else { return "\(value)" }
        let scaled = Int((abs(value) * factor).rounded())
        let whole = "\(value < 0 && scaled != 0 ? "-" : "")\(scaled / Int(factor))"
        guard digits > 0 else { return whole }
        let fraction = "\(scaled % Int(factor))"
        return whole + "." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
}
