import Glibc
import ShrinkGraph

/// Runs a graph in binary32 on the host. Serves evaluation and calibration; quantized graphs run
/// with the numbers that their codes stand for.
public struct HostExecutor {
    public let graph: Graph
    private let blas: BLAS
    private let parameters: ParameterCache
    private let lastUse: [Int]

    /// `parameters` may be shared by executors of graphs of the same checkpoint.
    public init(_ graph: Graph, parameters: ParameterCache = ParameterCache()) throws {
        self.graph = graph
        self.parameters = parameters
        blas = try BLAS.load()
        var last = [Int](repeating: -1, count: graph.values.count)
        for (position, id) in graph.order.enumerated() { for input in graph[id].inputs { last[input.index] = position } }
        for output in graph.outputs { last[output.value.index] = Int.max }
        lastUse = last
    }

    /// Runs one batch of equally long sequences, row-major [batch, tokens]. Segments are zero unless
    /// given. Returns the outputs by name.
    public func run(tokens: [Int32], segments: [Int32]? = nil, batch: Int = 1) throws -> [String: HostTensor] {
        precondition(batch > 0 && tokens.count.isMultiple(of: batch) && !tokens.isEmpty)
        let length = tokens.count / batch
        var integers: [ValueID: [Int32]] = [:]
        for input in graph.inputs {
            switch graph[input].name {
            case "tokens": integers[input] = tokens
            case "segments": integers[input] = segments ?? [Int32](repeating: 0, count: tokens.count)
            case "positions": integers[input] = (0..<tokens.count).map { Int32($0 % length) }
            case let name: throw ComputeError("the graph has an input \(name) that nothing fills")
            }
        }
        var values: [ValueID: HostTensor] = [:]
        for (position, id) in graph.order.enumerated() {
            let node = graph[id]
            let results = try run(node, values, integers, shape: [batch, length])
            for (result, tensor) in zip(node.results, results) where lastUse[result.index] >= 0 { values[result] = tensor }
            for input in node.inputs where lastUse[input.index] == position { values[input] = nil }
        }
        return Dictionary(uniqueKeysWithValues: graph.outputs.compactMap { output in values[output.value].map { (output.name, $0) } })
    }

    private func run(
        _ node: Graph.Node, _ values: [ValueID: HostTensor], _ integers: [ValueID: [Int32]], shape: [Int]
    ) throws -> [HostTensor] {
        func tensor(_ position: Int) throws -> HostTensor {
            guard let tensor = values[node.inputs[position]] else {
                throw ComputeError("\(node.operation.mnemonic) of \(node.origin): \(graph[node.inputs[position]].name) is not there")
            }
            return tensor
        }
        func parameter<R>(_ position: Int, rows: Int? = nil, _ body: (UnsafePointer<Float>) throws -> R) throws -> R {
            try parameters.withFloats(graph[node.inputs[position]], rows: rows, body)
        }
        /// The float result, then the quantized one, as the operation declares them.
        func withQuantized(_ result: HostTensor, _ alsoQuantized: Bool) -> [HostTensor] {
            alsoQuantized ? [result, FakeQuantization.activations(result, groups: 1)] : [result]
        }

        switch node.operation {
        case .embedding(let payload):
            let table = graph[node.inputs[1]]
            guard let indices = integers[node.inputs[0]] else { throw ComputeError("an embedding reads computed indices") }
            let rows = table.type.shape[0].fixedValue ?? 0, width = table.type.width ?? 0
            let result = HostTensor(shape: shape + [width])
            try parameter(1) { floats in
                for (position, index) in indices.enumerated() {
                    let row = Int(index) + payload.indexOffset
                    guard 0..<rows ~= row else { throw ComputeError("\(table.name) has \(rows) rows; row \(row) was asked for") }
                    (result.base + position * width).update(from: floats + row * width, count: width)
                }
            }
            return [result]
        case .linear:
            let x = try tensor(0)
            let outputs = graph[node.inputs[1]].type.shape[0].fixedValue ?? 0
            let result = x.empty(width: outputs)
            try parameter(1) { weight in
                blas.multiply(
                    rows: x.rowCount, columns: outputs, inner: x.width, x.base, x.width, weight, x.width, transposeB: true,
                    into: result.base, outputs)
            }
            if node.inputs.count == 3 {
                try parameter(2) { bias in
                    let bias = SharedFloats(bias)
                    forEachRow(result.rowCount) { row in
                        for index in 0..<outputs { result.base[row * outputs + index] += bias.base[index] }
                    }
                }
            }
            return [result]
        case .layerNorm(let payload):
            let sum = node.inputs.count == 4 ? HostKernels.binary(.add, try tensor(0), try tensor(3)) : try tensor(0)
            let result = try parameter(1) { gamma in
                try parameter(2) { beta in HostKernels.layerNorm(sum, gamma, beta, epsilon: payload.epsilon) }
            }
            return withQuantized(result, payload.alsoQuantized) + (payload.keepsSum ? [sum] : [])
        case .rmsNorm(let payload):
            let sum = node.inputs.count == 3 ? HostKernels.binary(.add, try tensor(0), try tensor(2)) : try tensor(0)
            let result = try parameter(1) { HostKernels.rmsNorm(sum, $0, epsilon: payload.epsilon) }
            return withQuantized(result, payload.alsoQuantized) + (payload.keepsSum ? [sum] : [])
        case .attention(let payload):
            let result = HostKernels.attention(payload, try tensor(0), try tensor(1), try tensor(2), blas)
            return withQuantized(result, payload.alsoQuantized)
        case .rotary(let payload):
            let positions = graph[node.inputs[1]].type.shape[0].fixedValue ?? 0
            return [
                try parameter(1, rows: shape[1]) { cosine in
                    try parameter(2, rows: shape[1]) { sine in
                        try HostKernels.rotary(try tensor(0), payload, cosine: cosine, sine: sine, positions: positions)
                    }
                }
            ]
        case .unary(let payload):
            return withQuantized(HostKernels.unary(payload.function, try tensor(0)), payload.alsoQuantized)
        case .binary(let payload):
            return [HostKernels.binary(payload.function, try tensor(0), try tensor(1))]
        case .gate(let payload):
            let result = HostKernels.binary(.multiply, HostKernels.unary(payload.function, try tensor(0)), try tensor(1))
            return withQuantized(result, payload.alsoQuantized)
        case .quantize(let payload):
            return [FakeQuantization.activations(try tensor(0), groups: payload.groups)]
        case .selectToken(let payload):
            let x = try tensor(0)
            return [
                HostKernels.pool(x) { tokens, source, target in
                    target.update(from: source + (payload.position == .last ? tokens - 1 : 0) * x.width, count: x.width)
                }
            ]
        case .meanTokens:
            let x = try tensor(0)
            return [
                HostKernels.pool(x) { tokens, source, target in
                    for index in 0..<x.width {
                        var sum = 0.0
                        for token in 0..<tokens { sum += Double(source[token * x.width + index]) }
                        target[index] = Float(sum / Double(tokens))
                    }
                }
            ]
        case .l2Normalize(let payload):
            return [HostKernels.l2Normalize(try tensor(0), epsilon: payload.epsilon)]
        }
    }
}
