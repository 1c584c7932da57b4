import ShrinkFormat

/// Edits the records of a program: numbers, kinds, references, whole records; several at a time. What follows from an
/// edit is often put right, as most edits of one number alone are refused.
struct ProgramEditor {
    private let base: UnsafeMutableRawPointer
    private let capacity: Int
    private var header: ProgramHeader
    private var random: FuzzRandom

    /// Edits a program in place within `capacity` and returns its new size; nil when it is no program.
    static func edit(_ data: UnsafeMutablePointer<UInt8>, _ count: Int, _ capacity: Int, _ random: inout FuzzRandom) -> Int? {
        guard let view = try? ProgramView(UnsafeRawBufferPointer(start: data, count: count)), view.header.tensorCount > 0,
            view.header.instructionCount > 0, view.header.entryCount > 0
        else { return nil }
        var editor = ProgramEditor(base: UnsafeMutableRawPointer(data), capacity: capacity, header: view.header, random: random)
        var edits = 1
        while edits < 6, editor.random.oneIn(3) { edits += 1 }
        for _ in 0..<edits { editor.editOnce() }
        if !editor.random.oneIn(8) { editor.fitSizes() }
        editor.header.write(to: editor.base)
        random = editor.random
        return editor.byteCount
    }

    // MARK: Layout

    private var instructionStart: Int { ProgramHeader.byteCount + Int(header.tensorCount) * TensorRecord.byteCount }
    private var entryStart: Int { instructionStart + Int(header.instructionCount) * InstructionRecord.byteCount }
    private var byteCount: Int {
        entryStart + Int(header.entryCount) * EntryRecord.byteCount + Int(header.labelCount) * 8 + Int(header.stringByteCount)
    }

    private func address(tensor index: Int) -> UnsafeMutableRawPointer {
        base + ProgramHeader.byteCount + index * TensorRecord.byteCount
    }

    private func address(instruction index: Int) -> UnsafeMutableRawPointer {
        base + instructionStart + index * InstructionRecord.byteCount
    }

    private func address(entry index: Int) -> UnsafeMutableRawPointer { base + entryStart + index * EntryRecord.byteCount }

    /// Opens a gap of one record; false when the buffer is full.
    private func insertGap(at offset: Int, _ gap: Int) -> Bool {
        guard byteCount + gap <= capacity else { return false }
        (base + offset + gap).copyMemory(from: base + offset, byteCount: byteCount - offset)
        return true
    }

    // MARK: Edits

    private mutating func editOnce() {
        switch random.below(20) {
        case 0...2: editTensor()
        case 3...6: resizeAlike()
        case 7...9: editInstruction()
        case 10...12: editParameters()
        case 13: exchangeOperand()
        case 14: swapInstructions()
        case 15: insertInstruction()
        case 16: removeInstruction()
        case 17: insertTensor()
        case 18: editEntry()
        default: editHeader()
        }
    }

    private mutating func editTensor() {
        let place = address(tensor: random.below(Int(header.tensorCount)))
        let other = address(tensor: random.below(Int(header.tensorCount)))
        guard var tensor = TensorRecord(reading: place), let model = TensorRecord(reading: other) else { return }
        switch random.below(14) {
        case 0: tensor.type = TensorType(rawValue: UInt8(random.below(5))) ?? .float32
        case 1: tensor.storage = TensorStorage(rawValue: UInt8(random.below(5))) ?? .tokens
        case 2: tensor.rows = nudged(tensor.rows)
        case 3: tensor.groups = nudged(tensor.groups)
        case 4: tensor.columns = nudged(tensor.columns)
        case 5: (tensor.groups, tensor.columns) = (tensor.columns, tensor.groups)
        case 6: (tensor.groups, tensor.columns) = (1, tensor.groups &* tensor.columns)
        case 7: tensor.offset = model.offset
        case 8: tensor.offset = model.offset &+ (model.storage == .weights ? model.weightByteCount ?? 0 : model.rowByteCount)
        case 9: tensor.offset = UInt64(nudged(UInt32(truncatingIfNeeded: tensor.offset / 16))) * 16
        case 10: (tensor.rows, tensor.groups, tensor.columns) = (model.rows, model.groups, model.columns)
        case 11: tensor = model
        case 12: tensor.offset = freeOffset(tensor.storage)
        default: tensor.offset = tensor.offset &+ UInt64(random.below(5)) &* 16 &- 32
        }
        tensor.write(to: place)
    }

    /// Gives all tensors with one number of columns, heads or rows another one, as another width of the model would.
    private mutating func resizeAlike() {
        guard let model = TensorRecord(reading: address(tensor: random.below(Int(header.tensorCount)))) else { return }
        let isHeads = model.groups > 1 && random.oneIn(2)
        let size = isHeads ? model.groups : model.storage == .weights && random.oneIn(2) ? model.rows : model.columns
        let resized = random.oneIn(4) ? nudged(size) : UInt32(1 + random.below(70))
        // Heads × head size is the width of other tensors, which stays what it is when one of both is multiplied.
        let keepsWidth = isHeads && random.oneIn(2) && model.columns % 2 == 0
        for i in 0..<Int(header.tensorCount) {
            guard var tensor = TensorRecord(reading: address(tensor: i)) else { continue }
            if isHeads {
                if tensor.groups == size, tensor.storage != .weights {
                    if keepsWidth { (tensor.groups, tensor.columns) = (size &* 2, tensor.columns / 2) } else { tensor.groups = resized }
                }
            } else {
                if tensor.columns == size { tensor.columns = resized }
                if tensor.storage == .weights, tensor.rows == size, size > 1 { tensor.rows = resized }
            }
            tensor.write(to: address(tensor: i))
        }
        if header.vocabularySize == size, !isHeads { header.vocabularySize = resized }
    }

    private mutating func editInstruction() {
        let place = address(instruction: random.below(Int(header.instructionCount)))
        let other = address(instruction: random.below(Int(header.instructionCount)))
        guard var record = InstructionRecord(reading: place), let model = InstructionRecord(reading: other) else { return }
        switch random.below(12) {
        case 0: record.opcode = Opcode(rawValue: UInt16(random.below(13))) ?? .norm
        case 1...3: record.operands[random.below(8)] = UInt32(random.below(Int(header.tensorCount)))
        case 4: record.operands[random.below(8)] = InstructionRecord.absent
        case 5:
            let (a, b) = (random.below(8), random.below(8))
            (record.operands[a], record.operands[b]) = (record.operands[b], record.operands[a])
        case 6: record.operands[random.below(8)] = model.operands[random.below(8)]
        case 7: record.operands[random.below(8)] = nudged(record.operands[random.below(8)])
        case 8: record.integers[random.below(3)] = Int32(random.below(9)) - 1
        case 9: record.integers[random.below(3)] = Int32(bitPattern: nudged(UInt32(bitPattern: record.integers[2])))
        case 10: record.floats[0] = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
        default: record = model
        }
        record.write(to: place)
    }

    /// Other values that the opcode has for its integers and floats.
    private mutating func editParameters() {
        let place = address(instruction: random.below(Int(header.instructionCount)))
        guard var record = InstructionRecord(reading: place) else { return }
        switch record.opcode {
        case .embed:
            if random.oneIn(2) { record.integers[1] ^= 1 } else { record.integers[2] = Int32(random.below(3)) }
        case .activate: record.integers[0] = Int32(random.below(7))
        case .binary, .rotary, .selectRow: record.integers[0] ^= 1
        case .norm, .l2Normalize: record.floats[0] = Float(bitPattern: UInt32(truncatingIfNeeded: 1 + random.below(0x7F80_0000)))
        case .attention: record.floats[0] = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
        case .recurrent:
            if random.oneIn(2) { record.integers[0] = Int32(random.below(3)) } else { record.integers[1] ^= 1 }
        case .quantize, .linear, .meanRows, .concatenate: return editInstruction()
        }
        record.write(to: place)
    }

    /// Another tensor of the same storage and type.
    private mutating func exchangeOperand() {
        let place = address(instruction: random.below(Int(header.instructionCount)))
        guard var record = InstructionRecord(reading: place) else { return }
        let p = random.below(8)
        guard record.operands[p] < header.tensorCount, let old = TensorRecord(reading: address(tensor: Int(record.operands[p])))
        else { return }
        for _ in 0..<8 {
            let index = random.below(Int(header.tensorCount))
            guard let new = TensorRecord(reading: address(tensor: index)), new.storage == old.storage, new.type == old.type,
                new.rowElements == old.rowElements
            else { continue }
            record.operands[p] = UInt32(index)
            break
        }
        record.write(to: place)
    }

    private mutating func swapInstructions() {
        let first = random.below(Int(header.instructionCount))
        let a = address(instruction: first)
        let b = address(instruction: random.oneIn(2) ? random.below(Int(header.instructionCount)) : max(first - 1, 0))
        guard let x = InstructionRecord(reading: a), let y = InstructionRecord(reading: b) else { return }
        x.write(to: b)
        y.write(to: a)
    }

    private mutating func insertInstruction() {
        let (from, to) = (random.below(Int(header.instructionCount)), random.below(Int(header.instructionCount)))
        guard let record = InstructionRecord(reading: address(instruction: from)),
            insertGap(at: instructionStart + to * InstructionRecord.byteCount, InstructionRecord.byteCount)
        else { return }
        record.write(to: address(instruction: to))
        header.instructionCount += 1
        moveEntries(from: to, by: 1)
    }

    private mutating func removeInstruction() {
        if header.instructionCount < 2 { return }
        let index = random.below(Int(header.instructionCount))
        let start = instructionStart + index * InstructionRecord.byteCount
        let rest = byteCount - start - InstructionRecord.byteCount
        (base + start).copyMemory(from: base + start + InstructionRecord.byteCount, byteCount: rest)
        header.instructionCount -= 1
        moveEntries(from: index, by: -1)
    }

    /// After an instruction came or went at `index`.
    private func moveEntries(from index: Int, by change: Int) {
        for i in 0..<Int(header.entryCount) {
            guard var entry = EntryRecord(reading: address(entry: i)) else { continue }
            let first = Int(entry.firstInstruction)
            if index < first {
                entry.firstInstruction = UInt32(truncatingIfNeeded: first + change)
            } else if index < first + Int(entry.instructionCount) {
                entry.instructionCount = UInt32(truncatingIfNeeded: Int(entry.instructionCount) + change)
            }
            entry.write(to: address(entry: i))
        }
    }

    /// A tensor like another one, which some operand then refers to.
    private mutating func insertTensor() {
        let from = random.below(Int(header.tensorCount))
        guard var tensor = TensorRecord(reading: address(tensor: from)), insertGap(at: instructionStart, TensorRecord.byteCount)
        else { return }
        if random.oneIn(2) { tensor.offset = freeOffset(tensor.storage) }
        tensor.write(to: base + instructionStart)
        header.tensorCount += 1
        let place = address(instruction: random.below(Int(header.instructionCount)))
        guard var record = InstructionRecord(reading: place) else { return }
        var positions = [8, 8]
        for p in 0..<8 where record.operands[p] == UInt32(from) { positions = [p, positions[0]] }
        record.operands[positions[0] < 8 ? positions[0] : random.below(8)] = header.tensorCount - 1
        record.write(to: place)
    }

    private mutating func editEntry() {
        let place = address(entry: random.below(Int(header.entryCount)))
        guard var entry = EntryRecord(reading: place) else { return }
        switch random.below(8) {
        case 0: entry.kind = EntryRecord.Kind(rawValue: UInt16(random.below(6))) ?? .embed
        case 1: entry.firstInstruction = nudged(entry.firstInstruction)
        case 2: entry.instructionCount = nudged(entry.instructionCount)
        case 3: entry.outputTensor = UInt32(random.below(Int(header.tensorCount)))
        case 4: entry.maximumTokens = nudged(entry.maximumTokens)
        case 5: entry.arenaBytesPerToken = UInt64(nudged(UInt32(truncatingIfNeeded: entry.arenaBytesPerToken / 16))) * 16
        case 6: entry.arenaFixedBytes = UInt64(nudged(UInt32(truncatingIfNeeded: entry.arenaFixedBytes / 16))) * 16
        default: entry.scores = entry.scores == .softmax ? .sigmoid : .softmax
        }
        entry.write(to: place)
    }

    private mutating func editHeader() {
        switch random.below(5) {
        case 0: header.vocabularySize = nudged(header.vocabularySize)
        case 1: header.maximumPositions = random.oneIn(4) ? 0 : nudged(header.maximumPositions)
        case 2: header.weightByteCount = UInt64(nudged(UInt32(truncatingIfNeeded: header.weightByteCount / 64))) * 64
        case 3: header.carryByteCount = UInt64(nudged(UInt32(truncatingIfNeeded: header.carryByteCount / 16))) * 16
        default: header.stateBytesPerPosition = UInt64(nudged(UInt32(truncatingIfNeeded: header.stateBytesPerPosition / 16))) * 16
        }
    }

    // MARK: Numbers

    /// A number near the given one, or near a limit of the format.
    private mutating func nudged(_ value: UInt32) -> UInt32 {
        let step = UInt32(1) << UInt32(random.below(8))
        switch random.below(8) {
        case 0: return value &+ step
        case 1: return value &- step
        case 2: return value &* 2
        case 3: return value / 2
        case 4: return UInt32(random.below(70))
        case 5: return (UInt32(1) << UInt32(random.below(32))) &+ UInt32(random.below(3)) &- 1
        case 6: return value ^ step
        default: return random.oneIn(4) ? .max : value &+ 1
        }
    }

    /// Behind all tensors of a storage.
    private func freeOffset(_ storage: TensorStorage) -> UInt64 {
        var end: UInt64 = 0
        for i in 0..<Int(header.tensorCount) {
            guard let tensor = TensorRecord(reading: address(tensor: i)), tensor.storage == storage else { continue }
            end = max(end, tensor.offset &+ size(of: tensor))
        }
        return (end &+ 63) & ~63
    }

    private func size(of tensor: TensorRecord) -> UInt64 {
        switch tensor.storage {
        case .weights: tensor.weightByteCount ?? 0
        case .fixed, .carry: UInt64(tensor.rows) &* tensor.rowByteCount
        case .tokens, .state: tensor.rowByteCount
        }
    }

    /// Moves tensors that have outgrown their places, at times, and makes weights, state and arenas as large as the
    /// tensors need, at times one of these a little less.
    private mutating func fitSizes() {
        if random.oneIn(2) { separate() }
        var ends: (weights: UInt64, tokens: UInt64, fixed: UInt64, state: UInt64, carry: UInt64) = (0, 0, 0, 0, 0)
        for i in 0..<Int(header.tensorCount) {
            guard let tensor = TensorRecord(reading: address(tensor: i)) else { continue }
            let end = tensor.offset &+ size(of: tensor)
            switch tensor.storage {
            case .weights: ends.weights = max(ends.weights, end)
            case .tokens: ends.tokens = max(ends.tokens, end)
            case .fixed: ends.fixed = max(ends.fixed, end)
            case .state: ends.state = max(ends.state, end)
            case .carry: ends.carry = max(ends.carry, end)
            }
        }
        switch random.below(32) {
        case 0: ends.weights = max(ends.weights, 16) - 16
        case 1: ends.tokens = max(ends.tokens, 16) - 16
        case 2: ends.fixed = max(ends.fixed, 16) - 16
        case 3: ends.state = max(ends.state, 16) - 16
        case 4: ends.carry = max(ends.carry, 16) - 16
        default: break
        }
        header.weightByteCount = ends.weights
        header.stateBytesPerPosition = ends.state
        header.carryByteCount = ends.carry
        for i in 0..<Int(header.entryCount) {
            guard var entry = EntryRecord(reading: address(entry: i)) else { continue }
            entry.arenaBytesPerToken = ends.tokens
            entry.arenaFixedBytes = ends.fixed
            entry.write(to: address(entry: i))
        }
    }

    /// Gives every tensor bytes of its own.
    private func separate() {
        var ends: (weights: UInt64, tokens: UInt64, fixed: UInt64, state: UInt64, carry: UInt64) = (0, 0, 0, 0, 0)
        func take(_ end: inout UInt64, _ byteCount: UInt64) -> UInt64 {
            defer { end = (end &+ byteCount &+ 63) & ~63 }
            return end
        }
        for i in 0..<Int(header.tensorCount) {
            guard var tensor = TensorRecord(reading: address(tensor: i)) else { continue }
            let byteCount = size(of: tensor)
            switch tensor.storage {
            case .weights: tensor.offset = take(&ends.weights, byteCount)
            case .tokens: tensor.offset = take(&ends.tokens, byteCount)
            case .fixed: tensor.offset = take(&ends.fixed, byteCount)
            case .state: tensor.offset = take(&ends.state, byteCount)
            case .carry: tensor.offset = take(&ends.carry, byteCount)
            }
            tensor.write(to: address(tensor: i))
        }
    }
}
