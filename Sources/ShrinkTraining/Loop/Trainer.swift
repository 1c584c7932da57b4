import ShrinkCompute
import ShrinkGraph
import ShrinkPasses

/// Gives values of a teacher for a batch: those of the graph's inputs whose names begin with `teacher:`.
public typealias BatchTargets = (_ names: [String], _ inputs: HostInputs, _ examples: [Int]) throws -> [String: HostTensor]

/// Makes training steps: forward, backward, clipping, and the optimizer's change of the parameters.
///
/// The graph has an f32 [] output `loss`, and perhaps further ones, which are reported by name. Not for several threads at a time.
public final class Trainer {
    /// What is trained, in the order of the graph.
    public let parameters: ParameterTable
    public let optimizer: Optimizer
    /// For a graph with inputs named `teacher:…`.
    public var targets: BatchTargets?
    public let group: any TrainingGroup
    private let exchange: GradientExchange
    private var gradients: ParameterTable { exchange.gradients }
    private let losses: WeighedLosses
    private let executor: HostExecutor
    private let threads: HostThreads
    private let targetNames: [String]
    private let outputNames: [String]

    /// - Parameter parameters: numbers to train, see `parameters(freezing:)`; copies of all trainable ones when not given. The graph's other
    ///   parameters stay as they are.
    /// - Parameter group: the processes that make each step together; all have the same graph and the same numbers.
    /// - Throws: `GraphError` when the graph has no loss or cannot be differentiated; `ComputeError`.
    public init(
        _ graph: Graph, parameters: ParameterTable? = nil, optimizer method: Optimizer.Method = .adamW(), weightDecay: Float = 0,
        recompute: Recomputation = .nothing, threads: HostThreads = HostThreads(), group: any TrainingGroup = SingleProcess()
    ) throws {
        let outputs = graph.outputs.filter { graph[$0.value].type == .scalar }.map(\.name)
        let losses = try WeighedLosses(graph.extracting(outputs: outputs)), learnt = graph.extracting(outputs: ["loss"])
        let table = try parameters ?? ParameterTable(reading: learnt.parameters(freezing: []), of: learnt)
        let trained = losses.graph.trainableParameters.filter { table[losses.graph[$0].name] != nil }
        self.losses = losses
        self.parameters = table
        optimizer = Optimizer(method, table, weightDecay: weightDecay, threads: threads)
        executor = try HostExecutor(
            try losses.graph.reading(table).differentiated(withRespectTo: trained, recompute: recompute), threads: threads)
        self.threads = threads
        self.group = group
        exchange = GradientExchange(group, zerosLike: table, order: executor.gradientOrder)
        targetNames = graph.inputs.map { graph[$0].name }.filter { $0.hasPrefix("teacher:") }
        outputNames = ["loss"] + outputs.filter { $0 != "loss" }
    }

    /// What a step did.
    public struct Result: Sendable {
        /// Of the step's batches together, before the step; and the other outputs, each by its name.
        public var loss: Double
        public var terms: [(name: String, value: Double)]
        /// Before clipping.
        public var gradientNorm: Double
        public var tokens: Int
    }

    /// One step on batches that together count as one, those of the other processes of the group among them.
    ///
    /// - Parameters:
    ///   - batches: of this process; may be none when others have some.
    ///   - clip: the greatest norm of all gradients together.
    /// - Throws: `TrainingError` `diverged` when the loss or a gradient is no finite number; the parameters are then as before.
    ///   `GroupFailure` when it is another process that throws that.
    public func step(_ batches: [TrainingBatch], rate: Double, clip: Double? = nil) throws -> Result {
        let counts = batches.map { losses.counts($0.inputs) }
        var totals = counts.reduce([Double](repeating: 0, count: losses.count)) { zip($0, $1).map { $0 + Double($1) } }
        try group.sum(&totals)
        let rows = totals.map { Int($0) }
        var sums = [Double](repeating: 0, count: outputNames.count), diverged: (loss: Double, inputs: HostInputs)?
        for (index, batch) in batches.enumerated() {
            var inputs = batch.inputs
            losses.weigh(&inputs, counts[index], of: rows)
            if let targets, !targetNames.isEmpty { inputs.floats.merge(try targets(targetNames, inputs, batch.examples)) { $1 } }
            let isLast = index == batches.count - 1
            let outputs = try executor.run(
                inputs, gradients: gradients, accumulating: index > 0, completed: group.size > 1 && isLast ? exchange.completed : nil)
            for (place, name) in outputNames.enumerated() { sums[place] += outputs[name].map { Double($0.buffer[0]) } ?? .nan }
            if diverged == nil, !sums[0].isFinite { diverged = (sums[0], inputs) }
        }
        try exchange.finish(isEmpty: batches.isEmpty)
        var figures = sums + [Double(batches.reduce(0) { $0 + $1.tokens })]
        try group.sum(&figures)
        if !figures[0].isFinite {
            try group.agree { if let diverged { throw Divergence.ofLoss(diverged.loss, losses.graph, parameters, diverged.inputs, threads) } }
            try group.agree { throw Divergence.ofLoss(figures[0], losses.graph, parameters, nil, threads) }
        }
        let norm = try group.fromFirst(gradients.globalNorm(threads: threads))
        try group.agree { if !norm.isFinite { throw Divergence.ofGradient(gradients, parameters) } }
        optimizer.step(gradients, rate: Float(rate), gradientScale: clip.map { clippingScale(norm: norm, maximum: $0) } ?? 1)
        return Result(
            loss: figures[0], terms: zip(outputNames, figures).dropFirst().map { ($0, $1) }, gradientNorm: norm, tokens: Int(figures[outputNames.count]))
    }
}
