import ShrinkRuntime
import ShrinkTokenizers

extension TokenizerRecipe {
    /// A longer word is a bad row: no text has such words, and none is worth the time to learn from.
    public static let maximumWordByteCount = 65_536

    /// The words of text files, line by line with the line's end, as Hugging Face `tokenizers` trains on files.
    ///
    /// - Parameters:
    ///   - badRows: gets the lines that are no text and those with a word that is too long; they are left out.
    ///   - progress: gets bytes of files on the disk, done and in all; may throw to stop.
    /// - Throws: `DataError`, `RuntimeError` for want of memory, and what `progress` throws.
    public func countWords(
        in files: [String], badRows: BadRows, limits: DataLimits = DataLimits(), progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws -> WordCounts {
        let tables = try wordSplitter().encodedTables()
        return try tables.withUnsafeBytes { tables in
            var tokenizer = try Tokenizer(tables: tables, allocator: .system)
            var counts = WordCounts()
            // Opened once before the work, so that a missing file is known at once.
            let sizes = try files.map { try LineReader(path: $0, limits: limits).byteCount }
            var done = 0
            for (path, size) in zip(files, sizes) {
                let reader = try LineReader(path: path, limits: limits)
                while try reader.next() {
                    if reader.number & 1023 == 1 || reader.bytes.count > 1 << 16 { try progress(done + reader.consumed, sizes.reduce(0, +)) }
                    if let problem = reader.problem {
                        try badRows.refuse(file: path, line: reader.number, problem)
                    } else if try !Self.add(reader.bytes, to: &counts, &tokenizer) {
                        try badRows.refuse(
                            file: path, line: reader.number, "has a word of more than \(Self.maximumWordByteCount) bytes: is this text?")
                    } else {
                        badRows.accept()
                    }
                }
                done += size
            }
            try badRows.check()
            return counts
        }
    }

    /// False, and no change, when a word is too long.
    private static func add(_ line: [UInt8], to counts: inout WordCounts, _ tokenizer: inout Tokenizer) throws(RuntimeError) -> Bool {
        var longest = line.count
        if longest > maximumWordByteCount {
            longest = 0
            try line.withUnsafeBufferPointer { line throws(RuntimeError) in
                try tokenizer.forEachWord(of: line) { longest = max(longest, $0.count) }
            }
        }
        guard longest <= maximumWordByteCount else { return false }
        try line.withUnsafeBufferPointer { line throws(RuntimeError) in
            try tokenizer.forEachWord(of: line) { counts.add($0) }
        }
        return true
    }
}
