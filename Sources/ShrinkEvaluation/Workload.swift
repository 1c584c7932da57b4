import ShrinkFormat

/// What one run of an entry point must at least do, to hold against what a machine can do at most.
public struct Workload: Equatable, Sendable {
    /// Operations on int8 codes, two for each product: linear layers and attention. What is computed in
    /// floating point does not count, so a float model has none.
    public var int8Operations = 0.0
    /// Bytes read from memory when no cache holds anything from before: every weight once, the rows of
    /// embeddings that are looked up, and the state of all positions that are attended to.
    public var byteCount = 0.0

    /// Of `tokens` tokens that follow `position` others, in a verified program.
    public init(_ program: ProgramView, _ entry: EntryRecord, tokens: Int, position: Int = 0) {
        var seen: Set<UInt32> = []
        for index in 0..<Int(entry.instructionCount) {
            guard let instruction = program.instruction(Int(entry.firstInstruction) + index) else { continue }
            let operands = instruction.operands.indices.map { program.tensor(Int(instruction.operands[$0])) }
            switch instruction.opcode {
            case .embed:
                guard let table = operands[1] else { continue }
                byteCount += Double(tokens) * Double(table.columns) * (table.type == .packedInt8 ? 1 : 4)
                continue
            case .linear:
                guard let x = operands[0], let weight = operands[1] else { continue }
                if weight.type == .packedInt8 {
                    let rows = x.storage == .tokens ? Double(tokens) : Double(x.rows)
                    int8Operations += 2 * rows * Double(weight.rows) * Double(weight.columns)
                }
            case .attention:
                guard let q = operands[0], let k = operands[1], let v = operands[2] else { continue }
                let before = k.storage == .state ? Double(position) : 0
                let count = Double(tokens)
                let isCausal = instruction.integers[0] != 0
                // Row t attends to the positions before the step and to itself: t + 1 of the step when causal.
                let pairs = count * before + (isCausal ? count * (count + 1) / 2 : count * count)
                if q.type == .quantizedRow { int8Operations += 4 * pairs * Double(q.groups) * Double(q.columns) }
                for cache in [k, v] where cache.storage == .state {
                    byteCount += (before + count) * Double(cache.rowByteCount)
                }
            case .recurrent:
                // The gates' products with h, token after token.
                guard let weight = operands[1], weight.type == .packedInt8 else { break }
                int8Operations += 2 * Double(tokens) * Double(weight.rows) * Double(weight.columns)
            case .rotary: continue  // its angles are looked up by position and weigh nothing
            case .norm, .quantize, .activate, .binary, .selectRow, .meanRows, .l2Normalize, .concatenate: break
            }
            for (operand, record) in zip(instruction.operands.indices, operands) {
                guard let record, record.storage == .weights, seen.insert(instruction.operands[operand]).inserted else { continue }
                byteCount += Double(record.weightByteCount ?? 0)
            }
        }
    }
}
