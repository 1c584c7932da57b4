import ShrinkGraph

/// The table of gradients: for each operation, what its inputs get when its results have theirs.
extension Differentiator {
    mutating func addGradients(of id: NodeID) throws(GraphError) {
        let node = source[id]
        // The quantized form of a result passes its gradient straight through to the float one.
        for (position, result) in node.results.enumerated().dropFirst() where source[result].type.element == .quantized8 {
            if position == 1, let gradient = try takeGradient(result) { contribute(gradient, to: node.results[0]) }
        }
        let gradient = try takeGradient(node.results[0])
        if case .layerNorm(let norm) = node.operation { return try addNormGradient(node, id, gradient, .layer, norm.epsilon, norm.keepsSum) }
        if case .rmsNorm(let norm) = node.operation { return try addNormGradient(node, id, gradient, .rms, norm.epsilon, norm.keepsSum) }
        guard let dy = gradient else { return }
        let inputs = node.inputs

        switch node.operation {
        case .embedding(let embedding):
            let rows = source[inputs[1]].type.shape[0].fixedValue ?? 0
            try accumulate(
                .embeddingGradient(EmbeddingGradient(rows: rows, indexOffset: embedding.indexOffset)), [dy, saved(inputs[0])],
                to: inputs[1], node)
        case .linear(let linear):
            if isNeeded(inputs[1]) {
                let x = try saved(inputs[0])
                try accumulate(.outerProduct(OuterProduct()), linear.isInputMajor ? [x, dy] : [dy, x], to: inputs[1], node)
            }
            if inputs.count == 3 { try accumulate(.sumRows(SumRows()), [dy], to: inputs[2], node) }
            if isNeeded(inputs[0]) {
                let back = Operation.linear(Linear(isInputMajor: !linear.isInputMajor))
                contribute(try add(back, [dy, saved(inputs[1])], node)[0], to: inputs[0])
            }
        case .attention(let attention):
            let all = Array(inputs)
            let result = try saved(node.results[0])
            var values = [dy, result, logSumExps[id]!]
            for input in all { values.append(try saved(input)) }
            let gradients = try add(.attentionGradient(AttentionGradient(attention)), values, node)
            for (gradient, input) in zip(gradients, all) { contribute(gradient, to: input) }
        case .recurrent(let recurrent):
            let hasBias = recurrent.hasBias(inputs.map { source[$0].type })
            var values = [dy, try saved(node.results[0])] + savedStates[id]!
            for input in [inputs[1]] + inputs.dropFirst(hasBias ? 3 : 2) { values.append(try saved(input)) }
            let gradients = try add(.recurrentGradient(RecurrentGradient(recurrent, hasBias: hasBias)), values, node)
            for (gradient, input) in zip(gradients, inputs.prefix(hasBias ? 3 : 2)) { contribute(gradient, to: input) }
        case .concatenate:
            var start = 0
            for input in inputs {
                let count = source[input].type.width ?? 0
                if isNeeded(input) { contribute(try add(.columns(Columns(start: start, count: count)), [dy], node)[0], to: input) }
                start += count
            }
        case .rotary(var rotary):
            rotary.isInverse.toggle()
            contribute(try add(.rotary(rotary), [dy, saved(inputs[1]), saved(inputs[2])], node)[0], to: inputs[0])
        case .unary(let unary):
            contribute(try add(.unaryGradient(UnaryGradient(unary.function)), [dy, saved(inputs[0])], node)[0], to: inputs[0])
        case .gate(let gate):
            let gradients = try add(.gateGradient(GateGradient(gate.function)), [dy, saved(inputs[0]), saved(inputs[1])], node)
            for (gradient, input) in zip(gradients, inputs) { contribute(gradient, to: input) }
        case .binary(let binary) where binary.function == .add:
            for input in inputs { contribute(dy, to: input) }
        case .binary:
            for (input, other) in [(inputs[0], inputs[1]), (inputs[1], inputs[0])] where isNeeded(input) {
                contribute(try add(.binary(Binary(.multiply)), [dy, saved(other)], node)[0], to: input)
            }
        case .scale: contribute(try add(node.operation, [dy], node)[0], to: inputs[0])
        case .quantize: contribute(dy, to: inputs[0])
        case .selectToken(let select):
            try addPoolGradient(select.position == .first ? .first : .last, dy, node)
        case .meanTokens: try addPoolGradient(.mean, dy, node)
        case .l2Normalize(let norm):
            let operation = Operation.l2NormalizeGradient(L2NormalizeGradient(epsilon: norm.epsilon))
            contribute(try add(operation, [dy, saved(inputs[0])], node)[0], to: inputs[0])
        case .layerNorm, .rmsNorm: break
        case .columns, .loss, .lossGradient, .relationLoss, .relationLossGradient, .outerProduct, .sumRows, .embeddingGradient, .normGradient, .unaryGradient, .gateGradient,
            .attentionGradient, .recurrentGradient, .l2NormalizeGradient, .poolGradient:
            throw noGradient(node, node.operation.mnemonic)
        }
    }

    private mutating func addPoolGradient(_ pool: PoolGradient.Pool, _ dy: ValueID, _ node: Graph.Node) throws(GraphError) {
        guard source[node.inputs[0]].type.shape.dropLast().last == .tokens else { throw noGradient(node, "pooling over another dimension than tokens") }
        var inputs = [dy]
        for lengths in node.inputs.dropFirst() { inputs.append(try saved(lengths)) }
        contribute(try add(.poolGradient(PoolGradient(pool)), inputs, node)[0], to: node.inputs[0])
    }

    /// Both terms of a sum get its gradient; without a residual, the gradient takes up what x has already.
    private mutating func addNormGradient(
        _ node: Graph.Node, _ id: NodeID, _ gradient: ValueID?, _ kind: NormGradient.Kind, _ epsilon: Double, _ keepsSum: Bool
    ) throws(GraphError) {
        let parameters = node.normParameters
        let residual = node.inputs.count == 2 + parameters.count ? node.inputs.last : nil
        let x = node.inputs[0]
        var total = try keepsSum ? takeGradient(node.results.last!) : residual == nil ? takeGradient(x) : nil
        if let dy = gradient {
            let sum: ValueID
            if let kept = sums[id] { sum = kept } else { sum = try saved(x) }
            let results = try add(
                .normGradient(NormGradient(kind, epsilon: epsilon)), [dy, sum, saved(parameters[0])] + (total.map { [$0] } ?? []), node)
            for (result, parameter) in zip(results.dropFirst(), parameters) { contribute(result, to: parameter) }
            total = results[0]
        }
        guard let total else { return }
        contribute(total, to: x)
        if let residual { contribute(total, to: residual) }
    }
}
