import ShrinkGraph

/// Where every value of a graph is while it runs with given extents: the memory plan.
///
/// Values live from the node that makes them to the last that reads them, in one arena. A node writes over an
/// input that nobody reads any more where its kernel can, a product whose only reader adds it to a value is
/// added to that value's memory at once, and gradients of parameters go to where the caller wants them.
struct ExecutionPlan {
    enum Place: Equatable {
        case nowhere
        /// A graph input, or a parameter.
        case outside
        case arena(buffer: Int)
        /// The output at this index of the graph's, which gets memory of its own.
        case output(Int)
    }

    /// By value index.
    private(set) var places: [Place]
    private(set) var shapes: [[Int]]
    /// Nodes that have nothing left to do, and products that add to what their place holds.
    private(set) var skipped: Set<NodeID> = []
    private(set) var adding: Set<NodeID> = []
    /// Offsets of the buffers in floats, and how many the arena has.
    private(set) var offsets: [Int] = []
    private(set) var arenaCount = 0

    private let graph: Graph
    private let lastUse: [Int]
    private var ends: [Int] = []
    private var starts: [Int] = []
    private var sizes: [Int] = []

    init(_ graph: Graph, batch: Int, tokens: Int) throws {
        self.graph = graph
        places = [Place](repeating: .nowhere, count: graph.values.count)
        shapes = try graph.values.map { value in
            try value.type.shape.map { dimension in
                switch dimension {
                case .fixed(let extent): extent
                case .batch: batch
                case .tokens: tokens
                case .symbol(let name): throw ComputeError("\(value.name) has the extent \(name), which nothing binds")
                }
            }
        }
        var last = [Int](repeating: -1, count: graph.values.count)
        for (position, id) in graph.order.enumerated() { for input in graph[id].inputs { last[input.index] = position } }
        lastUse = last
        for (index, value) in graph.values.enumerated() {
            if case .result = value.definition { continue }
            places[index] = .outside
        }
        placeOutputs()
        let sums = productsToAdd()
        for (position, id) in graph.order.enumerated() { place(id, at: position, sums) }
        let buffers = sizes.indices.map { MemoryPlanner.Buffer(byteCount: (sizes[$0] * 4 + 63) / 64 * 64, life: starts[$0]...max(ends[$0], starts[$0])) }
        let planned = MemoryPlanner.plan(buffers)
        offsets = planned.offsets.map { $0 / 4 }
        arenaCount = planned.byteCount / 4
    }

    func count(_ value: ValueID) -> Int { shapes[value.index].reduce(1, *) }

    /// Outputs, and the addends that they are made of step by step.
    private mutating func placeOutputs() {
        for (index, output) in graph.outputs.enumerated() where places[output.value.index] == .nowhere {
            var value = output.value
            while places[value.index] == .nowhere {
                places[value.index] = .output(index)
                guard let producer = graph.producer(of: value), let addend = graph[producer].addend, !isOutput(addend), readers(of: addend) == 1 else { break }
                value = addend
            }
        }
    }

    private func isOutput(_ value: ValueID) -> Bool { graph.outputs.contains { $0.value == value } }

    private func readers(of value: ValueID) -> Int { graph.order.reduce(0) { $0 + graph[$1].inputs.filter { $0 == value }.count } }

    /// Products by node, with the value they can be added to: the one reader of such a product is an addition,
    /// and nothing reads the other term after the product is made but that addition.
    private func productsToAdd() -> [NodeID: (target: ValueID, addition: NodeID)] {
        var readers = [[Int]](repeating: [], count: graph.values.count)
        var positions = [Int](repeating: -1, count: graph.nodes.count)
        for (position, id) in graph.order.enumerated() {
            positions[id.index] = position
            for input in graph[id].inputs { readers[input.index].append(position) }
        }
        var result: [NodeID: (target: ValueID, addition: NodeID)] = [:]
        var taken = Set<ValueID>()
        for (position, id) in graph.order.enumerated() {
            let node = graph[id]
            guard case .binary(let binary) = node.operation, binary.function == .add, node.inputs[0] != node.inputs[1],
                places[node.results[0].index] == .nowhere
            else { continue }
            for (target, product) in [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])] {
                guard let producer = graph.producer(of: product), case .linear = graph[producer].operation,
                    readers[product.index] == [position], places[product.index] == .nowhere,
                    let definer = graph.producer(of: target), positions[definer.index] < positions[producer.index],
                    places[target.index] == .nowhere, !taken.contains(target),
                    readers[target.index].allSatisfy({ $0 == position || $0 < positions[producer.index] })
                else { continue }
                taken.insert(target)
                result[producer] = (target, id)
                break
            }
        }
        return result
    }

    private mutating func place(_ id: NodeID, at position: Int, _ sums: [NodeID: (target: ValueID, addition: NodeID)]) {
        let node = graph[id]
        if skipped.contains(id) { return }
        if let (target, addition) = sums[id], case .arena(let buffer) = places[target.index] {
            adding.insert(id)
            skipped.insert(addition)
            for value in [node.results[0], graph[addition].results[0]] {
                places[value.index] = .arena(buffer: buffer)
                ends[buffer] = max(ends[buffer], lastUse[value.index], position)
            }
            return
        }
        var taken = Set<Int>()
        for (index, result) in node.results.enumerated() where places[result.index] == .nowhere {
            var buffer = sizes.count
            for input in node.operation.inputsToWriteOver(result: index, of: node.results.count) where input < node.inputs.count {
                let input = node.inputs[input]
                guard case .arena(let candidate) = places[input.index], ends[candidate] == position, !taken.contains(candidate),
                    count(input) == count(result)
                else { continue }
                buffer = candidate
                break
            }
            if buffer == sizes.count {
                sizes.append(count(result))
                starts.append(position)
                ends.append(position)
            }
            taken.insert(buffer)
            ends[buffer] = max(position, lastUse[result.index])
            places[result.index] = .arena(buffer: buffer)
        }
    }
}

extension Graph.Node {
    /// The input that an accumulating operation adds to.
    var addend: ValueID? {
        switch operation {
        case .outerProduct, .embeddingGradient: inputs.count == 3 ? inputs[2] : nil
        case .sumRows: inputs.count == 2 ? inputs[1] : nil
        default: nil
        }
    }
}

extension Operation {
    /// Positions of inputs whose memory the kernel can write the result at `result` to while it reads them.
    fileprivate func inputsToWriteOver(result: Int, of count: Int) -> [Int] {
        switch self {
        case .unary, .scale, .rotary, .quantize, .l2Normalize: result == 0 ? [0] : []
        case .unaryGradient, .l2NormalizeGradient, .binary, .gate: result == 0 ? [0, 1] : []
        case .gateGradient: [0, 1, 2]
        case .layerNorm(let norm): norm.keepsSum && result == count - 1 ? [3, 0] : result == 0 ? [0, 3] : []
        case .rmsNorm(let norm): norm.keepsSum && result == count - 1 ? [2, 0] : result == 0 ? [0, 2] : []
        case .normGradient: result == 0 ? [0, 3, 1] : []
        case .lossGradient: result == 0 ? [1] : []
        case .outerProduct, .embeddingGradient: [2]
        case .sumRows: [1]
        case .recurrent(let recurrent): result == (recurrent.cell == .rnn ? 0 : recurrent.savesStates ? count - 2 : -1) ? [0] : []
        case .recurrentGradient(let payload) where payload.recurrent.cell == .rnn: result == 0 ? [0] : []
        case .recurrentGradient(let payload): result == 0 ? [2] : payload.recurrent.cell == .gru && result == count - 1 ? [3] : []
        case .embedding, .linear, .attention, .selectToken, .meanTokens, .concatenate, .columns, .loss, .relationLoss, .relationLossGradient,
            .attentionGradient, .poolGradient: []
        }
    }
}
