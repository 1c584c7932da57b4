/// The operations that combine channels or rows.
extension InstructionVerifier {
    mutating func verifyLinear() throws(RuntimeError) {
        let x = try operand(0)
        let weight = try operand(1)
        guard x.tensor.storage == .tokens || x.tensor.storage == .fixed, weight.tensor.storage == .weights,
            x.width == weight.width
        else { throw fail("instruction: a linear layer of another width than its input") }
        let channels = Int(weight.tensor.rows)
        switch (x.tensor.type, weight.tensor.type) {
        case (.quantizedRow, .packedInt8):
            guard x.tensor.groups == 1 else { throw fail("instruction: the input of a linear layer is quantized in groups") }
            try checkVector(operand(2), .float32, count: channels)
            try checkVector(operand(3), .int32, count: channels)
        case (.float32, .packedFloat32):
            try checkNoOperand(2)
            try checkNoOperand(3)
        default:
            throw fail("instruction: a linear layer of these types does not exist")
        }
        if let bias = try optionalOperand(4) { try checkVector(bias, .float32, count: channels) }
        let out = try floatRows(5)
        guard out.hasRows(of: x), out.width == channels else { throw fail("instruction: its output has another shape") }
        effects.read(x.index)
        effects.write(out.index, mayReplaceInput: false)
    }

    mutating func verifyAttention() throws(RuntimeError) {
        let q = try operand(0)
        let k = try operand(1)
        let v = try operand(2)
        let isCausal = try flag(0)
        guard record.floats[0].isFinite else { throw fail("instruction: the scale of attention is not finite") }
        guard q.tensor.storage == .tokens, q.tensor.type == .float32 || q.tensor.type == .quantizedRow,
            k.tensor.type == q.tensor.type, v.tensor.type == q.tensor.type
        else { throw fail("instruction: attention over operands of these types does not exist") }
        guard q.tensor.columns <= ProgramVerifier.Limit.headSize, k.tensor.columns == q.tensor.columns,
            v.tensor.columns == q.tensor.columns, k.tensor.groups == v.tensor.groups,
            q.tensor.groups % k.tensor.groups == 0
        else { throw fail("instruction: heads of attention that do not fit each other") }
        // What a token sees must not depend on the step that it comes in.
        switch (k.tensor.storage, v.tensor.storage) {
        case (.state, .state):
            guard isCausal else { throw fail("instruction: attention over state is not causal") }
        case (.tokens, .tokens):
            guard !entry.kind.isIncremental else { throw fail("instruction: attention over one step only") }
        default:
            throw fail("instruction: attention over operands of this storage does not exist")
        }
        effects.read(q.index)
        effects.read(k.index)
        effects.read(v.index)
        try outputs(float: 3, quantized: 4, like: q, width: q.width, mayReplaceInput: false)
    }

    mutating func verifySelectRow() throws(RuntimeError) {
        let last = try flag(0)
        guard last || !entry.kind.isIncremental else { throw fail("instruction: the first row of a step") }
        try verifyRowsToOne()
    }

    mutating func verifyMeanRows() throws(RuntimeError) {
        guard !entry.kind.isIncremental else { throw fail("instruction: the mean of one step") }
        try verifyRowsToOne()
    }

    private mutating func verifyRowsToOne() throws(RuntimeError) {
        let x = try floatRows(0)
        let out = try floatRows(1)
        guard x.tensor.storage == .tokens, out.tensor.storage == .fixed, out.tensor.rows == 1, out.width == x.width else {
            throw fail("instruction: its operands have other shapes")
        }
        effects.read(x.index)
        effects.write(out.index, mayReplaceInput: false)
    }
}
