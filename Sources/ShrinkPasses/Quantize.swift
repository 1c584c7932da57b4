import ShrinkGraph

/// Weights and activations in 8 bits: int8 weights with a scale for each output channel, activations
/// quantized for each token while the model runs.
extension Pass {
    public static let quantizeW8A8 = Pass(
        name: "quantize-w8a8", summary: "int8 weights by channel, activations by token, attention by head"
    ) { try toInt8(&$0, &$1, isTrained: false) }

    /// What `quantizeW8A8` will make of the model once it is packed, with the same codes, in the layout in which its weights are
    /// trained: packed attention and weights stored input by input stay. Parameters that only training knows stay as they are;
    /// the names of those have a colon.
    public static let fakeQuantizeW8A8 = Pass(
        name: "fake-quantize-w8a8", summary: "compute as after quantize-w8a8, with the weights as they are trained"
    ) { try toInt8(&$0, &$1, isTrained: true) }

    private static func toInt8(_ graph: inout Graph, _ report: inout PassReport, isTrained: Bool) throws {
        var quantized: [ValueID: ValueID] = [:]
        var weights: [ValueID] = [], columns: [ValueID] = []
        var patch = GraphPatch(graph)

        func quantize(_ value: ValueID, groups: Int, before anchor: NodeID, origin: String) throws -> ValueID {
            if groups == 1, let known = quantized[value] { return known }
            let result = try patch.insert(.quantize(ShrinkGraph.Quantize(groups: groups)), [value], before: anchor, origin: origin)[0]
            if groups == 1 { quantized[value] = result }
            return result
        }

        for id in graph.order {
            let node = graph[id]
            switch node.operation {
            case .linear(let linear) where graph[node.inputs[0]].type.element == .float32:
                if isTrained, graph[node.inputs[1]].name.contains(":") { continue }
                let x = try quantize(node.inputs[0], groups: 1, before: id, origin: node.origin)
                patch.setInputs(of: id, to: [x] + node.inputs.dropFirst())
                if isTrained, linear.isInputMajor { columns.append(node.inputs[1]) } else { weights.append(node.inputs[1]) }
                report.rewrites += 1
            case .embedding:
                weights.append(node.inputs[1])
                report.rewrites += 1
            case .recurrent(var recurrent) where !recurrent.quantizesState:
                recurrent.quantizesState = true
                patch.setOperation(of: id, to: .recurrent(recurrent))
                weights.append(node.inputs[1])
                report.rewrites += 1
            case .attention(let attention) where graph[node.inputs[0]].type.element == .float32:
                if isTrained, attention.isPacked {
                    let x = try quantize(node.inputs[0], groups: attention.heads + 2 * attention.keyValueHeads, before: id, origin: node.origin)
                    patch.setInputs(of: id, to: [x] + node.inputs.dropFirst())
                    report.rewrites += 1
                    continue
                }
                guard !attention.isPacked else {
                    report.refuse(node, .unsupported("q, k and v are packed in one; split-packed-attention comes first"))
                    continue
                }
                let counts = [attention.heads, attention.keyValueHeads, attention.keyValueHeads]
                var inputs: [ValueID] = []
                for (value, count) in zip(node.inputs, counts) {
                    inputs.append(try quantize(value, groups: count, before: id, origin: node.origin))
                }
                patch.setInputs(of: id, to: inputs + node.inputs.dropFirst(3))
                report.rewrites += 1
            default: continue
            }
        }
        for (weight, quantization) in weights.map({ ($0, WeightQuantization.int8PerChannel) }) + columns.map({ ($0, .int8PerColumn) }) {
            guard patch[weight].isParameter else {
                throw GraphError(.undefinedValue, "\(patch[weight].name) is computed, so it cannot be quantized as a weight")
            }
            patch.setQuantization(quantization, of: weight)
        }
        graph = try patch.commit()
    }
}
