import Glibc
import ShrinkCompute
import ShrinkGraph

/// A plain binary64 evaluation of forward graphs, for finite differences: every formula written out once more,
/// with neither blocks nor vectors.
struct Reference64 {
    let graph: Graph
    let inputs: HostInputs
    /// By parameter name.
    var parameters: [String: [Double]] = [:]

    init(_ graph: Graph, _ inputs: HostInputs) throws {
        self.graph = graph
        self.inputs = inputs
        for id in graph.usedParameters {
            guard let source = graph.parameter(id)?.source else { continue }
            let tensor = HostTensor(shape: shape(id))
            try source.readFloats(0..<tensor.buffer.count, into: tensor.buffer)
            parameters[graph[id].name] = tensor.floats.map(Double.init)
        }
    }

    func shape(_ value: ValueID) -> [Int] {
        graph[value].type.shape.map { $0 == .batch ? inputs.batch : $0 == .tokens ? inputs.tokens : $0.fixedValue! }
    }

    private func integers(_ value: ValueID) -> [Int] {
        let name = graph[value].name
        if let given = inputs.integers[name] { return given.map(Int.init) }
        let count = shape(value).reduce(1, *)
        return (0..<count).map { place in
            switch name {
            case "positions": place % inputs.tokens
            case "lengths": inputs.tokens
            case "marks": place % inputs.tokens < inputs.integers["lengths"].map { Int($0[place / inputs.tokens]) } ?? inputs.tokens ? 0 : -1
            default: 0
            }
        }
    }

    /// The outputs by name.
    func run() -> [String: [Double]] {
        var values: [ValueID: [Double]] = [:]
        for id in graph.usedParameters { values[id] = parameters[graph[id].name] }
        for input in graph.inputs { if let tensor = inputs.floats[graph[input].name] { values[input] = tensor.floats.map(Double.init) } }
        for id in graph.order {
            let node = graph[id]
            for (result, numbers) in zip(node.results, run(node, values)) { values[result] = numbers }
        }
        return Dictionary(uniqueKeysWithValues: graph.outputs.map { ($0.name, values[$0.value]!) })
    }

    private func run(_ node: Graph.Node, _ values: [ValueID: [Double]]) -> [[Double]] {
        func x(_ position: Int) -> [Double] { values[node.inputs[position]]! }
        let width = shape(node.inputs[0]).last ?? 1
        func rows(_ x: [Double], _ body: ([Double]) -> [Double]) -> [Double] {
            stride(from: 0, to: x.count, by: width).flatMap { body(Array(x[$0..<$0 + width])) }
        }
        switch node.operation {
        case .embedding(let payload):
            let width = shape(node.inputs[1])[1]
            return [integers(node.inputs[0]).flatMap { x(1)[($0 + payload.indexOffset) * width..<($0 + payload.indexOffset + 1) * width] }]
        case .linear(let payload):
            let outer = shape(node.results[0]).last!, weight = x(1), bias = node.inputs.count == 3 ? x(2) : nil
            let (down, across) = payload.isInputMajor ? (outer, 1) : (1, width)
            func product(_ row: [Double], _ column: Int) -> Double {
                var sum = bias?[column] ?? 0
                for index in 0..<width { sum += row[index] * weight[index * down + column * across] }
                return sum
            }
            return [rows(x(0)) { row in (0..<outer).map { product(row, $0) } }]
        case .layerNorm(let payload):
            let sum = node.inputs.count == 4 ? zip(x(0), x(3)).map(+) : x(0)
            return [norm(sum, width, payload.epsilon, x(1), x(2)), sum]
        case .rmsNorm(let payload):
            let sum = node.inputs.count == 3 ? zip(x(0), x(2)).map(+) : x(0)
            return [norm(sum, width, payload.epsilon, x(1), nil), sum]
        case .attention(let payload): return [attention(payload, node, x)]
        case .recurrent(let payload): return [recurrent(payload, node, x)]
        case .concatenate:
            let count = x(0).count / width
            return [(0..<count).flatMap { row in node.inputs.flatMap { input in
                let width = shape(input).last!
                return values[input]![row * width..<(row + 1) * width]
            } }]
        case .columns(let payload): return [rows(x(0)) { Array($0[payload.start..<payload.start + payload.count]) }]
        case .rotary(let payload):
            let half = payload.headSize / 2, cosine = x(1), sine = x(2), input = x(0)
            var result = input
            for start in stride(from: 0, to: input.count, by: payload.headSize) {
                let position = start / width % inputs.tokens
                for pair in 0..<half {
                    let (a, b) = payload.layout == .half ? (start + pair, start + pair + half) : (start + 2 * pair, start + 2 * pair + 1)
                    let c = cosine[position * half + pair], s = sine[position * half + pair]
                    (result[a], result[b]) = (input[a] * c - input[b] * s, input[b] * c + input[a] * s)
                }
            }
            return [result]
        case .unary(let payload): return [x(0).map { apply(payload.function, $0) }]
        case .gate(let payload): return [zip(x(0), x(1)).map { apply(payload.function, $0) * $1 }]
        case .binary(let payload): return [zip(x(0), x(1)).map { payload.function == .add ? $0 + $1 : $0 * $1 }]
        case .scale(let payload): return [x(0).map { $0 * payload.factor }]
        case .quantize: return [x(0)]
        case .selectToken(let payload): return [pool(x(0), node) { $0[payload.position == .first ? 0 : $0.count - 1] }]
        case .meanTokens:
            return [pool(x(0), node) { tokens in tokens[0].indices.map { i in tokens.reduce(0) { $0 + $1[i] } / Double(tokens.count) } }]
        case .l2Normalize(let payload):
            return [rows(x(0)) { row in row.map { $0 / max(length(row), payload.epsilon) } }]
        case .loss(let payload): return [[loss(payload, node, x, width)]]
        case .relationLoss(let payload): return [[relationLoss(payload, node, x)]]
        default: preconditionFailure("\(node.operation.mnemonic) is no forward operation")
        }
    }

    private func length(_ row: [Double]) -> Double { row.reduce(0) { $0 + $1 * $1 }.squareRoot() }

    private func norm(_ x: [Double], _ width: Int, _ epsilon: Double, _ gamma: [Double], _ beta: [Double]?) -> [Double] {
        stride(from: 0, to: x.count, by: width).flatMap { start -> [Double] in
            let row = x[start..<start + width], mean = beta == nil ? 0 : row.reduce(0, +) / Double(width)
            let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
            return row.enumerated().map { ($1 - mean) / (variance + epsilon).squareRoot() * gamma[$0] + (beta?[$0] ?? 0) }
        }
    }

    private func apply(_ function: Unary.Function, _ x: Double) -> Double {
        switch function {
        case .relu: max(x, 0)
        case .silu: x / (1 + exp(-x))
        case .tanh: Glibc.tanh(x)
        case .sigmoid: 1 / (1 + exp(-x))
        case .geluErf: x * erfc(-x / 2.0.squareRoot()) / 2
        case .geluTanh: 0.5 * x * (1 + Glibc.tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
        }
    }

    private func pool(_ x: [Double], _ node: Graph.Node, _ body: ([[Double]]) -> [Double]) -> [Double] {
        let width = shape(node.inputs[0]).last!, lengths = node.inputs.count == 2 ? integers(node.inputs[1]) : nil
        return (0..<inputs.batch).flatMap { sequence in
            body((0..<(lengths?[sequence] ?? inputs.tokens)).map { Array(x[(sequence * inputs.tokens + $0) * width..<(sequence * inputs.tokens + $0 + 1) * width]) })
        }
    }

    private func attention(_ payload: Attention, _ node: Graph.Node, _ x: (Int) -> [Double]) -> [Double] {
        let size = payload.headSize, heads = payload.heads, own = payload.isPacked ? 1 : 3
        let queries = heads * size, shared = payload.keyValueHeads * size
        let lengths = node.inputs.count > own ? integers(node.inputs[own]) : nil
        func element(_ role: Int, _ row: Int, _ column: Int) -> Double {
            if payload.isPacked { return x(0)[row * (queries + 2 * shared) + (role == 0 ? 0 : queries + (role - 1) * shared) + column] }
            return x(role)[row * (role == 0 ? queries : shared) + column]
        }
        var result = [Double](repeating: 0, count: inputs.batch * inputs.tokens * queries)
        for sequence in 0..<inputs.batch {
            let first = sequence * inputs.tokens, length = lengths?[sequence] ?? inputs.tokens
            for head in 0..<heads {
                let other = head / (heads / payload.keyValueHeads)
                for token in 0..<length {
                    let scores = (0..<(payload.isCausal ? token + 1 : length)).map { key -> Double in
                        var dot = 0.0
                        for index in 0..<size { dot += element(0, first + token, head * size + index) * element(1, first + key, other * size + index) }
                        return dot * payload.scale
                    }
                    let largest = scores.max()!, sum = scores.reduce(0) { $0 + exp($1 - largest) }
                    for index in 0..<size {
                        var mixed = 0.0
                        for key in scores.indices { mixed += exp(scores[key] - largest) / sum * element(2, first + key, other * size + index) }
                        result[(first + token) * queries + head * size + index] = mixed
                    }
                }
            }
        }
        return result
    }

    private func softmax(_ row: [Double]) -> [Double] {
        let powers = row.map { exp($0 - row.max()!) }
        return powers.map { $0 / powers.reduce(0, +) }
    }

    private func relationLoss(_ payload: RelationLoss, _ node: Graph.Node, _ x: (Int) -> [Double]) -> Double {
        let lengths = node.inputs.count == 5 ? integers(node.inputs[4]) : [Int](repeating: inputs.tokens, count: inputs.batch)
        func scores(_ side: RelationLoss.Side, _ input: Int, sequence: Int, head: Int, token: Int) -> [Double] {
            let widths = (shape(node.inputs[input]).last!, shape(node.inputs[input + 1]).last!), a = x(input), b = x(input + 1)
            let other = head / (payload.heads / side.sharedHeads)
            return (0..<(payload.isCausal ? token + 1 : lengths[sequence])).map { key in
                let first = (sequence * inputs.tokens + token) * widths.0 + side.columns.x + head * side.headSize
                let second = (sequence * inputs.tokens + key) * widths.1 + side.columns.y + other * side.headSize
                return (0..<side.headSize).reduce(0) { $0 + a[first + $1] * b[second + $1] } * side.scale
            }
        }
        var total = 0.0, count = 0
        for sequence in 0..<inputs.batch {
            for head in 0..<payload.heads {
                for token in 0..<lengths[sequence] {
                    let s = scores(payload.student, 0, sequence: sequence, head: head, token: token)
                    let t = scores(payload.teacher, 2, sequence: sequence, head: head, token: token)
                    count += 1
                    switch payload.function {
                    case .divergence: total += zip(softmax(t), softmax(s)).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
                    case .probabilities: total += zip(softmax(t), softmax(s)).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / Double(s.count)
                    case .scores: total += zip(t, s).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / Double(s.count)
                    }
                }
            }
        }
        return total / Double(count)
    }

    private func recurrent(_ payload: Recurrent, _ node: Graph.Node, _ x: (Int) -> [Double]) -> [Double] {
        let width = shape(node.results[0]).last!, all = payload.cell.gateCount * width, gates = x(0), weight = x(1)
        let hasBias = node.inputs.count > 2 && graph[node.inputs[2]].type.element == .float32
        let lengths = node.inputs.count > (hasBias ? 3 : 2) ? integers(node.inputs.last!) : [Int](repeating: inputs.tokens, count: inputs.batch)
        func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
        var result = [Double](repeating: 0, count: inputs.batch * inputs.tokens * width)
        for sequence in 0..<inputs.batch {
            var h = [Double](repeating: 0, count: width), c = h
            let order = Array(0..<lengths[sequence])
            for token in payload.isReversed ? order.reversed() : order {
                let row = sequence * inputs.tokens + token
                let own = (0..<all).map { j in (hasBias ? x(2)[j] : 0) + (0..<width).reduce(0.0) { $0 + weight[j * width + $1] * h[$1] } }
                let given = Array(gates[row * all..<(row + 1) * all]), before = h
                for i in 0..<width {
                    switch payload.cell {
                    case .rnn: h[i] = Glibc.tanh(given[i] + own[i])
                    case .gru:
                        let r = sigmoid(given[i] + own[i]), z = sigmoid(given[width + i] + own[width + i])
                        let n = Glibc.tanh(given[2 * width + i] + r * own[2 * width + i])
                        h[i] = (1 - z) * n + z * before[i]
                    case .lstm:
                        let a = (0..<4).map { given[$0 * width + i] + own[$0 * width + i] }
                        c[i] = sigmoid(a[1]) * c[i] + sigmoid(a[0]) * Glibc.tanh(a[2])
                        h[i] = sigmoid(a[3]) * Glibc.tanh(c[i])
                    }
                }
                result.replaceSubrange(row * width..<(row + 1) * width, with: h)
            }
        }
        return result
    }

    private func loss(_ payload: Loss, _ node: Graph.Node, _ x: (Int) -> [Double], _ width: Int) -> Double {
        let prediction = x(0), rows = prediction.count / width
        let labels = payload.function == .crossEntropy ? integers(node.inputs[1]) : nil
        let marks = labels ?? (node.inputs.count == 3 ? integers(node.inputs[2]) : [Int](repeating: 0, count: rows))
        let target = labels == nil ? x(1) : []
        func softmax(_ row: [Double]) -> [Double] { self.softmax(row.map { $0 / payload.temperature }) }
        func divergence(_ p: [Double], _ q: [Double]) -> Double {
            zip(p, q).reduce(0) { $0 + ($1.0 == 0 ? 0 : $1.0 * log($1.0 / (payload.skew * $1.0 + (1 - payload.skew) * $1.1))) } * payload.temperature * payload.temperature
        }
        let targetWidth = labels == nil ? shape(node.inputs[1]).last! : 0
        var total = 0.0
        for row in 0..<rows where marks[row] >= 0 {
            let a = Array(prediction[row * width..<(row + 1) * width])
            let b = labels == nil ? Array(target[row * targetWidth..<(row + 1) * targetWidth]) : []
            switch payload.function {
            case .crossEntropy: total -= log(softmax(a)[marks[row]])
            case .softTargets: total += divergence(softmax(b), softmax(a))
            case .topTargets:
                let count = targetWidth / 2, q = softmax(a), chosen = b.prefix(count).map { q[Int($0)] }
                let others = q.indices.filter { !b.prefix(count).contains(Double($0)) }.reduce(0) { $0 + q[$1] }
                total += divergence(b.dropFirst(count).map { exp($0) }, chosen + [others])
            case .squaredError: total += zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / Double(width)
            case .cosine: total += 1 - zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } / (length(a) * length(b))
            }
        }
        return payload.reduction == .sum ? total : total / Double(max(marks.filter { $0 >= 0 }.count, 1))
    }
}
