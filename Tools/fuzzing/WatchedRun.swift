import CShrinkKernels
import ShrinkFormat

/// A session taken apart: runs an entry point instruction by instruction, and before each one poisons all of the
/// arena, the state and the weights but for what the instruction's own operands declare, row by row and to the byte
/// (quantized rows of the state by whole panels).
/// The arena is one block, in which AddressSanitizer alone would not see one tensor's rows run into another's.
struct WatchedRun: ~Copyable {
    private let program: ProgramView
    private let plan: SessionPlan
    private let memory: ExactBlock
    private let weights: UnsafeRawBufferPointer
    private let kernels: UnsafePointer<shrink_kernels>
    private let workers: Workers
    private var position = 0

    init(_ program: ProgramView, weights: UnsafeRawBufferPointer, _ options: SessionOptions) throws(RuntimeError) {
        let plan = try SessionPlan(program, options)
        let kernels = try (options.instructionSet ?? .best).kernels()
        let memory = ExactBlock(count: plan.byteCount)
        let decoder = InstructionDecoder(program: program, weights: weights, memory: memory.base, plan: plan)
        try decoder.decode(into: memory.base.bindMemory(to: DecodedInstruction.self, capacity: Int(plan.entry.instructionCount)))
        workers = try Workers(count: plan.threads, parallelFor: options.parallelFor, poolMemory: memory.base + plan.poolOffset)
        (memory.base + plan.carryOffset).initializeMemory(as: UInt8.self, repeating: 0, count: plan.carryByteCount)
        self.program = program
        self.plan = plan
        self.memory = memory
        self.weights = weights
        self.kernels = kernels
    }

    deinit {
        unpoison(memory.raw)
        unpoison(weights)
    }

    /// What `EntryRun.run` gives, computed here.
    mutating func run(_ tokens: UnsafeMutableBufferPointer<UInt32>, _ segments: UnsafeMutableBufferPointer<UInt32>?) -> FloatHash {
        var hash = FloatHash()
        var first = 0
        while first < tokens.count {
            let count = min(plan.chunk, tokens.count - first)
            let isLast = first + count == tokens.count
            guard let ids = tokens.baseAddress else { break }
            step(ids + first, segments?.baseAddress.map { $0 + first }, count)
            if isLast { addOutput(count, to: &hash) }
            if plan.entry.kind.isIncremental { position += count }
            first += count
        }
        return hash
    }

    private func step(_ tokens: UnsafePointer<UInt32>, _ segments: UnsafePointer<UInt32>?, _ count: Int) {
        let executor = Executor(
            kernels: kernels, workers: workers, tokens: tokens, segments: segments, tokenCount: count, position: position,
            attentionScratch: memory.base + plan.attentionScratchOffset, attentionScratchByteCount: plan.attentionScratchByteCount,
            attentionRows: (memory.base + plan.attentionRowOffset).assumingMemoryBound(to: Float.self),
            attentionTokens: plan.attentionTokens, mostAttentionRows: plan.mostAttentionRows, scratchRows: memory.base + plan.rowOffset,
            scratchRowByteCount: plan.rowByteCount, gates: memory.base + plan.gateOffset,
            takenOfShares: (memory.base + plan.shareOffset).assumingMemoryBound(to: Int64.self), fewestTokens: .max,
            positionsPerToken: .infinity, cancelFlag: nil)
        let instructions = memory.base.assumingMemoryBound(to: DecodedInstruction.self)
        withUnsafePointer(to: executor) { executor in
            for i in 0..<Int(plan.entry.instructionCount) {
                guard let record = program.instruction(Int(plan.entry.firstInstruction) + i) else { continue }
                poison(UnsafeRawBufferPointer(rebasing: memory.raw[plan.tokenOffset..<plan.gateOffset]))
                poison(weights)
                for p in 0..<8 { eachRow(record, p, count) { unpoison($0) } }
                let before = inputHash(record, count)
                executor.pointee.run(instructions + i, from: executor)
                check(inputHash(record, count) == before, "an instruction changed one of its inputs")
            }
        }
        unpoison(memory.raw)
        unpoison(weights)
    }

    /// The hash of the operands that the instruction does not write.
    private func inputHash(_ record: InstructionRecord, _ count: Int) -> UInt64 {
        var hash = TokenizerHash.seed
        for p in 0..<8 where !record.opcode.writes(p) && !isReplaced(record, p) {
            if let tensor = program.tensor(Int(record.operands[p])), tensor.storage == .weights { continue }
            eachRow(record, p, count) { row in
                for i in stride(from: 0, to: row.count - 3, by: 4) {
                    hash = (hash ^ UInt64(row.loadUnaligned(fromByteOffset: i, as: UInt32.self))) &* 0x100_0000_01B3
                }
            }
        }
        return hash
    }

    /// Whether an output is declared to be at the same place as this input.
    private func isReplaced(_ record: InstructionRecord, _ input: Int) -> Bool {
        guard let tensor = program.tensor(Int(record.operands[input])) else { return false }
        for p in 0..<8 where record.opcode.writes(p) {
            if let output = program.tensor(Int(record.operands[p])), output.storage == tensor.storage, output.offset == tensor.offset {
                return true
            }
        }
        return false
    }

    /// Gives the bytes of each row, or panel of rows, that an operand declares in a step of `count` tokens.
    private func eachRow(_ record: InstructionRecord, _ p: Int, _ count: Int, _ body: (UnsafeRawBufferPointer) -> Void) {
        let index = record.operands[p]
        guard index != InstructionRecord.absent, let tensor = program.tensor(Int(index)) else { return }
        let exact = tensor.type == .quantizedRow ? Int(tensor.rowByteCount) : tensor.rowElements * 4
        let offset = Int(tensor.offset)
        // The region that the storage has by the header or the entry point, and where the first row is in it.
        let region: Range<Int>
        let start: Int
        var rows = 0..<count
        var stride = Int(tensor.rowByteCount)
        switch tensor.storage {
        case .weights:
            guard let base = weights.baseAddress, let byteCount = tensor.weightByteCount else { return }
            check(offset + Int(byteCount) <= weights.count, "an operand beyond the weights")
            return body(UnsafeRawBufferPointer(start: base + offset, count: Int(byteCount)))
        case .tokens:
            region = plan.tokenOffset..<(plan.tokenOffset + plan.tokenByteCount * plan.chunk)
            start = region.lowerBound + offset
            stride = plan.tokenByteCount
            check(offset + exact <= plan.tokenByteCount, "an operand beyond its token")
        case .fixed:
            region = plan.fixedOffset..<(plan.fixedOffset + Int(plan.entry.arenaFixedBytes))
            start = region.lowerBound + offset
            rows = 0..<Int(tensor.rows)
        case .carry:
            region = plan.carryOffset..<(plan.carryOffset + plan.carryByteCount)
            start = region.lowerBound + offset
            rows = 0..<Int(tensor.rows)
        case .state:
            region = plan.stateOffset..<(plan.stateOffset + Int(program.header.stateBytesPerPosition) * plan.contextCapacity)
            start = region.lowerBound + offset * plan.contextCapacity
            rows = (record.opcode.writes(p) ? position : 0)..<(position + count)
            if tensor.type == .quantizedRow { return eachPanel(tensor, region, rows, body) }
        }
        for row in rows {
            let place = start + row * stride
            check(place >= region.lowerBound && place + exact <= region.upperBound, "an operand beyond its storage")
            body(UnsafeRawBufferPointer(rebasing: memory.raw[place..<(place + exact)]))
        }
    }

    private func addOutput(_ count: Int, to hash: inout FloatHash) {
        guard let tensor = program.tensor(Int(plan.entry.outputTensor)) else { return }
        let start: UnsafeMutableRawPointer
        var rows: Range<Int>
        var stride = Int(tensor.rowByteCount)
        switch tensor.storage {
        case .fixed:
            start = memory.base + plan.fixedOffset + Int(tensor.offset)
            rows = 0..<Int(tensor.rows)
        default:
            start = memory.base + plan.tokenOffset + Int(tensor.offset)
            stride = plan.tokenByteCount
            rows = 0..<count
        }
        if plan.entry.kind.isIncremental { rows = (rows.upperBound - 1)..<rows.upperBound }
        for row in rows {
            let floats = (start + row * stride).assumingMemoryBound(to: Float.self)
            hash.add(UnsafeBufferPointer(start: floats, count: tensor.rowElements))
        }
    }

    /// The panels of all heads that hold some positions of the state.
    private func eachPanel(
        _ tensor: TensorRecord, _ region: Range<Int>, _ positions: Range<Int>, _ body: (UnsafeRawBufferPointer) -> Void
    ) {
        let panel = shrink_panel_bytes(Int(tensor.columns))
        let ofHead = panel / Operand.panelRows * plan.contextCapacity
        for head in 0..<Int(tensor.groups) {
            let start = region.lowerBound + Int(tensor.offset) * plan.contextCapacity + head * ofHead
            let panels = (positions.lowerBound / Operand.panelRows)..<((positions.upperBound - 1) / Operand.panelRows + 1)
            let range = (start + panels.lowerBound * panel)..<(start + panels.upperBound * panel)
            check(range.lowerBound >= region.lowerBound && range.upperBound <= region.upperBound, "an operand beyond its storage")
            body(UnsafeRawBufferPointer(rebasing: memory.raw[range]))
        }
    }
}

private func poison(_ bytes: UnsafeRawBufferPointer) {
    if let base = bytes.baseAddress, bytes.count > 0 { __asan_poison_memory_region(base, bytes.count) }
}

private func unpoison(_ bytes: UnsafeRawBufferPointer) {
    if let base = bytes.baseAddress, bytes.count > 0 { __asan_unpoison_memory_region(base, bytes.count) }
}

extension Opcode {
    /// Whether the operand at this position is an output, by the table of `Opcode`.
    fileprivate func writes(_ position: Int) -> Bool {
        switch self {
        case .embed, .rotary: position == 0
        case .norm: position == 2 || position == 5 || position == 6
        case .quantize, .selectRow, .meanRows, .l2Normalize: position == 1
        case .linear: position == 5
        case .activate: position == 2 || position == 3
        case .binary: position == 2
        case .attention: position == 3 || position == 4
        case .recurrent: position >= 5
        case .concatenate: position == 2 || position == 3
        }
    }
}
