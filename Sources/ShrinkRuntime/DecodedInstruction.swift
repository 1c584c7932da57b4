import CShrinkKernels
import ShrinkFormat

/// An operand with its address in this session.
struct Operand {
    var base: UnsafeMutableRawPointer?
    /// Bytes from one row to the next; for packed weights without meaning.
    var rowByteCount = 0
    /// Fixed number of rows; 0: as many as the step has tokens.
    var rows: UInt32 = 0
    var groups: UInt32 = 0
    var columns: UInt32 = 0
    var isQuantized = false
    var isState = false
    var isCarry = false
    /// Positions of the state.
    var capacity = 0

    var isPresent: Bool { base != nil }
    var width: Int { Int(groups) &* Int(columns) }

    /// The address of a present operand; the verifier has seen that it is there.
    var address: UnsafeMutableRawPointer { base.unsafelyUnwrapped }

    func row(_ index: Int) -> UnsafeMutableRawPointer { address + index &* rowByteCount }
    func floats(_ row: Int) -> UnsafeMutablePointer<Float> { self.row(row).assumingMemoryBound(to: Float.self) }

    /// Bytes of one group (head) of a row.
    var groupByteCount: Int { isQuantized ? shrink_qrow_bytes(Int(columns)) : Int(columns) &* 4 }

    // MARK: Panels

    /// Quantized rows of the state lie as attention reads them: each group on its own, in panels of 32 positions. It takes
    /// the bytes of the rows.
    var isInPanels: Bool { isState && isQuantized }
    static let panelRows = Int(SHRINK_PANEL_ROWS)
    /// Bytes from one panel of a group to the next.
    var panelByteCount: Int { groupByteCount &* Self.panelRows }
    /// Bytes from one group to the next.
    var groupStride: Int { isInPanels ? groupByteCount &* capacity : groupByteCount }

    private func panel(_ group: Int, position: Int) -> UnsafeMutablePointer<UInt8> {
        let panel = address + group &* groupStride + position / Self.panelRows &* panelByteCount
        return panel.assumingMemoryBound(to: UInt8.self)
    }

    /// Puts the rows of all groups, side by side, at a position.
    func storeInPanels(_ rows: UnsafeRawPointer, position: Int) {
        let rows = rows.assumingMemoryBound(to: UInt8.self)
        for group in 0..<Int(groups) {
            shrink_panel_store(
                panel(group, position: position), UInt32(truncatingIfNeeded: position % Self.panelRows),
                rows + group &* groupByteCount, Int(columns))
        }
    }

    /// Takes them from there.
    func loadFromPanels(position: Int, to rows: UnsafeMutableRawPointer) {
        let rows = rows.assumingMemoryBound(to: UInt8.self)
        for group in 0..<Int(groups) {
            shrink_panel_load(
                panel(group, position: position), UInt32(truncatingIfNeeded: position % Self.panelRows),
                rows + group &* groupByteCount, Int(columns))
        }
    }
}

/// An instruction as the executor wants it: verified, with addresses.
struct DecodedInstruction {
    var opcode: Opcode
    var operands: InlineArray<8, Operand>
    var integers: InlineArray<3, Int32>
    var float: Float
    /// Whether a worker may go on to it from the instruction before with the tokens it has, without waiting for others.
    var follows = false
    /// Of linear layers and attention: the weights that are read after it.
    var next = NextWeights()

    subscript(_ position: Int) -> Operand { operands[position] }
}

/// Turns records into decoded instructions for one session's memory.
struct InstructionDecoder {
    let program: ProgramView
    let weights: UnsafeRawBufferPointer
    let memory: UnsafeMutableRawPointer
    let plan: SessionPlan

    /// Reads the entry point's instructions into memory for as many. Throws only when the program
    /// changed after it was verified.
    func decode(into instructions: UnsafeMutablePointer<DecodedInstruction>) throws(RuntimeError) {
        for i in 0..<Int(plan.entry.instructionCount) {
            let index = Int(plan.entry.firstInstruction) + i
            guard let record = program.instruction(index) else {
                throw RuntimeError(.invalidArtifact, "instruction: malformed record", index)
            }
            var decoded = DecodedInstruction(
                opcode: record.opcode, operands: InlineArray(repeating: Operand()), integers: InlineArray(repeating: 0),
                float: record.floats[0])
            for p in decoded.operands.indices where record.operands[p] != InstructionRecord.absent {
                decoded.operands[p] = try operand(Int(record.operands[p]))
            }
            for p in decoded.integers.indices { decoded.integers[p] = record.integers[p] }
            (instructions + i).initialize(to: decoded)
        }
        markStretches(instructions)
        findNextWeights(instructions)
    }

    func operand(_ index: Int) throws(RuntimeError) -> Operand {
        guard let tensor = program.tensor(index) else {
            throw RuntimeError(.invalidArtifact, "tensor: malformed record", index)
        }
        var operand = Operand()
        operand.rows = tensor.rows
        operand.groups = tensor.groups
        operand.columns = tensor.columns
        operand.isQuantized = tensor.type == .quantizedRow
        operand.isState = tensor.storage == .state
        operand.isCarry = tensor.storage == .carry
        operand.rowByteCount = Int(tensor.rowByteCount)
        let offset = Int(tensor.offset)
        switch tensor.storage {
        case .weights:
            operand.base = UnsafeMutableRawPointer(mutating: weights.baseAddress).map { $0 + offset }
            operand.rowByteCount = Int(tensor.columns) * 4
        case .tokens:
            operand.base = memory + plan.tokenOffset + offset
            operand.rowByteCount = plan.tokenByteCount
        case .fixed: operand.base = memory + plan.fixedOffset + offset
        case .state:
            operand.base = memory + plan.stateOffset + offset * plan.contextCapacity
            operand.capacity = plan.contextCapacity
        case .carry: operand.base = memory + plan.carryOffset + offset
        }
        return operand
    }

    /// How many ids of segments all of the entry point's tables have rows for; nil when it uses none.
    func segmentCount() -> Int? {
        var smallest: Int?
        for i in 0..<Int(plan.entry.instructionCount) {
            guard let record = program.instruction(Int(plan.entry.firstInstruction) + i), record.opcode == .embed,
                record.integers[0] == EmbedIndex.segments.rawValue, let table = program.tensor(Int(record.operands[1]))
            else { continue }
            smallest = min(smallest ?? .max, Int(table.rows) - Int(record.integers[2]))
        }
        return smallest
    }

    /// How many positions a token attends to while it takes as long as for all linear layers; infinity where there is no
    /// causal attention. A product of attention, with all that belongs to it, takes some 2.5 times as long as one of a
    /// linear layer.
    func positionsPerToken() -> Double {
        var linear = 0.0
        var attention = 0.0
        for i in 0..<Int(plan.entry.instructionCount) {
            guard let record = program.instruction(Int(plan.entry.firstInstruction) + i) else { continue }
            if record.opcode == .linear, let x = program.tensor(Int(record.operands[0])), x.storage == .tokens,
                let weight = program.tensor(Int(record.operands[1]))
            {
                linear += Double(weight.rows) * Double(weight.columns)
            } else if record.opcode == .attention, record.integers[0] == 1, let q = program.tensor(Int(record.operands[0])) {
                attention += 2 * Double(q.rowElements)
            }
        }
        return attention > 0 ? linear / (2.5 * attention) : .infinity
    }
}
