/// Pairs of sentences with a human similarity score, from tab-separated lines.
public struct SentencePairs: Sendable {
    public struct Pair: Equatable, Sendable {
        public var score: Double
        public var first, second: String
    }

    public var pairs: [Pair] = []

    /// Reads `text`. `columns` are the numbers, from 1, of score, first and second sentence. A first
    /// line without a number for a score is taken as a heading; any other is an error with its line.
    public init(parsing text: String, columns: (score: Int, first: Int, second: Int), file: String) throws {
        guard min(columns.score, columns.first, columns.second) >= 1 else { throw EvaluationError("columns are numbered from 1") }
        let needed = max(columns.score, columns.first, columns.second)
        // By scalars: as characters, "\r\n" is one, and a tab may carry a combining mark.
        for (number, line) in text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let content = line.last == "\r" ? line.dropLast() : line
            if content.isEmpty { continue }
            let fields = content.split(separator: "\t", omittingEmptySubsequences: false).map { String($0) }
            guard fields.count >= needed else {
                throw EvaluationError("\(file), line \(number + 1): \(fields.count) columns, column \(needed) is needed; see --columns")
            }
            guard let score = Double(fields[columns.score - 1]), score.isFinite else {
                if number == 0 { continue }
                throw EvaluationError("\(file), line \(number + 1): \"\(fields[columns.score - 1].prefix(40))\" is no score; see --columns")
            }
            pairs.append(Pair(score: score, first: fields[columns.first - 1], second: fields[columns.second - 1]))
        }
        guard pairs.count >= 2 else { throw EvaluationError("\(file): there are fewer than two pairs to correlate") }
    }
}

/// How well the cosine of embeddings follows human scores.
public struct SimilarityResult: Sendable {
    public var spearman, pearson: Double
    public var pairs: Int

    /// `embed` gives the vector of one sentence; each different sentence is embedded once.
    public init(_ data: SentencePairs, progress: (Int, Int) throws -> Void, embed: (String) throws -> [Float]) throws {
        // By bytes: texts that are canonically equivalent may have different tokens.
        var known: [[UInt8]: [Float]] = [:]
        func vector(_ text: String) throws -> [Float] {
            if let vector = known[Array(text.utf8)] { return vector }
            let vector = try embed(text)
            known[Array(text.utf8)] = vector
            return vector
        }
        var cosines: [Double] = []
        for (index, pair) in data.pairs.enumerated() {
            try progress(index, data.pairs.count)
            cosines.append(Correlation.cosine(try vector(pair.first), try vector(pair.second)))
        }
        try progress(data.pairs.count, data.pairs.count)
        let scores = data.pairs.map(\.score)
        guard let spearman = Correlation.spearman(cosines, scores), let pearson = Correlation.pearson(cosines, scores) else {
            throw EvaluationError("all scores or all similarities are equal, so there is no correlation")
        }
        self.spearman = spearman
        self.pearson = pearson
        pairs = data.pairs.count
    }
}

/// Why a measurement could not be made.
public struct EvaluationError: Error, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}
