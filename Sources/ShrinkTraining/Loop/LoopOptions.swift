import ShrinkCompute

/// How a loop trains.
public struct LoopOptions: Sendable {
    public var rate: LearningRate
    /// Examples of a step.
    public var batchSize: Int
    /// Examples that go through the graph at once; the gradients of a step's parts add up to those of the whole.
    public var microBatchSize: Int
    /// The greatest norm of all gradients together; nil for any.
    public var clip: Double?
    /// Steps between validations, and between checkpoints. There is one of each after the last step, too.
    public var validationInterval = 500
    public var checkpointInterval = 500
    /// Training ends after so many validations in a row that are no better than the best.
    public var patience: Int?
    public var seed: UInt64

    public init(rate: LearningRate, batchSize: Int, microBatchSize: Int? = nil, clip: Double? = 1, seed: UInt64 = 0) {
        self.rate = rate
        self.batchSize = batchSize
        self.microBatchSize = microBatchSize ?? batchSize
        self.clip = clip
        self.seed = seed
    }
}

/// The figure of a validation by which the best model is known.
public struct Score: Sendable, Equatable {
    public var name: String
    public var isHigherBetter: Bool

    public init(_ name: String, isHigherBetter: Bool) {
        self.name = name
        self.isHigherBetter = isHigherBetter
    }

    public static let loss = Score("loss", isHigherBetter: false)

    /// A figure that is not finite is never better.
    func isBetter(_ score: Double, than best: Double?) -> Bool {
        guard score.isFinite else { return false }
        guard let best else { return true }
        return isHigherBetter ? score > best : score < best
    }
}
