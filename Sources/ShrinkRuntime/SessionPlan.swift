import CShrinkKernels
import ShrinkFormat

/// The sizes of a session: everything that is decided before its memory is taken, and where each
/// part lies in that one piece of memory.
public struct SessionPlan {
    let entry: EntryRecord
    /// `Int.max` when neither the program nor the options have a limit.
    public let context: Int
    public let chunk: Int
    let threads: Int
    /// `context` rounded up to whole panels, which keeps every tensor of the state on 64 bytes; 0 where nothing grows
    /// with it.
    let contextCapacity: Int
    /// Bytes from a token's rows in the arena to the next one's. All rows of a token lie side by side, so that
    /// a core which computes it shares no memory with those that compute others. An odd number of cache lines:
    /// rows of many tokens then fall into different sets of a cache.
    let tokenByteCount: Int

    /// Bytes of one worker's scratch memory for attention, and of its scratch row.
    let attentionScratchByteCount: Int
    let rowByteCount: Int
    /// Tokens for which one worker holds the float output of attention.
    let attentionTokens: Int
    /// Query rows of one call of attention.
    let mostAttentionRows: Int

    let poolOffset: Int
    let attentionScratchOffset: Int
    let attentionRowOffset: Int
    let rowOffset: Int
    let tokenOffset: Int
    let fixedOffset: Int
    let stateOffset: Int
    let carryOffset: Int
    let carryByteCount: Int
    /// A copy of the carry, for steps that fail.
    let carryCopyOffset: Int
    /// What a recurrent layer computes with: the gates of one token, then h as a quantized row.
    let gateOffset: Int
    /// A counter for each worker.
    let shareOffset: Int
    /// Exactly what the session asks its allocator for, in one piece.
    public let byteCount: Int

    public init(_ program: ProgramView, _ options: SessionOptions) throws(RuntimeError) {
        guard let entry = program.entry(options.kind) else {
            throw RuntimeError(.invalidArgument, "the model has no entry point of this kind", Int(options.kind.rawValue))
        }
        self.entry = entry
        let isIncremental = entry.kind.isIncremental
        let longest = isIncremental ? program.header.positionLimit ?? .max : Int(entry.maximumTokens)
        context = options.context ?? longest
        guard context >= 1, context <= longest else {
            throw RuntimeError(.limitExceeded, "the context is longer than the model was made for", longest)
        }
        let mostTokens = min(context, Int(entry.maximumTokens))
        chunk = isIncremental ? options.chunk ?? min(128, mostTokens) : context
        guard chunk >= 1, chunk <= Int(entry.maximumTokens) else {
            throw RuntimeError(.limitExceeded, "the chunk is larger than the model was made for", Int(entry.maximumTokens))
        }
        threads = options.threads
        guard threads >= 1, threads <= Int(SHRINK_POOL_MAXIMUM_THREADS) else {
            throw RuntimeError(.invalidArgument, "the number of threads is out of range", Int(SHRINK_POOL_MAXIMUM_THREADS))
        }
        if isIncremental, program.header.positionLimit == nil {
            contextCapacity = 0
        } else {
            // Both limits are at most 2^24.
            contextCapacity = (context + Operand.panelRows - 1) / Operand.panelRows * Operand.panelRows
        }
        // Bounded by the verifier.
        tokenByteCount = (Int(clamping: entry.arenaBytesPerToken) + 63) / 64 * 64 | 64

        mostAttentionRows = AttentionShape.mostRows(context: contextCapacity)
        let needs = ScratchNeeds(entry, of: program, context: contextCapacity, chunk: chunk)
        attentionScratchByteCount = (needs.attentionScratchByteCount + 63) / 64 * 64
        rowByteCount = (needs.rowElements + 15) / 16 * 64
        attentionTokens = min((chunk + threads - 1) / threads, AttentionShape.tokenTile)
        let hasPool = threads > 1 && options.parallelFor == nil

        var sum = CheckedSum()
        sum.add(Int(entry.instructionCount), MemoryLayout<DecodedInstruction>.stride)
        poolOffset = sum.total
        sum.add(1, hasPool ? shrink_pool_byte_count(threads) : 0)
        attentionScratchOffset = sum.total
        sum.add(threads, attentionScratchByteCount)
        attentionRowOffset = sum.total
        sum.add(max(threads * attentionTokens, min(chunk, AttentionShape.tokenTile)), needs.attentionRowElements * 4)
        rowOffset = sum.total
        sum.add(threads, rowByteCount)
        tokenOffset = sum.total
        sum.add(chunk, tokenByteCount)
        fixedOffset = sum.total
        sum.add(1, Int(clamping: entry.arenaFixedBytes))
        stateOffset = sum.total
        if isIncremental { sum.add(contextCapacity, Int(clamping: program.header.stateBytesPerPosition)) }
        carryByteCount = isIncremental ? Int(clamping: program.header.carryByteCount) : 0
        carryOffset = sum.total
        sum.add(1, carryByteCount)
        carryCopyOffset = sum.total
        sum.add(1, carryByteCount)
        gateOffset = sum.total
        sum.add(1, needs.gateByteCount)
        shareOffset = sum.total
        sum.add(threads, Workers.shareStride * 8)
        guard !sum.overflows else {
            throw RuntimeError(.limitExceeded, "the session would need more memory than there are addresses", 0)
        }
        byteCount = sum.total
        guard byteCount <= options.maximumByteCount else {
            throw RuntimeError(.limitExceeded, "the session needs more memory than the limit", byteCount)
        }
    }
}

/// A sum of products, each rounded up to 64 bytes.
private struct CheckedSum {
    var total = 0
    var overflows = false

    mutating func add(_ count: Int, _ size: Int) {
        let (bytes, tooLarge) = count.multipliedReportingOverflow(by: size)
        let (padded, tooLargePadded) = bytes.addingReportingOverflow(63)
        let (next, tooLargeSum) = total.addingReportingOverflow(padded & ~63)
        overflows = overflows || tooLarge || tooLargePadded || tooLargeSum
        total = next
    }
}

/// Which scratch memory the instructions of an entry point need.
private struct ScratchNeeds {
    var attentionScratchByteCount = 0
    /// The widest float row of attention, and of anything else, that is made only to be quantized.
    var attentionRowElements = 0
    var rowElements = 0
    var gateByteCount = 0

    init(_ entry: EntryRecord, of program: ProgramView, context: Int, chunk: Int) {
        // A quantized row of the state is made here, and checked here when a state is restored.
        for i in 0..<Int(program.header.tensorCount) where entry.kind.isIncremental {
            guard let tensor = program.tensor(i), tensor.storage == .state, tensor.type == .quantizedRow else { continue }
            rowElements = max(rowElements, Int(clamping: tensor.rowByteCount) / 4)
        }
        for i in 0..<Int(entry.instructionCount) {
            guard let record = program.instruction(Int(entry.firstInstruction) + i) else { continue }
            let floatOutput: Int
            var width = program.tensor(Int(record.operands[0]))?.rowElements ?? 0
            switch record.opcode {
            case .norm: floatOutput = 5
            case .activate: floatOutput = 2
            case .concatenate:
                floatOutput = 2
                width += program.tensor(Int(record.operands[1]))?.rowElements ?? 0
            case .recurrent:
                guard let weight = program.tensor(Int(record.operands[1])) else { continue }
                gateByteCount = max(
                    gateByteCount, Executor.gateElements(weight.rows) * 4 + shrink_qrow_bytes(Int(weight.columns)))
                continue
            case .attention:
                floatOutput = 3
                guard let q = program.tensor(Int(record.operands[0])), let k = program.tensor(Int(record.operands[1])) else { continue }
                func needs(_ tokenCount: Int) -> Int {
                    AttentionShape(
                        (q.groups, q.type == .quantizedRow), sharedHeads: k.groups, tokenCount: tokenCount, workers: 1,
                        mostRows: AttentionShape.mostRows(context: context)
                    ).scratchByteCount(tokenCount: tokenCount, context: context, headSize: q.columns)
                }
                attentionScratchByteCount = max(attentionScratchByteCount, needs(1), needs(chunk))
            default: continue
            }
            guard record.operands[floatOutput] == InstructionRecord.absent else { continue }
            if record.opcode == .attention {
                attentionRowElements = max(attentionRowElements, width)
            } else {
                rowElements = max(rowElements, width)
            }
        }
    }
}
