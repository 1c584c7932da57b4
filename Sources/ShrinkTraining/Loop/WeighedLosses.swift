import ShrinkCompute
import ShrinkGraph
import ShrinkPasses

/// A graph whose every mean loss is multiplied by an input, so that losses and gradients of several batches add up to those of
/// one batch of all: a batch with n of the N rows that count in all gets n / N, for each loss by itself.
struct WeighedLosses {
    let graph: Graph
    private var losses: [(weight: String, rows: Rows)] = []

    /// What a loss is the mean of.
    private enum Rows {
        /// Those whose entry in the input of this name is not negative.
        case marked(String)
        case all([Dimension])
        /// Those of tokens that are no padding.
        case tokens
    }

    /// - Parameter graph: fused here, when nothing is left in it that has no part in the losses: a norm and the sum before it become one, and
    ///   would be needed together.
    init(_ graph: Graph) throws {
        var source = graph
        _ = try PassManager([.fuseResidualNorm, .fuseGate]).run(on: &source)
        var builder = GraphBuilder(name: source.name)
        var copies: [ValueID: ValueID] = [:]
        for input in source.inputs { copies[input] = try builder.input(source[input].name, source[input].type) }
        for id in source.usedParameters {
            guard let parameter = source.parameter(id) else { continue }
            copies[id] = try builder.parameter(source[id].name, source[id].type, parameter)
        }
        for id in source.order {
            let node = source[id]
            let results = try builder.addMultiple(
                node.operation, node.inputs.compactMap { copies[$0] }, names: node.results.map { source[$0].name }, origin: node.origin)
            for (old, new) in zip(node.results, results) { copies[old] = new }
            let rows: Rows
            switch node.operation {
            case .relationLoss: rows = .tokens
            case .loss(let loss) where loss.reduction == .mean:
                if let marks = loss.function == .crossEntropy ? node.inputs[1] : node.inputs.count == 3 ? node.inputs[2] : nil {
                    rows = source[marks].name == "marks" ? .tokens : .marked(source[marks].name)
                } else {
                    rows = .all(Array(source[node.inputs[0]].type.shape.dropLast()))
                }
            default: continue
            }
            let weight = "weight:\(losses.count)"
            copies[node.results[0]] = try builder.add(
                .binary(Binary(.multiply)), [results[0], try builder.input(weight, .scalar)], name: "weighed:\(losses.count)", origin: node.origin)
            losses.append((weight, rows))
        }
        for output in source.outputs {
            if let value = copies[output.value] { try builder.output(output.name, value) }
        }
        self.graph = builder.graph
    }

    var count: Int { losses.count }

    /// The rows of a batch that count, for each loss.
    func counts(_ inputs: HostInputs) -> [Int] {
        losses.map { loss in
            switch loss.rows {
            case .marked(let name): inputs.integers[name]?.reduce(0) { $0 + ($1 < 0 ? 0 : 1) } ?? inputs.batch * inputs.tokens
            case .tokens: inputs.integers["lengths"]?.reduce(0) { $0 + Int($1) } ?? inputs.batch * inputs.tokens
            case .all(let rows):
                rows.reduce(1) { rows, dimension in
                    switch dimension {
                    case .batch: rows * inputs.batch
                    case .tokens: rows * inputs.tokens
                    case .fixed(let extent): rows * extent
                    case .symbol: rows
                    }
                }
            }
        }
    }

    /// Sets the weights of a batch whose rows are `counts` of `totals`.
    func weigh(_ inputs: inout HostInputs, _ counts: [Int], of totals: [Int]) {
        for (index, loss) in losses.enumerated() {
            let weight: Float = counts[index] == totals[index] ? 1 : Float(counts[index]) / Float(totals[index])
            inputs.floats[loss.weight] = HostTensor([weight], shape: [])
        }
    }
}
