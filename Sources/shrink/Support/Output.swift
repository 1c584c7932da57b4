@preconcurrency import Glibc
import ShrinkJSON

/// Standard output for results, standard error for everything else.
enum Output {
    static func line(_ text: String) { write(text + "\n") }

    static func json(_ members: [(String, JSON)]) {
        line(JSON.members(members).serialized)
        fflush(stdout)
    }

    static func write(_ text: String) {
        var text = text
        text.withUTF8 { _ = fwrite($0.baseAddress, 1, $0.count, stdout) }
    }

    static func write(_ bytes: UnsafeBufferPointer<UInt8>) {
        fwrite(bytes.baseAddress, 1, bytes.count, stdout)
        fflush(stdout)
    }

    static func message(_ text: String) {
        fflush(stdout)
        var text = text + "\n"
        text.withUTF8 { _ = fwrite($0.baseAddress, 1, $0.count, stderr) }
    }

    /// Makes sure that results reached their reader.
    static func finish() throws {
        if fflush(stdout) != 0 || ferror(stdout) != 0 {
            throw CommandFailure("standard output could not be written: \(String(cString: strerror(errno)))", exitCode: CommandFailure.inputOutput)
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
        let scaled = Int((abs(value) * factor).rounded())
        let whole = "\(value < 0 && scaled != 0 ? "-" : "")\(scaled / Int(factor))"
        guard digits > 0 else { return whole }
        let fraction = "\(scaled % Int(factor))"
        return whole + "." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
}
