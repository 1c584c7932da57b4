import ShrinkCompute
import ShrinkGraph

/// What predictions are worth, gathered over batches.
public protocol Measure {
    /// The graph's outputs that it looks at.
    var outputs: [String] { get }
    mutating func add(_ outputs: [String: HostTensor], _ batch: TrainingBatch)
    /// Figures by name.
    var results: [(name: String, value: Double)] { get }
}

/// Computes the losses of examples that are not trained on, and measures predictions.
public final class Evaluator {
    public let set: ExampleSet
    /// For a graph with inputs named `teacher:…`.
    public var targets: BatchTargets?
    private let losses: WeighedLosses
    private let executor: HostExecutor
    private let batchSize: Int
    private let measure: any Measure
    private let targetNames: [String]

    /// - Parameters:
    ///   - graph: with an f32 [] output `loss`, perhaps further ones, and those that the measure looks at.
    ///   - parameters: what the graph reads as far as it stands there, so that the evaluator follows training.
    ///   - measure: as it is before the first batch.
    public init(
        _ graph: Graph, parameters: ParameterTable, set: ExampleSet, batchSize: Int, measure: any Measure, threads: HostThreads = HostThreads()
    ) throws {
        let outputs = graph.outputs.filter { graph[$0.value].type == .scalar }.map(\.name) + measure.outputs
        losses = try WeighedLosses(graph.extracting(outputs: outputs))
        executor = try HostExecutor(losses.graph.reading(parameters), threads: threads)
        self.set = set
        self.batchSize = batchSize
        self.measure = measure
        targetNames = graph.inputs.map { graph[$0].name }.filter { $0.hasPrefix("teacher:") }
    }

    /// The losses over all examples, then the measure's figures.
    ///
    /// - Parameter progress: gets examples done and in all; may throw to stop.
    public func run(progress: (Int, Int) throws -> Void = { _, _ in }) throws -> [(name: String, value: Double)] {
        let totals = try totals(progress)
        var measure = measure
        let measured = measure.outputs, names = losses.graph.outputs.map(\.name).filter { !measured.contains($0) }
        var sums = [Double](repeating: 0, count: names.count)
        for start in stride(from: 0, to: examples.count, by: batchSize) {
            try progress(start, examples.count)
            var batch = try batch(at: start)
            losses.weigh(&batch.inputs, losses.counts(batch.inputs), of: totals)
            if let targets, !targetNames.isEmpty { batch.inputs.floats.merge(try targets(targetNames, batch.inputs, batch.examples)) { $1 } }
            let outputs = try executor.run(batch.inputs)
            for (place, name) in names.enumerated() { sums[place] += outputs[name].map { Double($0.buffer[0]) } ?? .nan }
            measure.add(outputs, batch)
        }
        let means = zip(names, sums).map { (name: $0, value: $1) }
        return means.filter { $0.name == "loss" } + means.filter { $0.name != "loss" } + measure.results
    }

    /// An epoch that no training has: hidden tokens are the same in every validation.
    private static let epoch = -1

    private func batch(at start: Int) throws -> TrainingBatch {
        try set.source.batch(Array(examples[start..<min(start + batchSize, examples.count)]), epoch: Self.epoch)
    }

    /// By rising length, so that little is padded.
    private lazy var examples: [Int] = set.source.lengths.map { length in
        set.examples.map { (length($0), $0) }.sorted { $0 < $1 }.map(\.1)
    } ?? set.examples

    private var knownTotals: [Int]?

    /// The rows of all examples that count, for each loss.
    private func totals(_ progress: (Int, Int) throws -> Void) throws -> [Int] {
        if let knownTotals { return knownTotals }
        var totals: [Int]?
        for start in stride(from: 0, to: examples.count, by: batchSize) {
            try progress(0, examples.count)
            let counts = losses.counts(try batch(at: start).inputs)
            totals = totals.map { zip($0, counts).map(+) } ?? counts
        }
        knownTotals = totals
        return totals ?? []
    }
}
