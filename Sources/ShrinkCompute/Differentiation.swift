import ShrinkGraph

/// Which values of the forward pass are computed a second time in the backward pass instead of kept.
public enum Recomputation: String, Sendable, CaseIterable {
    case nothing
    /// What costs one pass over memory: activation functions, gates, norms, rotations, products.
    case elementwise
    /// Everything inside of blocks: only embeddings and sums of the residual stream are kept.
    case blocks
}

extension Graph {
    /// The parameters that a loss can be differentiated by: all that linear, embedding and norm operations read.
    public var trainableParameters: [ValueID] {
        let constant = Set(
            order.flatMap { id -> ArraySlice<ValueID> in
                if case .rotary = self[id].operation { return self[id].inputs.dropFirst() } else { return [] }
            })
        return usedParameters.filter { !constant.contains($0) }
    }

    /// The name of the output that holds the gradient of a parameter.
    public static func gradientName(of parameter: String) -> String { "gradient:" + parameter }

    /// The graph that computes the gradients of the output `loss`, an f32 [], with respect to `parameters` (all
    /// trainable ones when not given).
    ///
    /// Its outputs are the f32 [] outputs of this graph, the loss among them, and for each parameter its gradient
    /// by `gradientName(of:)`. Its inputs are those of this graph and `loss_gradient`: f32 [], the number that all
    /// gradients are multiplied by. Quantization passes gradients through as if it were not there.
    ///
    /// Throws `GraphError` when the loss is no such output, or an operation on the way has no gradient.
    public func differentiated(
        loss: String = "loss", withRespectTo parameters: [ValueID]? = nil, recompute: Recomputation = .nothing
    ) throws(GraphError) -> Graph {
        guard let value = output(named: loss), self[value].type == .scalar else {
            throw GraphError(.undefinedValue, "there is no output \(loss) of type \(ValueType.scalar) to differentiate")
        }
        let names = Set((parameters ?? trainableParameters).map { self[$0].name })
        let source = extracting(outputs: outputs.filter { self[$0.value].type == .scalar }.map(\.name))
        var differentiator = try Differentiator(source, parameters: names, recompute)
        return try differentiator.run(loss: loss)
    }
}

/// Writes the gradient graph: the forward nodes, the losses with their gradients, then for each forward node in
/// reverse order what `GradientRules` says.
struct Differentiator {
    let source: Graph
    let recompute: Recomputation
    var builder: GraphBuilder
    /// Of values of `source`.
    private var copies: [ValueID: ValueID] = [:]
    private var recomputed: [ValueID: ValueID] = [:]
    private var contributions: [ValueID: [ValueID]] = [:]
    private let parameterNames: Set<String>
    private var needed: Set<ValueID> = []
    /// The sum that a norm with residual normalises, by node.
    private(set) var sums: [NodeID: ValueID] = [:]
    /// The log-sum-exps that an attention saves, by node; and those of its second computation.
    private(set) var logSumExps: [NodeID: ValueID] = [:]
    /// The further results of a recurrence, by node.
    private(set) var savedStates: [NodeID: [ValueID]] = [:]

    init(_ source: Graph, parameters: Set<String>, _ recompute: Recomputation) throws(GraphError) {
        self.source = source
        self.recompute = recompute
        parameterNames = parameters
        builder = GraphBuilder(name: source.name)
        for input in source.inputs { copies[input] = try builder.input(source[input].name, source[input].type) }
        for parameter in source.usedParameters {
            let value = source[parameter]
            guard case .parameter(let numbers) = value.definition else { continue }
            copies[parameter] = try builder.parameter(value.name, value.type, numbers)
            if parameters.contains(value.name) { needed.insert(parameter) }
        }
        for id in source.order where source[id].inputs.contains(where: needed.contains) { needed.formUnion(source[id].results) }
    }

    // MARK: What rules ask

    func isNeeded(_ value: ValueID) -> Bool { needed.contains(value) }

    /// A forward value for the backward pass, computed again if that is wanted.
    mutating func saved(_ value: ValueID) throws(GraphError) -> ValueID {
        if let again = recomputed[value] { return again }
        guard let id = source.producer(of: value), isRecomputed(source[id].operation) else { return copies[value]! }
        let node = source[id]
        if let sum = sums[id] {
            // A norm of a sum that is kept: no need to add again.
            guard value == node.results[0] else { return source[value].type.element == .float32 ? sum : copies[value]! }
            recomputed[value] = try builder.add(node.operation.withoutResidual, [sum] + saved(node.normParameters), origin: node.origin)
            return recomputed[value]!
        }
        var inputs: [ValueID] = []
        for input in node.inputs { inputs.append(try saved(input)) }
        try emit(id, inputs, isCopy: true)
        return recomputed[value]!
    }

    private mutating func saved(_ values: [ValueID]) throws(GraphError) -> [ValueID] {
        var result: [ValueID] = []
        for value in values { result.append(try saved(value)) }
        return result
    }

    private func isRecomputed(_ operation: Operation) -> Bool {
        switch (recompute, operation) {
        case (.nothing, _): false
        case (_, .unary), (_, .gate), (_, .layerNorm), (_, .rmsNorm), (_, .rotary), (_, .binary(Binary(.multiply))), (_, .scale): true
        case (.blocks, .linear), (.blocks, .attention), (.blocks, .quantize): true
        default: false
        }
    }

    /// All that has come together for a value so far, as one value; nothing remains of it.
    mutating func takeGradient(_ value: ValueID) throws(GraphError) -> ValueID? {
        guard let parts = contributions.removeValue(forKey: value) else { return nil }
        var sum = parts[0]
        for part in parts.dropFirst() { sum = try builder.add(.binary(Binary(.add)), [sum, part], origin: "gradient") }
        return sum
    }

    mutating func contribute(_ gradient: ValueID, to value: ValueID) {
        if isNeeded(value) { contributions[value, default: []].append(gradient) }
    }

    mutating func add(_ operation: Operation, _ inputs: [ValueID], _ node: Graph.Node) throws(GraphError) -> [ValueID] {
        try builder.addMultiple(operation, inputs, origin: node.origin)
    }

    /// A gradient of a parameter by an operation that can add to what is there.
    mutating func accumulate(_ operation: Operation, _ inputs: [ValueID], to parameter: ValueID, _ node: Graph.Node) throws(GraphError) {
        guard isNeeded(parameter) else { return }
        let before = try takeGradient(parameter)
        contribute(try add(operation, inputs + (before.map { [$0] } ?? []), node)[0], to: parameter)
    }

    // MARK: The three parts

    mutating func run(loss: String) throws(GraphError) -> Graph {
        let tail = source.order.filter { source[$0].results.count == 1 && source[source[$0].results[0]].type == .scalar }
        let isTail = Set(tail)
        for id in source.order where !isTail.contains(id) {
            try emit(id, source[id].inputs.map { copies[$0]! }, isCopy: false)
        }
        try differentiate(tail, source.output(named: loss)!)
        for id in source.order.reversed() where !isTail.contains(id) && source[id].results.contains(where: isNeeded) {
            try addGradients(of: id)
        }
        for output in source.outputs { try builder.output(output.name, copies[output.value]!) }
        for parameter in source.usedParameters where isNeeded(parameter) {
            let name = source[parameter].name
            guard let gradient = try takeGradient(parameter) else {
                throw GraphError(.undefinedValue, "the loss does not depend on \(name)")
            }
            try builder.output(Graph.gradientName(of: name), gradient)
        }
        var graph = builder.graph
        graph.compact()
        return graph
    }

    /// The name that a forward value had, as far as no value of the backward pass took it.
    private func name(_ value: ValueID) -> String {
        var name = source[value].name
        while builder.value(named: name) != nil { name += ".f" }
        return name
    }

    /// One forward node, with what its gradient will ask for as further results.
    private mutating func emit(_ id: NodeID, _ inputs: [ValueID], isCopy: Bool) throws(GraphError) {
        let node = source[id]
        var operation = node.operation
        let needsMore = node.results.contains(where: isNeeded)
        switch operation {
        case .layerNorm(var norm) where node.inputs.count == 4 && needsMore:
            norm.keepsSum = true
            operation = .layerNorm(norm)
        case .rmsNorm(var norm) where node.inputs.count == 3 && needsMore:
            norm.keepsSum = true
            operation = .rmsNorm(norm)
        case .attention(var attention) where needsMore:
            attention.savesLogSumExp = true
            operation = .attention(attention)
        case .recurrent(var recurrent) where needsMore:
            recurrent.savesStates = true
            operation = .recurrent(recurrent)
        default: break
        }
        let names = isCopy ? nil : node.results.map(name)
        let results = try builder.addMultiple(operation, inputs, names: names, origin: node.origin)
        for (old, new) in zip(node.results, results) {
            if isCopy { recomputed[old] = new } else { copies[old] = new }
        }
        switch operation {
        case .layerNorm(let norm) where norm.keepsSum: sums[id] = results.last
        case .rmsNorm(let norm) where norm.keepsSum: sums[id] = results.last
        case .attention(let attention) where attention.savesLogSumExp: logSumExps[id] = results.last
        case .recurrent(let recurrent) where recurrent.savesStates: savedStates[id] = recurrent.cell == .rnn ? [] : Array(results.suffix(2))
        default: break
        }
    }

    /// The losses and what is made of them, and the gradients of their predictions.
    private mutating func differentiate(_ tail: [NodeID], _ loss: ValueID) throws(GraphError) {
        let seed = try builder.input("loss_gradient", .scalar)
        var seeds: [ValueID: ValueID] = [loss: seed]
        func give(_ gradient: ValueID, to value: ValueID, _ builder: inout GraphBuilder) throws(GraphError) {
            seeds[value] = try seeds[value].map { earlier throws(GraphError) in try builder.add(.binary(Binary(.add)), [earlier, gradient]) } ?? gradient
        }
        for id in tail.reversed() {
            let node = source[id]
            guard let gradient = seeds[node.results[0]] else { continue }
            switch node.operation {
            case .loss, .relationLoss: break
            case .scale: try give(try builder.add(node.operation, [gradient]), to: node.inputs[0], &builder)
            case .binary(let binary) where binary.function == .add:
                for input in node.inputs { try give(gradient, to: input, &builder) }
            case .binary:
                for (input, other) in [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])] where source.producer(of: input) != nil {
                    guard let factor = copies[other] else { throw noGradient(node, "the product of two losses") }
                    try give(try builder.add(node.operation, [gradient, factor]), to: input, &builder)
                }
            default: throw noGradient(node, node.operation.mnemonic)
            }
        }
        for id in tail {
            let node = source[id], inputs = node.inputs.map { copies[$0]! }
            if let (gradient, predictions) = node.operation.gradientOfLoss, let seed = seeds[node.results[0]],
                node.inputs.prefix(predictions).contains(where: isNeeded)
            {
                guard !node.inputs.dropFirst(predictions).contains(where: isNeeded) else { throw noGradient(node, "the target of a loss") }
                let results = try add(gradient, [seed] + inputs, node)
                for (result, input) in zip(results.dropLast(), node.inputs) { contribute(result, to: input) }
                copies[node.results[0]] = results.last
            } else {
                copies[node.results[0]] = try builder.add(node.operation, inputs, name: name(node.results[0]), origin: node.origin)
            }
        }
    }

    func noGradient(_ node: Graph.Node, _ what: String) -> GraphError {
        GraphError(.attribute, "there is no gradient of \(what)", node: node.origin)
    }
}

extension Graph.Node {
    /// Gamma, and beta where there is one.
    var normParameters: [ValueID] {
        if case .layerNorm = operation { Array(inputs[1...2]) } else { [inputs[1]] }
    }
}

extension Operation {
    /// What computes a loss with its gradients, and how many of the loss's inputs have one: the first.
    fileprivate var gradientOfLoss: (operation: Operation, predictions: Int)? {
        switch self {
        case .loss(let loss): (.lossGradient(LossGradient(loss)), 1)
        case .relationLoss(let loss): (.relationLossGradient(RelationLossGradient(loss)), 2)
        default: nil
        }
    }

    /// A norm as one without residual and further results.
    var withoutResidual: Operation {
        switch self {
        case .layerNorm(let norm): .layerNorm(LayerNorm(epsilon: norm.epsilon))
        case .rmsNorm(let norm): .rmsNorm(RMSNorm(epsilon: norm.epsilon))
        default: self
        }
    }
}
