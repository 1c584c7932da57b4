import ShrinkCompute

/// What goes through the graph at once.
public struct TrainingBatch {
    public var inputs: HostInputs
    /// Numbers of the examples in their source, one for each sequence or pair.
    public var examples: [Int]
    /// Tokens without padding.
    public var tokens: Int

    public init(_ inputs: HostInputs, examples: [Int], tokens: Int) {
        self.inputs = inputs
        self.examples = examples
        self.tokens = tokens
    }
}

/// Encoded examples that become the inputs of a graph.
public protocol BatchSource: Sendable {
    /// Examples are known by numbers below this.
    var count: Int { get }
    /// Tokens of an example, to put similar ones together; nil when all are alike.
    var lengths: (@Sendable (Int) -> Int)? { get }
    /// Of all that the inputs follow from; nil where they are others in every epoch.
    var fingerprint: Fingerprint? { get }
    /// A batch of examples. What is drawn at random depends on the epoch and the example alone.
    func batch(_ examples: [Int], epoch: Int) throws -> TrainingBatch
}

extension BatchSource {
    public var fingerprint: Fingerprint? { nil }
}

/// Some examples of a source.
public struct ExampleSet: Sendable {
    public let source: any BatchSource
    /// At least one.
    public let examples: [Int]

    public init(_ source: any BatchSource, examples: [Int]? = nil) {
        self.source = source
        self.examples = examples ?? Array(0..<source.count)
    }
}
