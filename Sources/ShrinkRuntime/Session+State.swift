import CShrinkKernels
import ShrinkFormat

extension Session {
    /// Bytes that `save` writes now; 0 for the kinds without state.
    public var savedByteCount: Int {
        plan.entry.kind.isIncremental ? Self.savedByteCount(position: position, of: model.program) ?? 0 : 0
    }

    /// Writes the state (see `SavedStateHeader`) and returns how many bytes that took. The last output
    /// is not part of it. Throws `limitExceeded` (detail: the need) for too small a buffer,
    /// `invalidArgument` for the kinds without state.
    public func save(to buffer: UnsafeMutableRawBufferPointer) throws(RuntimeError) -> Int {
        let byteCount = savedByteCount
        guard byteCount > 0 else { throw RuntimeError(.invalidArgument, "this entry point has no state to save") }
        guard let base = buffer.baseAddress, buffer.count >= byteCount else {
            throw RuntimeError(.limitExceeded, "the buffer is too small for the state", byteCount)
        }
        SavedStateHeader(position: position, fingerprint: model.fingerprint).write(to: base)
        var offset = SavedStateHeader.byteCount
        for i in 0..<Int(model.program.header.tensorCount) {
            guard let state = stateTensor(i)?.operand else { continue }
            for row in 0..<position {
                if state.isInPanels {
                    state.loadFromPanels(position: row, to: base + offset)
                } else {
                    (base + offset).copyMemory(from: state.row(row), byteCount: state.rowByteCount)
                }
                offset += state.rowByteCount
            }
        }
        (base + offset).copyMemory(from: memory.base + plan.carryOffset, byteCount: plan.carryByteCount)
        offset += plan.carryByteCount
        let digest = SHA256.digest(
            of: UnsafeRawBufferPointer(start: base, count: offset), blockFunction: shrink_sha256_accelerated())
        for i in digest.indices { base.storeBytes(of: digest[i], toByteOffset: offset + i, as: UInt8.self) }
        return byteCount
    }

    /// Replaces the session's tokens by those of a saved state of a model with the same fingerprint; context, chunk,
    /// threads and machine do not matter. Any bytes are safe. Throws `invalidState` (detail: byte
    /// offset), `limitExceeded` (detail: the need) when the context is too short, `invalidArgument` for
    /// the kinds without state; the session is then empty.
    public mutating func restore(from bytes: UnsafeRawBufferPointer) throws(RuntimeError) {
        guard plan.entry.kind.isIncremental else { throw RuntimeError(.invalidArgument, "this entry point has no state to restore") }
        reset()
        guard let base = bytes.baseAddress, bytes.count >= SavedStateHeader.byteCount + SavedStateHeader.trailerByteCount else {
            throw RuntimeError(.invalidState, "the saved state is too short", bytes.count)
        }
        let saved = try checkedPosition(base, bytes.count)
        var offset = SavedStateHeader.byteCount
        for i in 0..<Int(model.program.header.tensorCount) {
            guard let state = stateTensor(i)?.operand else { continue }
            for row in 0..<saved {
                if state.isInPanels {
                    state.storeInPanels(base + offset, position: row)
                } else {
                    state.row(row).copyMemory(from: base + offset, byteCount: state.rowByteCount)
                }
                offset += state.rowByteCount
            }
        }
        // Checked where they are now: in a program that is made up, two tensors may share memory.
        let copy = memory.base + plan.rowOffset
        for i in 0..<Int(model.program.header.tensorCount) {
            guard let (record, state) = stateTensor(i), state.isInPanels else { continue }
            for row in 0..<saved {
                state.loadFromPanels(position: row, to: copy)
                guard SavedStateHeader.isQuantizedRow(copy, of: record) else {
                    throw RuntimeError(.invalidState, "the saved state has a row that no model makes", i)
                }
            }
        }
        // Any floats are safe, and there are no codes among them.
        (memory.base + plan.carryOffset).copyMemory(from: base + offset, byteCount: plan.carryByteCount)
        position = saved
    }

    /// All bytes of a state of `position` tokens; nil beyond the address space.
    private static func savedByteCount(position: Int, of program: ProgramView) -> Int? {
        var total = SavedStateHeader.byteCount + SavedStateHeader.trailerByteCount
        for i in 0..<Int(program.header.tensorCount) {
            guard let tensor = program.tensor(i), tensor.storage == .state else { continue }
            let (bytes, isTooLarge) = Int(clamping: tensor.rowByteCount).multipliedReportingOverflow(by: position)
            let (sum, overflows) = total.addingReportingOverflow(bytes)
            if isTooLarge || overflows { return nil }
            total = sum
        }
        let (sum, overflows) = total.addingReportingOverflow(Int(clamping: program.header.carryByteCount))
        return overflows ? nil : sum
    }

    /// The number of tokens of a state whose header, size and checksum are right and for which there is room.
    private func checkedPosition(_ base: UnsafeRawPointer, _ byteCount: Int) throws(RuntimeError) -> Int {
        guard let header = SavedStateHeader(reading: base) else {
            throw RuntimeError(.invalidState, "not a saved state, or of another version of the library", 0)
        }
        let fingerprint = model.fingerprint
        for i in fingerprint.indices where header.fingerprint[i] != fingerprint[i] {
            throw RuntimeError(.invalidState, "the saved state is of another model", 16)
        }
        guard Self.savedByteCount(position: header.position, of: model.program) == byteCount else {
            throw RuntimeError(.invalidState, "the saved state has another size than its tokens need", byteCount)
        }
        let end = byteCount - SavedStateHeader.trailerByteCount
        let digest = SHA256.digest(
            of: UnsafeRawBufferPointer(start: base, count: end), blockFunction: shrink_sha256_accelerated())
        for i in digest.indices where base.load(fromByteOffset: end + i, as: UInt8.self) != digest[i] {
            throw RuntimeError(.invalidState, "the saved state is damaged: its checksum differs", end)
        }
        guard header.position <= plan.context else {
            throw RuntimeError(.limitExceeded, "the saved state has more tokens than the context has room for", header.position)
        }
        return header.position
    }

    /// A state tensor in this session; nil for every other tensor.
    private func stateTensor(_ index: Int) -> (record: TensorRecord, operand: Operand)? {
        guard let record = model.program.tensor(index), record.storage == .state else { return nil }
        let decoder = InstructionDecoder(program: model.program, weights: model.weights, memory: memory.base, plan: plan)
        guard let operand = try? decoder.operand(index) else { return nil }
        return (record, operand)
    }
}
