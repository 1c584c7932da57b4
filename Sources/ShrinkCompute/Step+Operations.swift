import CHostKernels
import ShrinkGraph

extension Step {
    /// Runs one node. An error names it.
    func run(_ id: NodeID) throws {
        let node = graph[id]
        do {
            try run(node, adding: plan.adding.contains(id))
        } catch let error as ComputeError {
            throw ComputeError("\(node.operation.mnemonic)\(node.origin.isEmpty ? "" : " of \(node.origin)"): \(error.description)")
        }
    }

    private func run(_ node: Graph.Node, adding: Bool) throws {
        let inputs = node.inputs, results = node.results
        switch node.operation {
        case .embedding(let payload): try embed(node, payload.indexOffset)
        case .linear(let payload): try linear(node, payload, adding: adding)
        case .layerNorm(let payload): try norm(node, beta: pointer(inputs[2]), payload.epsilon, payload.keepsSum, payload.alsoQuantized)
        case .rmsNorm(let payload): try norm(node, beta: nil, payload.epsilon, payload.keepsSum, payload.alsoQuantized)
        case .attention(let payload):
            try attention(payload, node)
            if payload.alsoQuantized { try quantize(results[0], into: results[1]) }
        case .recurrent(let payload): try recurrent(payload, node)
        case .rotary(let payload): try rotary(node, payload)
        case .unary(let payload):
            let x = try pointer(inputs[0]), y = try pointer(results[0]), function = payload.function.kernel
            threads.forElements(count(results[0])) { kernels.unary(function, x + $0.lowerBound, y + $0.lowerBound, $0.count) }
            if payload.alsoQuantized { try quantize(results[0], into: results[1]) }
        case .binary(let payload):
            let a = try pointer(inputs[0]), b = try pointer(inputs[1]), y = try pointer(results[0])
            let kernel = payload.function == .add ? kernels.add : kernels.multiply
            threads.forElements(count(results[0])) { kernel(a + $0.lowerBound, b + $0.lowerBound, y + $0.lowerBound, $0.count) }
        case .gate(let payload):
            let a = try pointer(inputs[0]), b = try pointer(inputs[1]), y = try pointer(results[0]), function = payload.function.kernel
            threads.forElements(count(results[0])) {
                kernels.gate(function, a + $0.lowerBound, b + $0.lowerBound, y + $0.lowerBound, $0.count)
            }
            if payload.alsoQuantized { try quantize(results[0], into: results[1]) }
        case .quantize(let payload): try quantize(inputs[0], into: results[0], groups: payload.groups)
        case .selectToken(let payload): try pool(node, payload.position == .first ? .first : .last)
        case .meanTokens: try pool(node, .mean)
        case .l2Normalize(let payload):
            let x = try pointer(inputs[0]), y = try pointer(results[0]), width = width(results[0])
            threads.forRows(rows(results[0]), width: width) {
                kernels.l2_normalize(x + $0.lowerBound * width, Float(payload.epsilon), y + $0.lowerBound * width, $0.count, width)
            }
        case .scale(let payload):
            let x = try pointer(inputs[0]), y = try pointer(results[0])
            threads.forElements(count(results[0])) { kernels.scale(x + $0.lowerBound, Float(payload.factor), y + $0.lowerBound, $0.count) }
        case .concatenate(let payload):
            try concatenate(node)
            if payload.alsoQuantized { try quantize(results[0], into: results[1]) }
        case .columns(let payload):
            let x = try pointer(inputs[0]) + payload.start, y = try pointer(results[0]), from = width(inputs[0]), width = payload.count
            threads.forRows(rows(results[0]), width: width) {
                for row in $0 { (y + row * width).update(from: x + row * from, count: width) }
            }

        case .loss(let payload): try loss(payload, node, inputs[...], gradient: nil, into: results[0])
        case .lossGradient(let payload): try loss(payload.loss, node, inputs[1...], gradient: (pointer(inputs[0]).pointee, results[0]), into: results[1])
        case .relationLoss(let payload): try relationLoss(payload, inputs[...], gradients: nil, into: results[0])
        case .relationLossGradient(let payload):
            try relationLoss(payload.loss, inputs[1...], gradients: (pointer(inputs[0]).pointee, results[0], results[1]), into: results[2])
        case .outerProduct:
            let m = width(inputs[0]), n = width(inputs[1])
            let beta = try beta(results[0], addend: node.addend)
            try executor.blas.multiply(
                rows: m, columns: n, inner: rows(inputs[0]), Factor(base: pointer(inputs[0]), stride: m, isTransposed: true),
                Factor(base: pointer(inputs[1]), stride: n), beta: beta, into: pointer(results[0]), on: threads)
        case .sumRows:
            let beta = try beta(results[0], addend: node.addend), x = try pointer(inputs[0]), width = width(inputs[0])
            try sumOverRows(rows(inputs[0]), width: width, [(pointer(results[0]), beta)]) { rows, sums in
                kernels.add_rows(x + rows.lowerBound * width, width, sums[0]!, rows.count, width)
            }
        case .embeddingGradient(let payload): try embeddingGradient(node, payload)
        case .normGradient(let payload): try normGradient(node, payload)
        case .unaryGradient(let payload):
            let dy = try pointer(inputs[0]), x = try pointer(inputs[1]), dx = try pointer(results[0]), function = payload.function.kernel
            threads.forElements(count(results[0])) {
                kernels.unary_gradient(function, dy + $0.lowerBound, x + $0.lowerBound, dx + $0.lowerBound, $0.count)
            }
        case .gateGradient(let payload):
            let dy = try pointer(inputs[0]), a = try pointer(inputs[1]), b = try pointer(inputs[2]), function = payload.function.kernel
            let da = try pointer(results[0]), db = try pointer(results[1])
            threads.forElements(count(results[0])) {
                let start = $0.lowerBound
                kernels.gate_gradient(function, dy + start, a + start, b + start, da + start, db + start, $0.count)
            }
        case .attentionGradient(let payload): try attentionGradient(payload.attention, node)
        case .recurrentGradient(let payload): try recurrentGradient(payload, node)
        case .l2NormalizeGradient(let payload):
            let dy = try pointer(inputs[0]), x = try pointer(inputs[1]), dx = try pointer(results[0]), width = width(results[0])
            threads.forRows(rows(results[0]), width: width) {
                let start = $0.lowerBound * width
                kernels.l2_normalize_gradient(dy + start, x + start, Float(payload.epsilon), dx + start, $0.count, width)
            }
        case .poolGradient(let payload): try poolGradient(node, payload.pool)
        }
    }

    func quantize(_ x: ValueID, into result: ValueID, groups: Int = 1) throws {
        let steps = HostTensor(shape: [rows(x), groups])
        self.steps[result] = steps
        FakeQuantization.activations(try pointer(x), try pointer(result), steps: steps.base, rows: rows(x), width: width(x), groups: groups, on: threads)
    }

    // MARK: Rows of tables

    /// The indices of an embedding, checked against its table.
    private func tableRows(_ indices: ValueID, offset: Int, rows: Int) throws -> [Int] {
        try integers(indices).map { index in
            let row = Int(index) + offset
            guard 0..<rows ~= row else { throw ComputeError("the table has \(rows) rows; row \(row) was asked for") }
            return row
        }
    }

    private func embed(_ node: Graph.Node, _ offset: Int) throws {
        let width = width(node.inputs[1]), table = try pointer(node.inputs[1]), y = try pointer(node.results[0])
        let rows = try tableRows(node.inputs[0], offset: offset, rows: rows(node.inputs[1]))
        threads.forRows(rows.count, width: width) { part in
            for row in part { (y + row * width).update(from: table + rows[row] * width, count: width) }
        }
    }

    /// Threads share columns, so that every sum is made in the order of the rows.
    private func embeddingGradient(_ node: Graph.Node, _ payload: EmbeddingGradient) throws {
        let result = node.results[0], width = width(result), dy = try pointer(node.inputs[0]), table = try pointer(result)
        let rows = try tableRows(node.inputs[1], offset: payload.indexOffset, rows: payload.rows)
        if try beta(result, addend: node.addend) == 0 {
            threads.forElements(count(result)) { (table + $0.lowerBound).update(repeating: 0, count: $0.count) }
        }
        let share = 64
        threads.forEach((width + share - 1) / share) { part, _ in
            let column = part * share, count = min(share, width - column)
            for (position, row) in rows.enumerated() {
                let target = table + row * width + column
                kernels.add(target, dy + position * width + column, target, count)
            }
        }
    }

    private func concatenate(_ node: Graph.Node) throws {
        let y = try pointer(node.results[0]), total = width(node.results[0])
        var start = 0
        for input in node.inputs {
            let x = try pointer(input), width = width(input), y = y + start
            threads.forRows(rows(input), width: width) {
                for row in $0 { (y + row * total).update(from: x + row * width, count: width) }
            }
            start += width
        }
    }

    // MARK: Products and norms

    private func linear(_ node: Graph.Node, _ payload: Linear, adding: Bool) throws {
        let inner = width(node.inputs[0]), outer = width(node.results[0])
        let weight = Factor(
            base: try pointer(node.inputs[1]), stride: payload.isInputMajor ? outer : inner, isTransposed: !payload.isInputMajor)
        try executor.blas.multiply(
            rows: rows(node.results[0]), columns: outer, inner: inner, Factor(base: pointer(node.inputs[0]), stride: inner), weight,
            beta: adding ? 1 : 0, bias: node.inputs.count == 3 ? pointer(node.inputs[2]) : nil, into: pointer(node.results[0]), on: threads)
    }

    private func norm(
        _ node: Graph.Node, beta: UnsafeMutablePointer<Float>?, _ epsilon: Double, _ keepsSum: Bool, _ alsoQuantized: Bool
    ) throws {
        let x = try pointer(node.inputs[0]), gamma = try pointer(node.inputs[1]), y = try pointer(node.results[0])
        let residual = node.inputs.count == (beta == nil ? 3 : 4) ? try pointer(node.inputs.last!) : nil
        let sum = keepsSum ? try pointer(node.results.last!) : nil
        let width = width(node.inputs[0])
        threads.forRows(rows(node.inputs[0]), width: width) {
            let start = $0.lowerBound * width
            kernels.norm(
                x + start, residual.map { $0 + start }, sum.map { $0 + start }, gamma, beta, Float(epsilon), y + start, $0.count, width)
        }
        if alsoQuantized { try quantize(node.results[0], into: node.results[1]) }
    }

    private func normGradient(_ node: Graph.Node, _ payload: NormGradient) throws {
        let dy = try pointer(node.inputs[0]), x = try pointer(node.inputs[1]), gamma = try pointer(node.inputs[2])
        let addend = node.inputs.count == 4 ? try pointer(node.inputs[3]) : nil, dx = try pointer(node.results[0])
        let width = width(node.results[0])
        let sums = try node.results.dropFirst().map { (try pointer($0), try beta($0, addend: nil)) }
        sumOverRows(rows(node.results[0]), width: width, sums) { rows, partial in
            let start = rows.lowerBound * width
            kernels.norm_gradient(
                dy + start, x + start, gamma, addend.map { $0 + start }, Float(payload.epsilon), dx + start, partial[0]!,
                payload.kind == .layer ? partial[1] : nil, rows.count, width)
        }
    }

    /// Sums over rows in blocks of a size that follows from the width, the blocks' sums added in their order.
    func sumOverRows(
        _ rows: Int, width: Int, _ targets: [(pointer: UnsafeMutablePointer<Float>, beta: Float)],
        _ body: (Range<Int>, [UnsafeMutablePointer<Float>?]) -> Void
    ) {
        let share = max(16, 32768 / max(width, 1)), blocks = (rows + share - 1) / share
        let partial = executor.scratch(blocks * targets.count * width)
        threads.forEach(blocks) { block, _ in
            let sums = targets.indices.map { partial + (block * targets.count + $0) * width }
            for sum in sums { sum.update(repeating: 0, count: width) }
            body(block * share..<min((block + 1) * share, rows), sums)
        }
        for (index, target) in targets.enumerated() {
            if target.beta == 0 { target.pointer.update(repeating: 0, count: width) }
            kernels.add_rows(partial + index * width, targets.count * width, target.pointer, blocks, width)
        }
    }

    private func rotary(_ node: Graph.Node, _ payload: Rotary) throws {
        let positions = rows(node.inputs[1]), width = width(node.inputs[0]), half = payload.headSize / 2
        guard tokens <= positions else { throw ComputeError("\(tokens) tokens are more than the \(positions) positions of this model") }
        let x = try pointer(node.inputs[0]), y = try pointer(node.results[0])
        let cosine = try pointer(node.inputs[1]), sine = try pointer(node.inputs[2]), tokens = tokens
        threads.forRows(rows(node.inputs[0]), width: width) { part in
            var row = part.lowerBound
            while row < part.upperBound {
                let token = row % tokens, count = min(tokens - token, part.upperBound - row)
                kernels.rotary(
                    x + row * width, cosine + token * half, sine + token * half, y + row * width, count, width / payload.headSize,
                    payload.headSize, payload.layout == .half ? 1 : 0, payload.isInverse ? 1 : 0)
                row += count
            }
        }
    }

    // MARK: Pooling

    private func pool(_ node: Graph.Node, _ pool: PoolGradient.Pool) throws {
        let x = try pointer(node.inputs[0]), y = try pointer(node.results[0]), width = width(node.results[0])
        let sequences = rows(node.results[0]), tokens = shape(node.inputs[0]).dropLast().last ?? 1
        let lengths = try lengths(node.inputs.dropFirst().first, sequences: sequences)
        threads.forRows(sequences, width: width * (pool == .mean ? tokens : 1)) { part in
            for sequence in part {
                let rows = x + sequence * tokens * width, result = y + sequence * width, length = lengths?[sequence] ?? tokens
                switch pool {
                case .first: result.update(from: rows, count: width)
                case .last: result.update(from: rows + (length - 1) * width, count: width)
                case .mean:
                    result.update(repeating: 0, count: width)
                    kernels.add_rows(rows, width, result, length, width)
                    kernels.scale(result, 1 / Float(length), result, width)
                }
            }
        }
    }

    private func poolGradient(_ node: Graph.Node, _ pool: PoolGradient.Pool) throws {
        let dy = try pointer(node.inputs[0]), dx = try pointer(node.results[0]), width = width(node.results[0]), tokens = tokens
        let lengths = try lengths(node.inputs.dropFirst().first, sequences: rows(node.inputs[0]))
        threads.forRows(rows(node.inputs[0]), width: width * tokens) { part in
            for sequence in part {
                let rows = dx + sequence * tokens * width, gradient = dy + sequence * width, length = lengths?[sequence] ?? tokens
                rows.update(repeating: 0, count: tokens * width)
                switch pool {
                case .first: rows.update(from: gradient, count: width)
                case .last: (rows + (length - 1) * width).update(from: gradient, count: width)
                case .mean: for token in 0..<length { kernels.scale(gradient, 1 / Float(length), rows + token * width, width) }
                }
            }
        }
    }
}

extension Unary.Function {
    var kernel: host_function {
        switch self {
        case .relu: HOST_RELU
        case .silu: HOST_SILU
        case .tanh: HOST_TANH
        case .sigmoid: HOST_SIGMOID
        case .geluErf: HOST_GELU_ERF
        case .geluTanh: HOST_GELU_TANH
        }
    }
}
