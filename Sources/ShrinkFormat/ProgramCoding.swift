/// Reads and writes little-endian fields at increasing offsets. The caller has checked the room.
struct RecordCursor {
    let base: UnsafeMutableRawPointer
    var offset = 0

    mutating func write<T: FixedWidthInteger>(_ value: T) {
        base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self)
        offset += MemoryLayout<T>.size
    }

    mutating func fill(to end: Int) {
        while offset < end { write(UInt8(0)) }
    }
}

struct RecordReader {
    let base: UnsafeRawPointer
    var offset = 0

    mutating func read<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type = T.self) -> T {
        defer { offset += MemoryLayout<T>.size }
        return T(littleEndian: base.loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// Whether everything up to `end` is zero, as reserved bytes must be.
    mutating func isZero(to end: Int) -> Bool {
        while offset < end { if read(UInt8.self) != 0 { return false } }
        return true
    }
}

extension ProgramHeader {
    /// Writes `byteCount` bytes.
    public func write(to base: UnsafeMutableRawPointer) {
        var cursor = RecordCursor(base: base)
        cursor.write(Program.magic)
        cursor.write(majorVersion)
        cursor.write(minorVersion)
        cursor.write(UInt32(Program.channelBlock))
        cursor.write(tensorCount)
        cursor.write(instructionCount)
        cursor.write(entryCount)
        cursor.write(labelCount)
        cursor.write(stringByteCount)
        cursor.write(vocabularySize)
        cursor.write(maximumPositions)
        cursor.write(UInt32(0))
        cursor.write(weightByteCount)
        cursor.write(stateBytesPerPosition)
        cursor.write(carryByteCount)
        cursor.fill(to: Self.byteCount)
    }

    /// Reads `byteCount` bytes; nil when they are not a program header of this layout. The version
    /// is for the caller to judge.
    public init?(reading base: UnsafeRawPointer) {
        var reader = RecordReader(base: base)
        guard reader.read(UInt64.self) == Program.magic else { return nil }
        majorVersion = reader.read()
        minorVersion = reader.read()
        guard reader.read(UInt32.self) == UInt32(Program.channelBlock) else { return nil }
        tensorCount = reader.read()
        instructionCount = reader.read()
        entryCount = reader.read()
        labelCount = reader.read()
        stringByteCount = reader.read()
        vocabularySize = reader.read()
        maximumPositions = reader.read()
        guard reader.read(UInt32.self) == 0 else { return nil }
        weightByteCount = reader.read()
        stateBytesPerPosition = reader.read()
        carryByteCount = reader.read()
        guard reader.isZero(to: Self.byteCount) else { return nil }
    }
}

extension TensorRecord {
    public func write(to base: UnsafeMutableRawPointer) {
        var cursor = RecordCursor(base: base)
        cursor.write(type.rawValue)
        cursor.write(storage.rawValue)
        cursor.write(UInt16(0))
        cursor.write(rows)
        cursor.write(groups)
        cursor.write(columns)
        cursor.write(offset)
        cursor.fill(to: Self.byteCount)
    }

    /// Nil for an unknown type or storage, or for reserved bytes that are not zero.
    public init?(reading base: UnsafeRawPointer) {
        var reader = RecordReader(base: base)
        guard let type = TensorType(rawValue: reader.read()), let storage = TensorStorage(rawValue: reader.read()),
            reader.read(UInt16.self) == 0
        else { return nil }
        self.init(
            type: type, storage: storage, rows: reader.read(), groups: reader.read(), columns: reader.read(),
            offset: reader.read())
        guard reader.isZero(to: Self.byteCount) else { return nil }
    }
}

extension InstructionRecord {
    public func write(to base: UnsafeMutableRawPointer) {
        var cursor = RecordCursor(base: base)
        cursor.write(opcode.rawValue)
        cursor.write(UInt16(0))
        for i in operands.indices { cursor.write(operands[i]) }
        for i in integers.indices { cursor.write(integers[i]) }
        for i in floats.indices { cursor.write(floats[i].bitPattern) }
        cursor.fill(to: Self.byteCount)
    }

    /// Nil for an unknown opcode, or for reserved bytes that are not zero.
    public init?(reading base: UnsafeRawPointer) {
        var reader = RecordReader(base: base)
        guard let opcode = Opcode(rawValue: reader.read()), reader.read(UInt16.self) == 0 else { return nil }
        self.init(opcode)
        for i in operands.indices { operands[i] = reader.read() }
        for i in integers.indices { integers[i] = reader.read() }
        for i in floats.indices { floats[i] = Float(bitPattern: reader.read()) }
        guard reader.isZero(to: Self.byteCount) else { return nil }
    }
}

extension EntryRecord {
    public func write(to base: UnsafeMutableRawPointer) {
        var cursor = RecordCursor(base: base)
        cursor.write(kind.rawValue)
        cursor.write(scores.rawValue)
        cursor.write(firstInstruction)
        cursor.write(instructionCount)
        cursor.write(outputTensor)
        cursor.write(maximumTokens)
        cursor.write(UInt32(0))
        cursor.write(arenaBytesPerToken)
        cursor.write(arenaFixedBytes)
        cursor.fill(to: Self.byteCount)
    }

    /// Nil for an unknown kind or kind of scores, or for reserved bytes that are not zero.
    public init?(reading base: UnsafeRawPointer) {
        var reader = RecordReader(base: base)
        guard let kind = Kind(rawValue: reader.read()), let scores = Scores(rawValue: reader.read()) else { return nil }
        let first: UInt32 = reader.read()
        let count: UInt32 = reader.read()
        let output: UInt32 = reader.read()
        let tokens: UInt32 = reader.read()
        guard reader.read(UInt32.self) == 0 else { return nil }
        self.init(
            kind: kind, scores: scores, firstInstruction: first, instructionCount: count, outputTensor: output, maximumTokens: tokens,
            arenaBytesPerToken: reader.read(), arenaFixedBytes: reader.read())
        guard reader.isZero(to: Self.byteCount) else { return nil }
    }
}
