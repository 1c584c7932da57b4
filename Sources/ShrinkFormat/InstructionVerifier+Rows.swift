/// The operations that treat every row on its own.
extension InstructionVerifier {
    mutating func verifyEmbed() throws(RuntimeError) {
        let out = try floatRows(0)
        let table = try operand(1)
        guard let index = EmbedIndex(rawValue: record.integers[0]) else { throw fail("instruction: unknown index of an embedding") }
        let accumulates = try flag(1)
        guard let first = Int(exactly: record.integers[2]), first >= 0 else {
            throw fail("instruction: the first row of an embedding is negative")
        }
        guard out.tensor.storage == .tokens, table.tensor.storage == .weights, table.width == out.width else {
            throw fail("instruction: an embedding has another shape than its table")
        }
        let rows = Int(table.tensor.rows)
        switch table.tensor.type {
        case .packedInt8: try checkVector(operand(2), .float32, count: rows)
        case .packedFloat32: try checkNoOperand(2)
        default: throw fail("instruction: the table of an embedding is not packed")
        }
        let needed: Int
        switch index {
        case .tokens: needed = Int(program.header.vocabularySize)
        case .positions: needed = try positionCount()
        case .segments: needed = 1
        }
        guard first + needed <= rows else { throw fail("instruction: the table of an embedding has too few rows") }
        if accumulates { effects.read(out.index) }
        effects.write(out.index, mayReplaceInput: accumulates)
    }

    mutating func verifyNorm() throws(RuntimeError) {
        let x = try floatRows(0)
        effects.read(x.index)
        if let residual = try optionalFloatRows(1) {
            guard residual.hasRows(of: x), residual.width == x.width else { throw fail("instruction: a residual of another shape") }
            effects.read(residual.index)
        }
        if let sum = try optionalFloatRows(2) {
            guard sum.hasRows(of: x), sum.width == x.width else { throw fail("instruction: a sum of another shape") }
            effects.write(sum.index, mayReplaceInput: true)
        }
        try checkVector(operand(3), .float32, count: x.width)
        switch NormKind(rawValue: record.integers[0]) {
        case .layer: try checkVector(operand(4), .float32, count: x.width)
        case .rms: try checkNoOperand(4)
        case nil: throw fail("instruction: unknown kind of norm")
        }
        try checkEpsilon(0)
        try outputs(float: 5, quantized: 6, like: x, width: x.width, mayReplaceInput: true)
    }

    mutating func verifyQuantize() throws(RuntimeError) {
        let x = try floatRows(0)
        let out = try operand(1)
        guard out.width == x.width else { throw fail("instruction: its output has another width") }
        switch out.tensor.storage {
        case .state:
            guard x.tensor.storage == .tokens else { throw fail("instruction: state is written by rows of tokens only") }
        case .tokens, .fixed:
            guard out.hasRows(of: x) else { throw fail("instruction: its output has other rows") }
        case .weights, .carry:
            throw fail("instruction: it writes to the weights or the carry")
        }
        effects.read(x.index)
        effects.write(out.index, mayReplaceInput: false)
    }

    mutating func verifyActivate() throws(RuntimeError) {
        let a = try floatRows(0)
        effects.read(a.index)
        guard let kind = ActivationKind(rawValue: record.integers[0]) else { throw fail("instruction: unknown kind of activation") }
        if kind == .siluMultiply {
            let b = try floatRows(1)
            guard b.hasRows(of: a), b.width == a.width else { throw fail("instruction: a factor of another shape") }
            effects.read(b.index)
        } else {
            try checkNoOperand(1)
        }
        try outputs(float: 2, quantized: 3, like: a, width: a.width, mayReplaceInput: true)
    }

    mutating func verifyConcatenate() throws(RuntimeError) {
        let a = try floatRows(0)
        let b = try floatRows(1)
        guard b.hasRows(of: a) else { throw fail("instruction: operands of different shapes") }
        effects.read(a.index)
        effects.read(b.index)
        try outputs(float: 2, quantized: 3, like: a, width: a.width &+ b.width, mayReplaceInput: false)
    }

    mutating func verifyBinary() throws(RuntimeError) {
        let a = try floatRows(0)
        let b = try floatRows(1)
        let out = try floatRows(2)
        guard BinaryKind(rawValue: record.integers[0]) != nil else { throw fail("instruction: unknown kind of binary operation") }
        guard b.hasRows(of: a), b.width == a.width, out.hasRows(of: a), out.width == a.width else {
            throw fail("instruction: operands of different shapes")
        }
        effects.read(a.index)
        effects.read(b.index)
        effects.write(out.index, mayReplaceInput: true)
    }

    mutating func verifyRotary() throws(RuntimeError) {
        let x = try floatRows(0)
        guard RotaryKind(rawValue: record.integers[0]) != nil else { throw fail("instruction: unknown kind of rotation") }
        let headSize = Int(x.tensor.columns)
        guard x.tensor.storage == .tokens, headSize % 2 == 0 else { throw fail("instruction: a rotation of heads of odd size") }
        let positions = try positionCount()
        for position in 1...2 {
            let table = try operand(position)
            guard table.tensor.storage == .weights, table.tensor.type == .float32, table.width == headSize / 2,
                Int(table.tensor.rows) >= positions
            else { throw fail("instruction: a table of angles has another shape or type") }
        }
        effects.read(x.index)
        effects.write(x.index, mayReplaceInput: true)
    }

    mutating func verifyL2Normalize() throws(RuntimeError) {
        let x = try floatRows(0)
        let out = try floatRows(1)
        guard out.hasRows(of: x), out.width == x.width else { throw fail("instruction: its output has another shape") }
        try checkEpsilon(0)
        effects.read(x.index)
        effects.write(out.index, mayReplaceInput: true)
    }
}
