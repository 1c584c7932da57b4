import ArgumentParser
@preconcurrency import Glibc

/// Options that several commands share.
struct RunOptions: ParsableArguments {
    @Option(help: "Threads to compute with (default: all cores, \(RunOptions.cores) here).") var threads: Int?
    @Flag(help: "One JSON object a line.") var json = false
    @Flag(help: "No progress, no notes.") var quiet = false

    static let cores = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))

    var threadCount: Int { threads ?? RunOptions.cores }

    func validate() throws {
        if let threads, !(1...256 ~= threads) { throw ValidationError("--threads must be from 1 to 256.") }
    }
}

/// Texts from `--text`, from the lines of `--file`, or from the lines of standard input.
struct TextInput: ParsableArguments {
    @Option(help: "A text; may be given several times.") var text: [String] = []
    @Option(help: "A file with one text a line.") var file: String?

    func validate() throws {
        if !text.isEmpty, file != nil { throw ValidationError("Give --text or --file, not both.") }
    }

    /// Progress is shown where it does not mix with the results: of a file, when those go elsewhere.
    func forEach(quiet: Bool, _ body: (String) throws -> Void) throws {
        if !text.isEmpty { return try text.forEach(body) }
        let stream: UnsafeMutablePointer<FILE>
        if let file {
            guard let opened = fopen(file, "r") else {
                let code = errno == ENOENT ? CommandFailure.notFound : CommandFailure.inputOutput
                throw CommandFailure("\(file): \(String(cString: strerror(errno)))", exitCode: code)
            }
            stream = opened
        } else {
            stream = stdin
        }
        defer { if file != nil { fclose(stream) } }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        let progress = Progress("texts", quiet: quiet || file == nil || isatty(STDOUT_FILENO) == 1)
        defer { progress.clear() }
        var status = stat()
        let size = fstat(fileno(stream), &status) == 0 ? Int(status.st_size) : 0
        var read = 0
        while true {
            try progress.update(read, size)
            var count = getline(&line, &capacity, stream)
            guard count > 0, let line else { break }
            read += count
            var bytes = UnsafeRawBufferPointer(start: line, count: count)
            if read == count, bytes.starts(with: [0xEF, 0xBB, 0xBF]) {
                // The byte-order mark that some editors put before a text is no part of it.
                bytes = UnsafeRawBufferPointer(rebasing: bytes[3...])
                count -= 3
            }
            while count > 0, bytes[count - 1] == 0x0A || bytes[count - 1] == 0x0D { count -= 1 }
            try body(String(decoding: bytes[..<count], as: UTF8.self))
        }
        try Interrupt.check()
        if ferror(stream) != 0 {
            throw CommandFailure("\(file ?? "standard input"): \(String(cString: strerror(errno)))", exitCode: CommandFailure.inputOutput)
        }
    }
}
