/// Where one document of plain text ends and the next begins.
public enum DocumentBoundary: String, Sendable, CaseIterable {
    /// Every file is one document: its text goes on across empty lines, as that of books does.
    case file
    /// Empty lines (nothing but white space) are between documents.
    case emptyLines = "empty-lines"
}

extension ExampleEncoder {
    /// Pieces of text are this long at least before they are encoded.
    static let pieceByteCount = 1 << 16
    /// From here on any line end will do.
    static let maximumPieceByteCount = 1 << 20

    /// Encodes documents for a language model: an example for each, ended by `endOfText`. Documents without tokens are left out.
    ///
    /// A document of `.txt` is encoded in pieces of 64 KiB or more, which end at a line feed between two characters that are not white
    /// space: there the words of the text are the same with and without the cut. Where none is found in a megabyte, any line end
    /// does. Of tables and `.jsonl`, every field of `column` is a document.
    ///
    /// - Parameters:
    ///   - column: not used for `.txt`.
    ///   - progress: gets bytes of files on the disk, done and in all; may throw to stop.
    /// - Throws: `DataError`; `noData` when there is no text; `CheckpointError` when the file cannot be written.
    public func encodeDocuments(
        of files: [String], format: DataFormat? = nil, column: DataColumn = .name("text"), boundary: DocumentBoundary = .file, endOfText: Int32,
        into writer: ExampleWriter, badRows: BadRows, limits: DataLimits = DataLimits(), progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws {
        var document = Document(encoder: self, writer: writer, endOfText: endOfText)
        try forEachRow(of: files, format: format, columns: [column], badRows: badRows, limits: limits, progress: progress) { row, reader in
            guard let row else { return try document.finish() }
            guard reader.format == .text else {
                try document.add(Array(row[0].text.utf8))
                return try document.finish()
            }
            let line = Array(reader.lineBytes)
            if boundary == .emptyLines, line.allSatisfy(Self.isSpace) { return try document.finish() }
            try document.add(line)
        }
        try badRows.check()
        guard writer.count > 0 else { throw DataError(.noData, file: files.joined(separator: ", "), "there is no text") }
    }

    /// Encodes sentences for next-sentence prediction: every line is one, empty lines are between documents. An example's label
    /// is the number of its document, from 0; it has no special tokens.
    public func encodeSentences(
        of files: [String], into writer: ExampleWriter, badRows: BadRows, limits: DataLimits = DataLimits(),
        progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws {
        var document: UInt32 = 0
        var isEmpty = true
        try forEachRow(of: files, format: .text, columns: [], badRows: badRows, limits: limits, progress: progress) { row, _ in
            let tokens = try row.map { try self.tokens(of: Array($0[0].text.utf8)) } ?? []
            if tokens.isEmpty {
                if !isEmpty { document += 1 }
                isEmpty = true
            } else {
                try writer.append(Example(tokens: tokens, label: document))
                isEmpty = false
            }
        }
        try badRows.check()
        guard writer.count > 0 else { throw DataError(.noData, file: files.joined(separator: ", "), "there is no text") }
    }

    /// Calls `body` with every good row, and with nil after each file.
    func forEachRow(
        of files: [String], format: DataFormat?, columns: [DataColumn], badRows: BadRows, limits: DataLimits,
        progress: (Int, Int) throws -> Void, _ body: ([DataField]?, RowReader) throws -> Void
    ) throws {
        // Opened once before the work, so that a missing file or column is known at once.
        let sizes = try files.map { try RowReader(path: $0, format: format, columns: columns, badRows: badRows, limits: limits).byteCount }
        let total = sizes.reduce(0, +)
        var (done, rows) = (0, 0)
        for (path, size) in zip(files, sizes) {
            let reader = try RowReader(path: path, format: format, columns: columns, badRows: badRows, limits: limits)
            while let row = try reader.next() {
                if rows & 255 == 0 { try progress(done + reader.consumed, total) }
                rows += 1
                try body(row, reader)
            }
            try body(nil, reader)
            done += size
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    /// The document that is being encoded.
    private struct Document {
        let encoder: ExampleEncoder
        let writer: ExampleWriter
        let endOfText: Int32
        private var piece: [UInt8] = []
        private var isEmpty = true

        init(encoder: ExampleEncoder, writer: ExampleWriter, endOfText: Int32) {
            self.encoder = encoder
            self.writer = writer
            self.endOfText = endOfText
        }

        mutating func add(_ line: [UInt8]) throws {
            if piece.count >= pieceByteCount, piece.count >= maximumPieceByteCount || isCut(before: line) { try flush() }
            piece += line
        }

        private func isCut(before line: [UInt8]) -> Bool {
            guard let first = line.first, piece.last == 0x0A, let last = piece.dropLast().last else { return false }
            // Beyond ASCII it may be white space; then the next line is asked.
            return first < 0x80 && last < 0x80 && !isSpace(first) && !isSpace(last)
        }

        private mutating func flush() throws {
            try write(encoder.tokens(of: piece))
            piece.removeAll(keepingCapacity: true)
        }

        mutating func finish() throws {
            try flush()
            if isEmpty { return }
            try write([endOfText])
            writer.finish(label: 0)
            isEmpty = true
        }

        private mutating func write(_ tokens: [Int32]) throws {
            if tokens.isEmpty { return }
            isEmpty = false
            try writer.append(tokens: tokens, segments: [Int32](repeating: 0, count: tokens.count), tags: [])
        }
    }
}
