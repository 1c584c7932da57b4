import CShrinkKernels
import ShrinkFormat

extension Model {
    /// Exactly what a session with these options asks the allocator for, in bytes; the stacks of
    /// `threads` − 1 threads (256 KiB each, touched only in part) come from the system. Throws what
    /// making the session would throw.
    public func sessionByteCount(_ options: SessionOptions) throws(RuntimeError) -> Int {
        try SessionPlan(program, options).byteCount
    }
}

/// The result of a step: rows of floats that stay as they are until the session is used again.
public struct SessionOutput {
    let base: UnsafePointer<Float>
    /// Floats from one row to the next.
    let rowStride: Int
    /// 1, or the tokens of the step for the kinds `score`, `tag` and `encode`.
    public let rowCount: Int
    public let columnCount: Int

    /// `row` is in 0 ..< rowCount.
    public subscript(row: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(start: base + row * rowStride, count: columnCount)
    }
}

/// One sequence of tokens going through a model. All memory is taken when it is made, in one piece;
/// a step allocates nothing. One thread at a time.
public struct Session: ~Copyable, @unchecked Sendable {
    let model: ModelReference
    let memory: RawMemory
    let plan: SessionPlan
    let kernels: UnsafePointer<shrink_kernels>
    private let workers: Workers
    private let ownsPool: Bool
    let output: Operand
    private let segmentCount: Int?
    private let positionsPerToken: Double
    private let cancelFlag: UnsafePointer<Int32>?

    public let instructionSet: InstructionSet
    /// Tokens that the state holds; always 0 for the kinds without state. Without a limit of the context it
    /// counts to 2^32 − 1 and stays there.
    public internal(set) var position = 0

    /// Throws `invalidArgument`, `limitExceeded` (detail: the limit or the size), `unsupportedISA`,
    /// `outOfMemory`. `allocator` nil: the model's.
    public init(_ model: borrowing Model, _ options: SessionOptions, allocator: Allocator? = nil) throws(RuntimeError) {
        let program = model.program
        let plan = try SessionPlan(program, options)
        let instructionSet = options.instructionSet ?? .best
        let kernels = try instructionSet.kernels()
        let memory = try RawMemory(byteCount: plan.byteCount, from: allocator ?? model.reference.allocator)
        let decoder = InstructionDecoder(
            program: program, weights: model.reference.weights, memory: memory.base, plan: plan)
        try decoder.decode(into: memory.base.bindMemory(to: DecodedInstruction.self, capacity: Int(plan.entry.instructionCount)))
        let output = try decoder.operand(Int(plan.entry.outputTensor))
        let workers = try Workers(
            count: plan.threads, parallelFor: options.parallelFor, poolMemory: memory.base + plan.poolOffset)
        self.output = output
        self.workers = workers
        ownsPool = options.parallelFor == nil
        segmentCount = decoder.segmentCount()
        positionsPerToken = decoder.positionsPerToken()
        cancelFlag = options.cancelFlag
        self.plan = plan
        self.instructionSet = instructionSet
        self.kernels = kernels
        self.memory = memory
        self.model = model.reference.another()
        clearCarry()
    }

    deinit { workers.destroyPool(isOwn: ownsPool) }

    public var kind: EntryRecord.Kind { plan.entry.kind }
    /// Positions that there is room for, or the longest input; `Int.max` when there is no limit.
    public var context: Int { plan.context }
    /// The most tokens of one step.
    public var chunk: Int { plan.chunk }
    /// Bytes of memory that the session took.
    public var byteCount: Int { plan.byteCount }

    /// Forgets all tokens.
    public mutating func reset() {
        position = 0
        clearCarry()
    }

    /// Whether the session can forget some of its last tokens. A recurrent layer cannot: what it carries has all
    /// tokens in it.
    public var canTruncate: Bool { plan.carryByteCount == 0 }

    /// Keeps the first `count` tokens only. Throws `invalidArgument` when there are not as many, or when the session
    /// cannot forget some but not all of them.
    public mutating func truncate(to count: Int) throws(RuntimeError) {
        guard count >= 0, count <= position else {
            throw RuntimeError(.invalidArgument, "the session does not hold as many tokens", position)
        }
        if count == position { return }
        guard count == 0 || canTruncate else {
            throw RuntimeError(.invalidArgument, "recurrent layers forget all tokens or none; save the state before them instead", position)
        }
        position = count
        clearCarry()
    }

    private func clearCarry() {
        (memory.base + plan.carryOffset).initializeMemory(as: UInt8.self, repeating: 0, count: plan.carryByteCount)
    }

    /// Runs the entry point over 1 … `chunk` tokens that follow those before; kinds without state
    /// take them as a whole input. `segments`: as many segment ids, or nil for all 0. Nothing changes
    /// when it throws: `limitExceeded` beyond the chunk or the context, `invalidArgument` (detail: the
    /// index of the token) for an id that the model does not have, `cancelled`.
    public mutating func step(
        _ tokens: UnsafeBufferPointer<UInt32>, segments: UnsafeBufferPointer<UInt32>? = nil
    ) throws(RuntimeError) -> SessionOutput {
        guard tokens.count <= plan.chunk else {
            throw RuntimeError(.limitExceeded, "more tokens than one step takes", plan.chunk)
        }
        return try feed(tokens, segments: segments)
    }

    /// Runs any number of tokens in steps of `chunk`; the result is the last step's. Otherwise as `step`.
    public mutating func feed(
        _ tokens: UnsafeBufferPointer<UInt32>, segments: UnsafeBufferPointer<UInt32>? = nil
    ) throws(RuntimeError) -> SessionOutput {
        try check(tokens, segments)
        let start = position
        let (carry, copy) = (memory.base + plan.carryOffset, memory.base + plan.carryCopyOffset)
        copy.copyMemory(from: carry, byteCount: plan.carryByteCount)
        var first = 0
        do {
            while tokens.count - first > plan.chunk {
                let piece = first..<(first + plan.chunk)
                _ = try run(tokens[piece], segments.map { $0[piece] })
                first += plan.chunk
            }
            return try run(tokens[first...], segments.map { $0[first...] })
        } catch {
            position = start
            carry.copyMemory(from: copy, byteCount: plan.carryByteCount)
            throw error
        }
    }

    /// Turns the outputs for labels into their scores, in place.
    func score(_ logits: UnsafeMutablePointer<Float>, _ count: Int) {
        switch plan.entry.scores {
        case .softmax: kernels.pointee.softmax(logits, count)
        case .sigmoid: kernels.pointee.sigmoid(logits, count, logits)
        case .value: break
        }
    }

    private func check(_ tokens: UnsafeBufferPointer<UInt32>, _ segments: UnsafeBufferPointer<UInt32>?) throws(RuntimeError) {
        guard tokens.count >= 1 else { throw RuntimeError(.invalidArgument, "there are no tokens", 0) }
        guard tokens.count <= plan.context - position else {
            throw RuntimeError(.limitExceeded, "more tokens than the context has room for", plan.context)
        }
        let vocabulary = model.program.header.vocabularySize
        for i in tokens.indices where tokens[i] >= vocabulary {
            throw RuntimeError(.invalidArgument, "a token is not in the vocabulary", i)
        }
        guard let segments else { return }
        guard segments.count == tokens.count else {
            throw RuntimeError(.invalidArgument, "not as many segments as tokens", segments.count)
        }
        let limit = segmentCount ?? .max
        for i in segments.indices where Int(segments[i]) >= limit {
            throw RuntimeError(.invalidArgument, "the model has no such segment", i)
        }
    }

    private mutating func run(
        _ tokens: Slice<UnsafeBufferPointer<UInt32>>, _ segments: Slice<UnsafeBufferPointer<UInt32>>?
    ) throws(RuntimeError) -> SessionOutput {
        let tokens = UnsafeBufferPointer(rebasing: tokens)
        guard let ids = tokens.baseAddress else { throw RuntimeError(.invalidArgument, "there are no tokens", 0) }
        let executor = Executor(
            kernels: kernels, workers: workers, tokens: ids,
            segments: segments.flatMap { UnsafeBufferPointer(rebasing: $0).baseAddress }, tokenCount: tokens.count,
            position: position, attentionScratch: memory.base + plan.attentionScratchOffset,
            attentionScratchByteCount: plan.attentionScratchByteCount,
            attentionRows: (memory.base + plan.attentionRowOffset).assumingMemoryBound(to: Float.self),
            attentionTokens: plan.attentionTokens, mostAttentionRows: plan.mostAttentionRows, scratchRows: memory.base + plan.rowOffset,
            scratchRowByteCount: plan.rowByteCount, gates: memory.base + plan.gateOffset,
            takenOfShares: (memory.base + plan.shareOffset).assumingMemoryBound(to: Int64.self),
            fewestTokens: Executor.fewestTokens(weightByteCount: model.weights.count), positionsPerToken: positionsPerToken,
            cancelFlag: cancelFlag)
        let instructions = memory.base.assumingMemoryBound(to: DecodedInstruction.self)
        let count = Int(plan.entry.instructionCount)
        let done = withUnsafePointer(to: executor) { executor in
            var done = 0
            while done < count {
                let more = executor.pointee.runStretch(instructions + done, before: count &- done, from: executor)
                if more == 0 { break }
                done &+= more
            }
            return done
        }
        guard done == count else { throw RuntimeError(.cancelled, "the step was cancelled", done) }
        if plan.entry.kind.isIncremental { position = min(position + tokens.count, Int(UInt32.max)) }
        return SessionOutput(
            base: UnsafePointer(output.floats(0)), rowStride: output.rowByteCount / 4,
            rowCount: executor.rowCount(of: output), columnCount: output.width)
    }
}
