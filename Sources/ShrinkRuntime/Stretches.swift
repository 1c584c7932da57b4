import ShrinkFormat

/// A stretch is a run of instructions that each worker takes its own tokens through: what belongs to a token stays in
/// the caches of one core, and workers wait for each other at the end only.
///
/// Tokens share no memory in the arena or the state. So the only thing to wait for is attention, which reads the keys
/// and values of all tokens: they are complete before it, and it is done before another instruction takes their place.
extension InstructionDecoder {
    /// Finds the instructions that join the stretch of the one before.
    func markStretches(_ instructions: UnsafeMutablePointer<DecodedInstruction>) {
        var first = 0
        for i in 0..<Int(plan.entry.instructionCount) {
            var joins = i > first && i - first < Self.longestStretch && isByToken(i) && isByToken(first)
            for earlier in first..<i where joins && (waits(i, for: earlier) || waits(earlier, for: i)) { joins = false }
            instructions[i].follows = joins
            if !joins { first = i }
        }
    }

    /// Pairs of its instructions are compared whenever a session is made.
    private static let longestStretch = 128

    private func record(_ index: Int) -> InstructionRecord? { program.instruction(Int(plan.entry.firstInstruction) + index) }

    /// Whether every row outside of the weights belongs to a token of the step.
    private func isByToken(_ index: Int) -> Bool {
        guard let record = record(index) else { return false }
        switch record.opcode {
        case .selectRow, .meanRows, .recurrent: return false
        case .embed, .norm, .quantize, .linear, .activate, .binary, .rotary, .attention, .l2Normalize, .concatenate: break
        }
        for p in record.operands.indices {
            if let tensor = program.tensor(Int(record.operands[p])), tensor.storage == .fixed || tensor.storage == .carry { return false }
        }
        return true
    }

    /// Whether `index` is attention over keys or values in memory that `other` uses.
    private func waits(_ index: Int, for other: Int) -> Bool {
        guard let record = record(index), record.opcode == .attention, let other = self.record(other) else { return false }
        for position in 1...2 {
            guard let shared = program.tensor(Int(record.operands[position])) else { continue }
            for p in other.operands.indices {
                guard let tensor = program.tensor(Int(other.operands[p])), tensor.storage == shared.storage else { continue }
                if tensor.offset < shared.offset + shared.rowByteCount, shared.offset < tensor.offset + tensor.rowByteCount { return true }
            }
        }
        return false
    }
}
