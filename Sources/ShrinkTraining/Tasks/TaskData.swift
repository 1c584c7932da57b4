import ShrinkTokenizers

/// Which data a model learns from, and how it becomes examples.
public struct TaskData: Sendable {
    public var objective: Objective
    public var files: [String]
    /// When empty, `validationShare` of the examples of `files` are held back.
    public var validationFiles: [String] = []
    public var validationShare = 0.05
    /// Columns of tables and `.jsonl`.
    public var text = DataColumn.name("text")
    /// The second text of pairs.
    public var pair: DataColumn?
    public var label = DataColumn.name("label")
    public var boundary = DocumentBoundary.file
    /// Tokens of an example with the special ones; what is longer is cut.
    public var maximumTokens: Int
    public var nextSentence = false
    public var maskedShare = 0.15
    public var masksWholeWords = false
    /// Scores are divided by it.
    public var scoreScale = 1.0
    /// Texts alone, as a student of a teacher needs them: what stands beside them is not read.
    public var isUnlabelled = false
    public var seed: UInt64 = 0

    public init(_ objective: Objective, files: [String], maximumTokens: Int) {
        self.objective = objective
        self.files = files
        self.maximumTokens = maximumTokens
    }

    /// What encoded examples depend on, beside files and tokenizer.
    func settings(_ labels: [String]) -> [String] {
        [objective.rawValue, "\(text)", pair.map { "\($0)" } ?? "", "\(label)", boundary.rawValue, "\(maximumTokens)", "\(nextSentence)", "\(scoreScale)"]
            + (nextSentence ? ["\(seed)"] : []) + (isUnlabelled ? ["unlabelled"] : []) + labels
    }

    /// - Throws: `TrainingError` for data that cannot serve the objective.
    func check() throws(TrainingError) {
        guard !files.isEmpty else { throw TrainingError(.badRecipe, "", "there is no data") }
        func refuse(_ message: String) -> TrainingError { TrainingError(.badRecipe, "", message) }
        if nextSentence, objective != .maskedLanguageModel { throw refuse("next sentences go with the objective \(Objective.maskedLanguageModel.rawValue)") }
        if pair != nil, objective.isLanguageModel || objective == .tokenClassification { throw refuse("the objective \(objective.rawValue) has no pairs of texts") }
        if pair == nil, objective == .sentenceEmbedding, !isUnlabelled { throw refuse("the objective \(objective.rawValue) needs pairs of texts: name the column of the second") }
        guard !objective.isLanguageModel, !isUnlabelled else { return }
        for file in files + validationFiles where DataFormat(path: file) == .text {
            throw TrainingError(
                .mismatch, file, "plain text has no labels; the objective \(objective.rawValue) needs a .tsv, .csv or .jsonl file with columns for text and label")
        }
    }
}

/// Encodes the data of a task, once: what is there already from the same data is used again.
struct TaskEncoding {
    let data: TaskData
    let tables: [UInt8]
    let encoder: ExampleEncoder
    let labels: [String]
    /// Where encoded examples are kept.
    let directory: String
    let badRows: () -> BadRows
    let progress: (Int, Int) throws -> Void

    func store(_ name: String, of files: [String]) throws -> ExampleStore {
        let path = "\(directory)/\(name).tokens"
        let fingerprint = try Fingerprint(files: files, tokenizer: tables, settings: data.settings(labels))
        do { return try ExampleStore(path: path, expected: fingerprint) } catch let error as DataError {
            // What was made from other data is never replaced in silence.
            throw error
        } catch {}
        let writer = try ExampleWriter(path: path, vocabularySize: encoder.vocabularySize, hasTags: data.objective == .tokenClassification && !data.isUnlabelled)
        try encode(files, into: writer, name: name)
        try writer.finish(fingerprint: fingerprint, labelNames: labels)
        return try ExampleStore(path: path, expected: fingerprint)
    }

    private func encode(_ files: [String], into writer: ExampleWriter, name: String) throws {
        let rows = badRows()
        if data.isUnlabelled, !data.objective.isLanguageModel { return try encodeSequences(.none) }
        switch data.objective {
        case .causalLanguageModel, .maskedLanguageModel:
            if data.nextSentence { return try encodeNextSentences(files, into: writer, name: name, rows) }
            guard let end = encoder.token(.end) ?? encoder.token(.separator) else {
                throw TrainingError(.mismatch, "", "the tokenizer has no token for the end of a text, which goes between documents")
            }
            try encoder.encodeDocuments(
                of: files, column: data.text, boundary: data.boundary, endOfText: end, into: writer, badRows: rows, progress: progress)
        case .sequenceClassification: try encodeSequences(.classes(data.label, labels))
        case .tokenClassification: try encodeSequences(.tags(data.label, labels))
        case .regression: try encodeSequences(.number(data.label))
        case .sentenceEmbedding: try encoder.encodeScoredPairs(of: files, data, into: writer, badRows: rows, progress: progress)
        }
        func encodeSequences(_ target: SequenceSource.Target) throws {
            try encoder.encodeSequences(
                of: SequenceSource(files: files, first: data.text, second: data.pair, target: target), limit: data.maximumTokens, into: writer,
                badRows: rows, progress: progress)
        }
    }

    private func encodeNextSentences(_ files: [String], into writer: ExampleWriter, name: String, _ rows: BadRows) throws {
        let path = "\(directory)/\(name).sentences", fingerprint = try Fingerprint(files: files, tokenizer: tables, settings: ["sentences"])
        let sentences = try ExampleWriter(path: path, vocabularySize: encoder.vocabularySize)
        try encoder.encodeSentences(of: files, into: sentences, badRows: rows, progress: progress)
        try sentences.finish(fingerprint: fingerprint)
        defer { Directory.remove(path) }
        try encoder.encodePairs(
            of: try ExampleStore(path: path, expected: fingerprint), limit: data.maximumTokens, seed: data.seed, into: writer, progress: progress)
    }
}

extension ExampleEncoder {
    /// Encodes the two texts of a row as examples of their own, one behind the other, the first with the score.
    func encodeScoredPairs(
        of files: [String], _ data: TaskData, into writer: ExampleWriter, badRows: BadRows, progress: (Int, Int) throws -> Void
    ) throws {
        guard let pair = data.pair else { throw TrainingError(.badRecipe, "", "pairs need a column for the second text") }
        guard data.maximumTokens > overhead(isPair: false) else {
            throw TrainingError(.badRecipe, "", "\(data.maximumTokens) tokens leave no room for text")
        }
        try forEachRow(of: files, format: nil, columns: [data.text, pair, data.label], badRows: badRows, limits: DataLimits(), progress: progress) { row, reader in
            guard let row else { return }
            guard !row[0].text.isEmpty, !row[1].text.isEmpty else { return try reader.refuse("the text is empty") }
            guard let score = Double(row[2].text), case let value = Float(score / data.scoreScale), value.isFinite else {
                return try reader.refuse("\"\(row[2].text.prefix(40))\" is no number")
            }
            guard abs(value) <= 1 else {
                let scaled = data.scoreScale == 1 ? "" : ", divided by \(data.scoreScale),"
                return try reader.refuse("the score \(row[2].text.prefix(40))\(scaled) is no cosine; --score-scale divides scores")
            }
            var first = try self.example(row[0].text, limit: data.maximumTokens), second = try self.example(row[1].text, limit: data.maximumTokens)
            guard !first.tokens.isEmpty, !second.tokens.isEmpty else { return try reader.refuse("the text has no tokens") }
            first.label = value.bitPattern
            second.label = value.bitPattern
            try writer.append(first)
            try writer.append(second)
        }
        try badRows.check()
        guard writer.count > 0 else { throw DataError(.noData, file: files.joined(separator: ", "), "there are no rows") }
    }
}
