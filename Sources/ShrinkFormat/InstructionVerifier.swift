/// Checks one instruction within an entry point: operands, types, shapes, storage and parameters.
/// `effects` then says what it reads and writes.
struct InstructionVerifier {
    let program: ProgramView
    let entry: EntryRecord
    let index: Int
    let record: InstructionRecord
    var effects = InstructionEffects()

    init(program: ProgramView, entry: EntryRecord, index: Int, record: InstructionRecord) {
        self.program = program
        self.entry = entry
        self.index = index
        self.record = record
    }

    struct Operand {
        let index: Int
        let tensor: TensorRecord

        var width: Int { tensor.rowElements }

        /// Whether both have a row for each token, or both the same fixed number of rows.
        func hasRows(of other: Operand) -> Bool {
            tensor.storage == other.tensor.storage && tensor.rows == other.tensor.rows
                && (tensor.storage == .tokens || tensor.storage == .fixed)
        }
    }

    mutating func verify() throws(RuntimeError) {
        try verifyNothingUnused()
        switch record.opcode {
        case .embed: try verifyEmbed()
        case .norm: try verifyNorm()
        case .quantize: try verifyQuantize()
        case .linear: try verifyLinear()
        case .activate: try verifyActivate()
        case .binary: try verifyBinary()
        case .rotary: try verifyRotary()
        case .attention: try verifyAttention()
        case .selectRow: try verifySelectRow()
        case .meanRows: try verifyMeanRows()
        case .l2Normalize: try verifyL2Normalize()
        case .recurrent: try verifyRecurrent()
        case .concatenate: try verifyConcatenate()
        }
    }

    func fail(_ message: StaticString) -> RuntimeError { RuntimeError(.invalidArtifact, message, index) }

    /// Fields that the opcode has no use for are absent or zero.
    private func verifyNothingUnused() throws(RuntimeError) {
        let used = record.opcode.fieldCounts
        for i in used.operands..<8 where record.operands[i] != InstructionRecord.absent {
            throw fail("instruction: more operands than its opcode has")
        }
        for i in used.integers..<6 where record.integers[i] != 0 {
            throw fail("instruction: an unused integer is not zero")
        }
        for i in used.floats..<4 where record.floats[i].bitPattern != 0 {
            throw fail("instruction: an unused float is not zero")
        }
    }

    // MARK: Operands

    func operand(_ position: Int) throws(RuntimeError) -> Operand {
        guard let operand = try optionalOperand(position) else { throw fail("instruction: an operand is missing") }
        return operand
    }

    func optionalOperand(_ position: Int) throws(RuntimeError) -> Operand? {
        let index = record.operands[position]
        if index == InstructionRecord.absent { return nil }
        guard let tensor = program.tensor(Int(index)) else { throw fail("instruction: no such tensor") }
        switch tensor.storage {
        case .weights:
            break
        case .tokens:
            guard let end = tensor.arenaEnd, end <= entry.arenaBytesPerToken else {
                throw fail("instruction: a tensor outside the arena of its entry point")
            }
        case .fixed:
            guard let end = tensor.arenaEnd, end <= entry.arenaFixedBytes else {
                throw fail("instruction: a tensor outside the arena of its entry point")
            }
        case .state, .carry:
            guard entry.kind.isIncremental else { throw fail("instruction: state in an entry point that has none") }
        }
        return Operand(index: Int(index), tensor: tensor)
    }

    /// Float rows of activations.
    func floatRows(_ position: Int) throws(RuntimeError) -> Operand {
        try checkedFloatRows(operand(position))
    }

    func optionalFloatRows(_ position: Int) throws(RuntimeError) -> Operand? {
        guard let operand = try optionalOperand(position) else { return nil }
        return try checkedFloatRows(operand)
    }

    private func checkedFloatRows(_ operand: Operand) throws(RuntimeError) -> Operand {
        guard operand.tensor.type == .float32, operand.tensor.storage == .tokens || operand.tensor.storage == .fixed else {
            throw fail("instruction: an operand is not float activations")
        }
        return operand
    }

    /// The optional pair of outputs `float` and `quantized`, at least one of which is there, with the
    /// rows and the width of `like`.
    mutating func outputs(
        float: Int, quantized: Int, like: Operand, width: Int, mayReplaceInput: Bool
    ) throws(RuntimeError) {
        let out = try optionalFloatRows(float)
        let quantizedOut = try optionalOperand(quantized)
        guard out != nil || quantizedOut != nil else { throw fail("instruction: it has no output") }
        if let out {
            guard out.hasRows(of: like), out.width == width else { throw fail("instruction: its output has another shape") }
            effects.write(out.index, mayReplaceInput: mayReplaceInput)
        }
        if let quantizedOut {
            guard quantizedOut.tensor.type == .quantizedRow, quantizedOut.hasRows(of: like), quantizedOut.width == width
            else { throw fail("instruction: its quantized output has another shape or type") }
            effects.write(quantizedOut.index, mayReplaceInput: false)
        }
    }

    /// A constant vector: one row of `count` elements in the weights.
    func checkVector(_ operand: Operand, _ type: TensorType, count: Int) throws(RuntimeError) {
        guard operand.tensor.storage == .weights, operand.tensor.type == type, operand.tensor.rows == 1,
            operand.width == count
        else { throw fail("instruction: a vector of weights has another shape or type") }
    }

    func checkNoOperand(_ position: Int) throws(RuntimeError) {
        if record.operands[position] != InstructionRecord.absent {
            throw fail("instruction: an operand that this form does not take")
        }
    }

    /// The positions that tokens of this entry point can have.
    func positionCount() throws(RuntimeError) -> Int {
        guard entry.kind.isIncremental else { return Int(entry.maximumTokens) }
        guard let limit = program.header.positionLimit else { throw fail("instruction: positions where there is no last one") }
        return limit
    }

    // MARK: Parameters

    func flag(_ position: Int) throws(RuntimeError) -> Bool {
        switch record.integers[position] {
        case 0: return false
        case 1: return true
        default: throw fail("instruction: a flag is neither 0 nor 1")
        }
    }

    func checkEpsilon(_ position: Int) throws(RuntimeError) {
        let epsilon = record.floats[position]
        guard epsilon.isFinite, epsilon > 0 else { throw fail("instruction: epsilon is not a positive number") }
    }
}

extension Opcode {
    /// How many of the record's fields the opcode uses, from the first.
    var fieldCounts: (operands: Int, integers: Int, floats: Int) {
        switch self {
        case .embed: (3, 3, 0)
        case .norm: (7, 1, 1)
        case .quantize: (2, 0, 0)
        case .linear: (6, 0, 0)
        case .activate: (4, 1, 0)
        case .binary: (3, 1, 0)
        case .rotary: (3, 1, 0)
        case .attention: (5, 1, 1)
        case .selectRow: (2, 1, 0)
        case .meanRows: (2, 0, 0)
        case .l2Normalize: (2, 0, 1)
        case .recurrent: (8, 2, 0)
        case .concatenate: (4, 0, 0)
        }
    }
}
