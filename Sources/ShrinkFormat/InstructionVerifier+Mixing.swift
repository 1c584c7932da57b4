/// The operations that combine channels or rows.
extension InstructionVerifier {
    mutating func verifyLinear() throws(RuntimeError) {
        let x = try operand(0)
        let weight = try operand(1)
        guard x.tensor.storage == .tokens || x.tensor.storage == .fixed, weight.tensor.storage == .weights,
            x.width == weight.width
        else { throw fail("instruction: a linear layer of another width than its input") }
        let channels = Int(weight.tensor.rows)
        try checkWeight(weight)
        guard x.tensor.type == (weight.tensor.type == .packedInt8 ? .quantizedRow : .float32) else {
            throw fail("instruction: a linear layer over rows of this type does not exist")
        }
        guard x.tensor.type == .float32 || x.tensor.groups == 1 else {
            throw fail("instruction: the input of a linear layer is quantized in groups")
        }
        let out = try floatRows(5)
        guard out.hasRows(of: x), out.width == channels else { throw fail("instruction: its output has another shape") }
        effects.read(x.index)
        effects.write(out.index, mayReplaceInput: false)
    }

    /// A packed weight in operand 1 with what belongs to it in operands 2 to 4: scales and sums of int8, perhaps a bias.
    private func checkWeight(_ weight: Operand) throws(RuntimeError) {
        let channels = Int(weight.tensor.rows)
        switch weight.tensor.type {
        case .packedInt8:
            try checkVector(operand(2), .float32, count: channels)
            try checkVector(operand(3), .int32, count: channels)
        case .packedFloat32:
            try checkNoOperand(2)
            try checkNoOperand(3)
        case .float32, .int32, .quantizedRow:
            throw fail("instruction: its weight is not packed")
        }
        if let bias = try optionalOperand(4) { try checkVector(bias, .float32, count: channels) }
    }

    mutating func verifyRecurrent() throws(RuntimeError) {
        guard let cell = RecurrentCell(rawValue: record.integers[0]) else { throw fail("instruction: unknown kind of recurrent cell") }
        let x = try floatRows(0)
        let weight = try operand(1)
        let width = weight.width
        guard x.tensor.storage == .tokens, weight.tensor.storage == .weights, x.width == Int(weight.tensor.rows),
            x.width == width &* cell.gateCount
        else { throw fail("instruction: a recurrent layer whose gates have other widths") }
        try checkWeight(weight)
        // What a token finds must not depend on the step that it comes in.
        let isReversed = try flag(1)
        guard !(isReversed && entry.kind.isIncremental) else { throw fail("instruction: a reversed layer over one step only") }
        let carry = try operand(5)
        guard carry.tensor.storage == (entry.kind.isIncremental ? .carry : .fixed), carry.tensor.type == .float32,
            Int(carry.tensor.rows) == cell.carriedRowCount, carry.width == width
        else { throw fail("instruction: what a recurrent layer carries has another shape, type or place") }
        effects.read(x.index)
        effects.write(carry.index, mayReplaceInput: false)
        try outputs(float: 6, quantized: 7, like: x, width: width, mayReplaceInput: false)
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
