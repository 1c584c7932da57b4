import ShrinkFormat

/// Puts a program and its weights together, record by record, without reusing any memory.
public struct ProgramAssembler: Sendable {
    public var header = ProgramHeader()
    public var tensors: [TensorRecord] = []
    public var instructions: [InstructionRecord] = []
    public var entries: [EntryRecord] = []
    public var labels: [String] = []
    public var weights: [UInt8] = []
    private var firstInstruction = 0
    private var tokenBytes: UInt64 = 0
    private var fixedBytes: UInt64 = 0

    public init(vocabularySize: Int, maximumPositions: Int) {
        header.vocabularySize = UInt32(vocabularySize)
        header.maximumPositions = UInt32(maximumPositions)
    }

    // MARK: Weights

    private mutating func weight(_ type: TensorType, rows: Int, columns: Int, _ bytes: [UInt8]) -> Int {
        while weights.count % 64 != 0 { weights.append(0) }
        tensors.append(
            TensorRecord(
                type: type, storage: .weights, rows: UInt32(rows), columns: UInt32(columns), offset: UInt64(weights.count)))
        weights += bytes
        return tensors.count - 1
    }

    public mutating func floats(_ values: [Float], rows: Int = 1) -> Int {
        weight(.float32, rows: rows, columns: values.count / rows, values.flatMap { bytes(of: $0.bitPattern) })
    }

    public mutating func integers(_ values: [Int32]) -> Int {
        weight(.int32, rows: 1, columns: values.count, values.flatMap { bytes(of: UInt32(bitPattern: $0)) })
    }

    /// Row-major `rows` × `columns` floats to blocks of [k][channel % 32].
    public mutating func packedFloats(_ values: [Float], rows: Int, columns: Int) -> Int {
        var packed: [UInt8] = []
        for block in 0..<((rows + 31) / 32) {
            for k in 0..<columns {
                for lane in 0..<32 {
                    let channel = block * 32 + lane
                    packed += bytes(of: (channel < rows ? values[channel * columns + k] : 0).bitPattern)
                }
            }
        }
        return weight(.packedFloat32, rows: rows, columns: columns, packed)
    }

    /// Row-major `rows` × `columns` codes to blocks of [k/4][channel % 32][k % 4].
    public mutating func packedCodes(_ codes: [Int8], rows: Int, columns: Int) -> Int {
        var packed: [UInt8] = []
        for block in 0..<((rows + 31) / 32) {
            for quad in 0..<((columns + 3) / 4) {
                for lane in 0..<32 {
                    for k in (quad * 4)..<(quad * 4 + 4) {
                        let channel = block * 32 + lane
                        packed.append(channel < rows && k < columns ? UInt8(bitPattern: codes[channel * columns + k]) : 0)
                    }
                }
            }
        }
        return weight(.packedInt8, rows: rows, columns: columns, packed)
    }

    private func bytes(of value: UInt32) -> [UInt8] {
        (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
    }

    // MARK: Activations and state

    public mutating func tokens(_ type: TensorType, groups: Int = 1, columns: Int) -> Int {
        var tensor = TensorRecord(
            type: type, storage: .tokens, rows: 0, groups: UInt32(groups), columns: UInt32(columns), offset: tokenBytes)
        tokenBytes += tensor.rowByteCount
        tensor.rows = 0
        tensors.append(tensor)
        return tensors.count - 1
    }

    public mutating func fixed(_ type: TensorType, rows: Int = 1, columns: Int) -> Int {
        let tensor = TensorRecord(type: type, storage: .fixed, rows: UInt32(rows), columns: UInt32(columns), offset: fixedBytes)
        fixedBytes += tensor.rowByteCount * UInt64(rows)
        tensors.append(tensor)
        return tensors.count - 1
    }

    public mutating func state(_ type: TensorType, groups: Int, columns: Int) -> Int {
        let tensor = TensorRecord(
            type: type, storage: .state, rows: 0, groups: UInt32(groups), columns: UInt32(columns),
            offset: header.stateBytesPerPosition)
        header.stateBytesPerPosition += tensor.rowByteCount
        tensors.append(tensor)
        return tensors.count - 1
    }

    public mutating func carry(rows: Int, columns: Int) -> Int {
        let tensor = TensorRecord(
            type: .float32, storage: .carry, rows: UInt32(rows), columns: UInt32(columns), offset: header.carryByteCount)
        header.carryByteCount += tensor.rowByteCount * UInt64(rows)
        tensors.append(tensor)
        return tensors.count - 1
    }

    // MARK: Instructions

    public mutating func emit(_ opcode: Opcode, _ operands: [Int?], integers: [Int32] = [], floats: [Float] = []) {
        var record = InstructionRecord(opcode)
        for (i, operand) in operands.enumerated() { if let operand { record.operands[i] = UInt32(operand) } }
        for (i, value) in integers.enumerated() { record.integers[i] = value }
        for (i, value) in floats.enumerated() { record.floats[i] = value }
        instructions.append(record)
    }

    /// Ends an entry point that began where the last one ended.
    public mutating func endEntry(_ kind: EntryRecord.Kind, output: Int, maximumTokens: Int) {
        entries.append(
            EntryRecord(
                kind: kind, firstInstruction: UInt32(firstInstruction),
                instructionCount: UInt32(instructions.count - firstInstruction), outputTensor: UInt32(output),
                maximumTokens: UInt32(maximumTokens), arenaBytesPerToken: tokenBytes, arenaFixedBytes: fixedBytes))
        firstInstruction = instructions.count
        tokenBytes = 0
        fixedBytes = 0
    }

    // MARK: Bytes

    public func encoded() -> [UInt8] {
        let strings = labels.map { Array($0.utf8) }
        var header = header
        header.tensorCount = UInt32(tensors.count)
        header.instructionCount = UInt32(instructions.count)
        header.entryCount = UInt32(entries.count)
        header.labelCount = UInt32(labels.count)
        header.stringByteCount = UInt32(strings.reduce(0) { $0 + $1.count })
        header.weightByteCount = UInt64(weights.count)
        var bytes: [UInt8] = []
        func append(_ count: Int, _ write: (UnsafeMutableRawPointer) -> Void) {
            bytes += [UInt8](unsafeUninitializedCapacity: count) { buffer, written in
                write(UnsafeMutableRawPointer(buffer.baseAddress!))
                written = count
            }
        }
        append(ProgramHeader.byteCount) { header.write(to: $0) }
        for tensor in tensors { append(TensorRecord.byteCount) { tensor.write(to: $0) } }
        for instruction in instructions { append(InstructionRecord.byteCount) { instruction.write(to: $0) } }
        for entry in entries { append(EntryRecord.byteCount) { entry.write(to: $0) } }
        var offset = 0
        for string in strings {
            bytes += self.bytes(of: UInt32(offset)) + self.bytes(of: UInt32(string.count))
            offset += string.count
        }
        return bytes + strings.flatMap { $0 }
    }
}
