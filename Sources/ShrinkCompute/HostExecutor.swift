import ShrinkGraph

/// One batch of sequences for a graph.
public struct HostInputs {
    public var batch: Int
    /// The padded length of the sequences.
    public var tokens: Int
    /// Inputs by name: token ids and the like, row-major.
    public var integers: [String: [Int32]]
    public var floats: [String: HostTensor]

    public init(batch: Int, tokens: Int, integers: [String: [Int32]] = [:], floats: [String: HostTensor] = [:]) {
        self.batch = batch
        self.tokens = tokens
        self.integers = integers
        self.floats = floats
    }
}

/// Runs a graph in binary32 on the host. Serves evaluation, calibration and training; quantized graphs run
/// with the numbers that their codes stand for.
///
/// Takes all memory of a run when it first meets its extents and keeps it for the next. Not for several threads
/// at a time.
public final class HostExecutor {
    public let graph: Graph
    public let threads: HostThreads
    let blas: BLAS
    private let parameters: ParameterCache
    private var plans: [[Int]: ExecutionPlan] = [:]
    private var arena = HostTensor(shape: [0])
    private var scratchMemory = HostTensor(shape: [0])

    /// `parameters` may be shared by executors of graphs of the same checkpoint.
    public init(_ graph: Graph, parameters: ParameterCache = ParameterCache(), threads: HostThreads = HostThreads()) throws {
        self.graph = graph
        self.threads = threads
        self.parameters = parameters
        blas = try BLAS.load()
    }

    /// Bytes of the values of a run, without parameters, gradients of parameters and other outputs.
    public func arenaByteCount(batch: Int, tokens: Int) throws -> Int { try plan(batch, tokens).arenaCount * 4 }

    /// Runs one batch of equally long sequences, row-major [batch, tokens]. Segments are zero unless
    /// given. Returns the outputs by name.
    public func run(tokens: [Int32], segments: [Int32]? = nil, batch: Int = 1) throws -> [String: HostTensor] {
        precondition(batch > 0 && tokens.count.isMultiple(of: batch) && !tokens.isEmpty)
        var inputs = HostInputs(batch: batch, tokens: tokens.count / batch, integers: ["tokens": tokens])
        inputs.integers["segments"] = segments
        return try run(inputs)
    }

    /// Runs one batch and returns the outputs by name. Inputs that are not given and have a natural value get it:
    /// segments are zero, positions count from zero, lengths are whole, `marks` are −1 behind the lengths and else
    /// zero, and `loss_gradient` is one.
    ///
    /// Gradients whose parameters stand in `gradients` go there instead, added to what is there when
    /// `accumulating`. Throws `ComputeError` for inputs that are missing or do not fit.
    public func run(_ inputs: HostInputs, gradients: ParameterTable? = nil, accumulating: Bool = false) throws -> [String: HostTensor] {
        guard inputs.batch > 0, inputs.tokens > 0 else { throw ComputeError("there is nothing to run: \(inputs.batch) sequences of \(inputs.tokens) tokens") }
        let plan = try plan(inputs.batch, inputs.tokens)
        if arena.buffer.count < plan.arenaCount { arena = HostTensor(shape: [plan.arenaCount]) }
        var outputs: [HostTensor] = []
        var accumulated = Set<ValueID>()
        var results: [String: HostTensor] = [:]
        for output in graph.outputs {
            let parameter = output.name.hasPrefix("gradient:") ? gradients?[String(output.name.dropFirst("gradient:".count))] : nil
            if let parameter {
                guard parameter.shape == plan.shapes[output.value.index] else { throw ComputeError("\(output.name) has another shape than its target") }
                outputs.append(parameter)
                if accumulating { accumulated.insert(output.value) }
            } else {
                let tensor = HostTensor(shape: plan.shapes[output.value.index])
                outputs.append(tensor)
                results[output.name] = tensor
            }
        }
        parameters.beginRun()
        let step = try Step(self, plan, inputs, arena: arena.base, outputs: outputs, accumulated: accumulated)
        for id in graph.order where !plan.skipped.contains(id) {
            let node = graph[id]
            try withParameters(node, step, tokens: inputs.tokens) { try step.run(id) }
        }
        // An output may be no node's own result, or the second name of one.
        for (index, output) in graph.outputs.enumerated() where plan.places[output.value.index] != .output(index) {
            guard let source = step.pointers[output.value.index] else { throw ComputeError("the output \(output.name) is a parameter or an input") }
            let target = outputs[index]
            if accumulated.contains(output.value) {
                kernels.add(target.base, source, target.base, target.buffer.count)
            } else {
                target.base.update(from: source, count: target.buffer.count)
            }
        }
        return results
    }

    /// Memory for one node's own use; the same for every node.
    func scratch(_ count: Int) -> UnsafeMutablePointer<Float> {
        if scratchMemory.buffer.count < count { scratchMemory = HostTensor(shape: [count]) }
        return scratchMemory.base
    }

    private func plan(_ batch: Int, _ tokens: Int) throws -> ExecutionPlan {
        if let known = plans[[batch, tokens]] { return known }
        if plans.count == 64 { plans = [:] }
        let plan = try ExecutionPlan(graph, batch: batch, tokens: tokens)
        plans[[batch, tokens]] = plan
        return plan
    }

    /// Sets the pointers of the node's parameters while `body` runs. Tables of positions are needed as far as
    /// there are tokens.
    private func withParameters(_ node: Graph.Node, _ step: Step, tokens: Int, _ body: () throws -> Void) throws {
        var rows: Int?
        if case .rotary = node.operation { rows = tokens }
        func resolve(_ inputs: ArraySlice<ValueID>) throws {
            guard let input = inputs.first else { return try body() }
            guard graph[input].isParameter else { return try resolve(inputs.dropFirst()) }
            try parameters.withFloats(graph[input], rows: rows, on: threads) { floats in
                step.pointers[input.index] = UnsafeMutablePointer(mutating: floats)
                try resolve(inputs.dropFirst())
            }
        }
        try resolve(node.inputs[...])
    }
}
