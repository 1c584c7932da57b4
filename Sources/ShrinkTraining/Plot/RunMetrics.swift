import ShrinkJSON

/// What a run has written about itself: its `metrics.jsonl`.
public struct RunMetrics: Sendable {
    /// The run's directory as it was given.
    public let path: String
    /// What is drawn, in order.
    public internal(set) var metrics: [(metric: Metric, series: MetricSeries)] = []
    /// Lines that are sound.
    public private(set) var lineCount = 0
    /// The last values that the run gave.
    public private(set) var step: Int?, epoch: Double?, tokens: Int?, seconds: Double?
    private var places: [Metric: Int] = [:]

    /// What a curve is of.
    public enum Metric: Hashable, Sendable {
        case loss, lossTerm(String), validation(String), learningRate, gradientNorm, tokensPerSecond
    }

    /// So many loss terms and validation metrics are drawn.
    public static let maximumMetrics = 48
    private static let maximumNameBytes = 80

    /// Reads the file once, in memory that does not depend on its length.
    ///
    /// A last line without its end is that of a run that is being written, and left out unless it is whole.
    /// - Parameters:
    ///   - badRows: counts lines that are no metrics, or cannot be of a run.
    ///   - progress: is given the bytes read and the size of the file.
    /// - Throws: `DataError`, such as `notFound` or `tooManyBadRows`; what `progress` throws.
    public init(directory: String, badRows: BadRows, progress: (Int, Int) throws -> Void = { _, _ in }) throws {
        path = directory
        var limits = DataLimits()
        limits.lineByteCount = 1 << 16
        let reader = try LineReader(path: directory + (directory.hasSuffix("/") ? "" : "/") + "metrics.jsonl", limits: limits)
        var previous: (tokens: Double, seconds: Double)?
        var unfinished: (line: Int, reason: String)?
        while try reader.next() {
            if reader.number % 1024 == 0 { try progress(reader.consumed, reader.byteCount) }
            if let (line, reason) = unfinished { try badRows.refuse(file: reader.path, line: line, reason) }
            unfinished = nil
            do {
                try take(reader, &previous)
                badRows.accept()
                lineCount += 1
            } catch {
                // Of a line that is too long the end is missing, too, wherever it is.
                if reader.bytes.last != 0x0A, case .unreadable = error {
                    unfinished = (reader.number, error.reason)
                } else {
                    try badRows.refuse(file: reader.path, line: reader.number, error.reason)
                }
            }
        }
        try badRows.check()
    }

    private enum LineError: Error {
        case unreadable(String), wrong(String)
        var reason: String { switch self { case .unreadable(let reason), .wrong(let reason): reason } }
    }

    private mutating func take(_ reader: LineReader, _ previous: inout (tokens: Double, seconds: Double)?) throws(LineError) {
        if let problem = reader.problem { throw .unreadable(problem) }
        let content = reader.content.withUnsafeBytes { bytes in
            Result { () throws(JSONError) in try JSON(parsing: bytes, maximumValueCount: 1024) }
        }
        let line: JSON
        switch content {
        case .success(let json): line = json
        case .failure(let error): throw .unreadable("\(error)")
        }
        guard let step = line["step"]?.int, 0..<(1 << 50) ~= step else { throw .wrong("has no \"step\" that is a whole number from 0") }
        var values: [(Metric, Double)] = []
        func number(_ json: JSON, _ name: String) throws(LineError) -> Double {
            if json == .null { return .nan }
            guard let number = json.double else { throw .wrong("\"\(name.prefix(80))\" is not a number") }
            return number
        }
        guard let members = line.object?.members else { throw .wrong("is no JSON object") }
        for (key, value) in members {
            switch key {
            case "loss": values.append((.loss, try number(value, key)))
            case "learning_rate": values.append((.learningRate, try number(value, key)))
            case "gradient_norm": values.append((.gradientNorm, try number(value, key)))
            case "losses", "validation":
                guard let object = value.object else { throw .wrong("\"\(key)\" is not an object") }
                for (name, value) in object.members {
                    // Validation may tell more than numbers.
                    if key == "validation", value != .null, value.double == nil { continue }
                    values.append((key == "losses" ? .lossTerm(name) : .validation(name), try number(value, name)))
                }
            default: break
            }
        }
        let names = values.filter { places[$0.0] == nil }.map(\.0)
        guard metrics.count + names.count <= Self.maximumMetrics else { throw .wrong("has more metrics than the \(Self.maximumMetrics) that are drawn") }
        for case .lossTerm(let name) in names where name.utf8.count > Self.maximumNameBytes { throw .wrong("has a name of \(name.utf8.count) bytes") }
        for case .validation(let name) in names where name.utf8.count > Self.maximumNameBytes { throw .wrong("has a name of \(name.utf8.count) bytes") }

        for (metric, value) in values { append(metric, step, value) }
        self.step = step
        if let epoch = line["epoch"]?.double { self.epoch = epoch }
        if let tokens = line["tokens"]?.double, let seconds = line["seconds"]?.double {
            self.tokens = Int(exactly: tokens.rounded()) ?? self.tokens
            self.seconds = seconds
            // Both count from the start of the run.
            let before = previous ?? (0, 0)
            if tokens > before.tokens, seconds > before.seconds {
                append(.tokensPerSecond, step, (tokens - before.tokens) / (seconds - before.seconds))
            }
            previous = (tokens, seconds)
        }
    }

    private mutating func append(_ metric: Metric, _ step: Int, _ value: Double) {
        if places[metric] == nil {
            places[metric] = metrics.count
            metrics.append((metric, MetricSeries()))
        }
        if let place = places[metric] { metrics[place].series.append(step: Double(step), value) }
    }

    public subscript(metric: Metric) -> MetricSeries? { places[metric].map { metrics[$0].series } }
}
