import ShrinkJSON

/// Where a run stands, beside its weights and the optimizer's moments.
///
/// There is no state of a random generator: all that is random depends on the seed, the epoch and the example (`Random`), so the
/// seed and the position in the data are it.
public struct TrainingState: Sendable, Equatable {
    /// Steps done.
    public var step = 0
    public var position = DataPosition()
    public var seed: UInt64
    /// Tokens without padding that went through all steps.
    public var tokens = 0
    public var seconds = 0.0
    public var best: Best?
    /// Validations in a row that were no better than the best.
    public var unimproved = 0
    /// The step of the last validation; nil before the first.
    public var validated: Int?
    /// The length of the file of metrics.
    public var metricsByteCount = 0

    public struct Best: Sendable, Equatable {
        public var step: Int
        public var score: Double
        /// Of the same validation: of two equal scores the lower loss is the better one.
        public var loss = Double.infinity
    }

    public init(seed: UInt64) { self.seed = seed }

    var json: [(String, JSON)] {
        [
            ("step", .integer(step)), ("epoch", .integer(position.epoch)), ("batch", .integer(position.batch)),
            // As text: JSON readers lose the low bits of such numbers.
            ("seed", .string(String(seed))), ("tokens", .integer(tokens)), ("seconds", .number(seconds)),
            ("best_step", best.map { .integer($0.step) } ?? .null), ("best_score", best.map { .number($0.score) } ?? .null),
            ("best_loss", best.flatMap { $0.loss.isFinite ? .number($0.loss) : nil } ?? .null),
            ("validations_without_improvement", .integer(unimproved)), ("validated_step", validated.map(JSON.integer) ?? .null),
            ("metrics_bytes", .integer(metricsByteCount)),
        ]
    }

    /// Nil when something is missing or impossible.
    init?(_ json: JSON) {
        func count(_ key: String) -> Int? { json[key]?.int.flatMap { $0 >= 0 && $0 < 1 << 53 ? $0 : nil } }
        guard let step = count("step"), let epoch = count("epoch"), let batch = count("batch"), let seed = json["seed"]?.string.flatMap(UInt64.init),
            let tokens = count("tokens"), let seconds = json["seconds"]?.double, let unimproved = count("validations_without_improvement"),
            let metricsByteCount = count("metrics_bytes")
        else { return nil }
        self.step = step
        position = DataPosition(epoch: epoch, batch: batch)
        self.seed = seed
        self.tokens = tokens
        self.seconds = seconds
        self.unimproved = unimproved
        self.metricsByteCount = metricsByteCount
        validated = count("validated_step")
        if let step = count("best_step"), let score = json["best_score"]?.double { best = Best(step: step, score: score, loss: json["best_loss"]?.double ?? .infinity) }
    }
}
