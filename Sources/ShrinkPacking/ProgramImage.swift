import ShrinkFormat

/// A program while entry points are added, and its bytes in the end.
struct ProgramImage {
    var states = StateTable()
    private var entries: [Lowering.Result] = []

    mutating func add(_ entry: Lowering.Result) { entries.append(entry) }

    /// Tensors are numbered weights first, then state, then the arena of each entry point.
    func bytes(weights: WeightTable, vocabularySize: Int, maximumPositions: Int?, labels: [String]) throws -> [UInt8] {
        var tensors = weights.records + states.records
        let stateStart = UInt32(weights.records.count)
        var instructions: [InstructionRecord] = []
        var entryRecords: [EntryRecord] = []
        for lowered in entries {
            let entry = lowered.entry
            let arenaStart = UInt32(tensors.count)
            tensors += lowered.tensors
            let first = instructions.count
            for var instruction in lowered.instructions {
                for position in instruction.operands.indices where instruction.operands[position] != InstructionRecord.absent {
                    let operand = instruction.operands[position]
                    if operand >= Lowering.arenaBase {
                        instruction.operands[position] = operand - Lowering.arenaBase + arenaStart
                    } else if operand >= Lowering.stateBase {
                        instruction.operands[position] = operand - Lowering.stateBase + stateStart
                    }
                }
                instructions.append(instruction)
            }
            entryRecords.append(
                EntryRecord(
                    kind: entry.kind, scores: entry.scores, firstInstruction: UInt32(first), instructionCount: UInt32(lowered.instructions.count),
                    outputTensor: arenaStart + UInt32(lowered.output), maximumTokens: UInt32(entry.maximumTokens),
                    arenaBytesPerToken: UInt64(lowered.arenaBytesPerToken), arenaFixedBytes: UInt64(lowered.arenaFixedBytes)))
        }

        var strings: [UInt8] = []
        var labelRecords: [(UInt32, UInt32)] = []
        for label in labels {
            labelRecords.append((UInt32(strings.count), UInt32(label.utf8.count)))
            strings += label.utf8
        }

        var header = ProgramHeader()
        header.tensorCount = UInt32(tensors.count)
        header.instructionCount = UInt32(instructions.count)
        header.entryCount = UInt32(entryRecords.count)
        header.labelCount = UInt32(labels.count)
        header.stringByteCount = UInt32(strings.count)
        header.vocabularySize = UInt32(vocabularySize)
        header.maximumPositions = UInt32(maximumPositions ?? 0)
        header.weightByteCount = UInt64(weights.byteCount)
        header.stateBytesPerPosition = UInt64(states.bytesPerPosition)
        header.carryByteCount = UInt64(states.carryByteCount)

        let size = ProgramHeader.byteCount + tensors.count * TensorRecord.byteCount
            + instructions.count * InstructionRecord.byteCount + entryRecords.count * EntryRecord.byteCount
            + labelRecords.count * 8
        var bytes = [UInt8](repeating: 0, count: size)
        bytes.withUnsafeMutableBytes { buffer in
            var place = buffer.baseAddress!
            header.write(to: place)
            place += ProgramHeader.byteCount
            for record in tensors { record.write(to: place); place += TensorRecord.byteCount }
            for record in instructions { record.write(to: place); place += InstructionRecord.byteCount }
            for record in entryRecords { record.write(to: place); place += EntryRecord.byteCount }
            for (offset, count) in labelRecords {
                place.storeBytes(of: offset.littleEndian, as: UInt32.self)
                place.storeBytes(of: count.littleEndian, toByteOffset: 4, as: UInt32.self)
                place += 8
            }
        }
        return bytes + strings
    }
}
