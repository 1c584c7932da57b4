/// Where the examples of a task about whole texts, or about their words, are in files.
public struct SequenceSource: Sendable {
    /// What is known of an example.
    public enum Target: Sendable, Equatable {
        case none
        /// A column with one of these names.
        case classes(DataColumn, [String])
        /// A column with a number, for regression.
        case number(DataColumn)
        /// A column with one of these names for each word of the first column.
        case tags(DataColumn, [String])
    }

    public var files: [String]
    /// Nil to tell by the names of the files.
    public var format: DataFormat?
    public var first: DataColumn
    /// The second text of a pair.
    public var second: DataColumn?
    public var target: Target

    public init(files: [String], format: DataFormat? = nil, first: DataColumn, second: DataColumn? = nil, target: Target = .none) {
        self.files = files
        self.format = format
        self.first = first
        self.second = second
        self.target = target
    }
}

extension ExampleEncoder {
    /// More different labels than this are no labels.
    public static let maximumLabelCount = 65_536

    /// The labels that occur in a column, whole or word by word: in the order of their numbers where all are integers, else of their bytes.
    /// - Throws: `DataError`; `badTable` when there are more than `maximumLabelCount`.
    public func labelNames(
        of files: [String], format: DataFormat? = nil, column: DataColumn, isByWord: Bool = false, badRows: BadRows, limits: DataLimits = DataLimits(),
        progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws -> [String] {
        var names: Set<[UInt8]> = []
        try forEachRow(of: files, format: format, columns: [column], badRows: badRows, limits: limits, progress: progress) { row, reader in
            guard let row else { return }
            for name in isByWord ? row[0].words : [row[0].text] { names.insert(Array(name.utf8)) }
            guard names.count <= Self.maximumLabelCount else {
                throw DataError(
                    .badTable, file: reader.path, line: reader.line,
                    "column \(column) has more than \(Self.maximumLabelCount) different labels; is it the right one?")
            }
        }
        try badRows.check()
        let texts = names.map { String(decoding: $0, as: UTF8.self) }
        let numbers = texts.compactMap { Int($0) }
        if numbers.count == texts.count {
            return zip(numbers, texts).sorted { $0.0 == $1.0 ? Array($0.1.utf8).lexicographicallyPrecedes(Array($1.1.utf8)) : $0.0 < $1.0 }.map(\.1)
        }
        return names.sorted { $0.lexicographicallyPrecedes($1) }.map { String(decoding: $0, as: UTF8.self) }
    }

    /// Encodes every row as an example. Bad rows are, besides those of the file's form: an empty text, an unknown label, a target
    /// that is no finite number, not as many tags as words.
    ///
    /// - Parameters:
    ///   - limit: tokens of an example with the special ones; longer texts are cut (`SequenceTemplate`).
    ///   - writer: with tags if the target is tags.
    /// - Throws: `DataError`; `noData` when there are no rows; `CheckpointError` when the file cannot be written.
    public func encodeSequences(
        of source: SequenceSource, limit: Int, into writer: ExampleWriter, badRows: BadRows, limits: DataLimits = DataLimits(),
        progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws {
        let files = source.files.joined(separator: ", ")
        guard limit > overhead(isPair: source.second != nil) else {
            throw DataError(.badTable, file: files, "\(limit) tokens leave no room for text: the tokenizer puts \(overhead(isPair: source.second != nil)) special ones around it")
        }
        var columns = [source.first]
        if let second = source.second { columns.append(second) }
        var places: [[UInt8]: UInt32] = [:]
        switch source.target {
        case .none: break
        case .number(let column): columns.append(column)
        case .classes(let column, let names), .tags(let column, let names):
            columns.append(column)
            for (i, name) in names.enumerated() { places[Array(name.utf8)] = UInt32(i) }
            if case .tags = source.target, source.second != nil { throw DataError(.badTable, file: files, "tags are for words of one text, not of pairs") }
        }
        try forEachRow(of: source.files, format: source.format, columns: columns, badRows: badRows, limits: limits, progress: progress) { row, reader in
            guard let row else { return }
            // Between paragraphs of plain text.
            if reader.format == .text, row[0].text.allSatisfy(\.isWhitespace) { return }
            do {
                try writer.append(try self.example(row, source, places, limit: limit))
            } catch let problem as RowProblem {
                try reader.refuse(problem.reason)
            }
        }
        try badRows.check()
        guard writer.count > 0 else { throw DataError(.noData, file: files, "there are no rows") }
    }

    /// Why a row is no example.
    private struct RowProblem: Error {
        var reason: String
    }

    private func example(_ row: [DataField], _ source: SequenceSource, _ places: [[UInt8]: UInt32], limit: Int) throws -> Example {
        func place(_ name: String) throws -> UInt32 {
            guard let place = places[Array(name.utf8)] else { throw RowProblem(reason: "the label \"\(name.prefix(40))\" is not one of the \(places.count) known ones") }
            return place
        }
        let target = row[row.count - 1]
        if case .tags = source.target {
            let words = row[0].words
            let tags = try target.words.map { Int32(try place($0)) }
            guard words.count == tags.count else { throw RowProblem(reason: "has \(words.count) words but \(tags.count) tags") }
            guard !words.isEmpty else { throw RowProblem(reason: "has no words") }
            return try example(words: words, tags: tags, limit: limit)
        }
        guard !row[0].text.isEmpty, source.second == nil || !row[1].text.isEmpty else { throw RowProblem(reason: "the text is empty") }
        var example = try example(row[0].text, source.second.map { _ in row[1].text }, limit: limit)
        guard !example.tokens.isEmpty else { throw RowProblem(reason: "the text has no tokens") }
        switch source.target {
        case .none, .tags: break
        case .classes: example.label = try place(target.text)
        case .number:
            guard let number = Float(target.text), number.isFinite else { throw RowProblem(reason: "\"\(target.text.prefix(40))\" is no number") }
            example.label = number.bitPattern
        }
        return example
    }
}
