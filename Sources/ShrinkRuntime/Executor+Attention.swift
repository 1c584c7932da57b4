import CShrinkKernels
import ShrinkFormat

/// How attention is cut into kernel calls: query rows of as many heads and tokens as share keys and
/// values, within a bound that keeps a worker's scores in its cache.
struct AttentionShape {
    /// Query rows of one call: what it unpacks serves all of them, and scores of long contexts would leave the cache.
    static func mostRows(context: Int) -> Int { context <= 512 ? 128 : 64 }
    /// The most tokens whose float output is held until all of their heads are done.
    static let tokenTile = 128

    /// Heads of keys and values, of one call and in all. Several for a single token: what one needs then comes from memory
    /// while the products of another are made.
    let sharedHeads: Int
    let allSharedHeads: Int
    /// Heads of one call for each of them.
    let heads: Int
    let headRuns: Int
    /// Tokens of one call.
    let tokens: Int

    /// For a tile of `tokenCount` tokens, whose calls are shared out among `workers`.
    init(_ q: (heads: UInt32, isQuantized: Bool), sharedHeads: UInt32, tokenCount: Int, workers: Int, mostRows: Int) {
        allSharedHeads = Int(sharedHeads)
        let group = Int(q.heads) / allSharedHeads
        headRuns = (group &+ mostRows &- 1) / mostRows
        heads = (group &+ headRuns &- 1) / headRuns
        tokens = min(Self.tokenTile, mostRows / heads)
        let isSingle = tokenCount == 1 && q.isQuantized
        self.sharedHeads = isSingle ? min((allSharedHeads &+ workers &- 1) / workers, tokens) : 1
    }

    /// Kernel calls for as many tokens.
    var runs: Int { (allSharedHeads &+ sharedHeads &- 1) / sharedHeads &* headRuns }
    func calls(tokenCount: Int) -> Int { (tokenCount &+ tokens &- 1) / tokens &* runs }

    /// Bytes of scratch memory for one call of at most `tokenCount` tokens.
    func scratchByteCount(tokenCount: Int, context: Int, headSize: UInt32) -> Int {
        shrink_attention_scratch_bytes(heads &* min(tokens, tokenCount), context, Int(headSize))
    }
}

/// Tokens whose attention is computed before any of it is quantized, and the float rows that hold it meanwhile where
/// the program does not want them.
struct AttentionTile {
    var tokens: Range<Int>
    var shape: AttentionShape
    var rows: UnsafeMutablePointer<Float>

    func row(_ token: Int, of instruction: UnsafePointer<DecodedInstruction>) -> UnsafeMutablePointer<Float> {
        let out = instruction.pointee[3]
        if out.isPresent { return out.floats(token) }
        return rows + (token &- tokens.lowerBound) &* instruction.pointee[0].width
    }
}

extension Executor {
    /// Tiles of tokens one after the other; the calls of a tile are shared out, then its rows are quantized.
    func runAttention(_ executor: UnsafePointer<Executor>, _ instruction: UnsafePointer<DecodedInstruction>) {
        let q = instruction.pointee[0]
        var first = 0
        while first < tokenCount {
            let tokens = first..<min(tokenCount, first &+ AttentionShape.tokenTile)
            let products = tokens.count &* q.width &* visiblePositions(tokens.upperBound &- 1, instruction)
            let isSmall = products < Self.smallAttentionProducts
            let tile = AttentionTile(
                tokens: tokens, shape: shape(of: instruction, tokens.count, workers: isSmall ? 1 : workers.count), rows: attentionRows)
            workers.perform(
                Task(executor, instruction, .heads(tile), itemCount: tile.shape.calls(tokenCount: tokens.count)), isSmall: isSmall)
            if instruction.pointee[4].isPresent {
                workers.perform(
                    Task(executor, instruction, .quantizeAttention(tile), itemCount: tokens.count),
                    isSmall: tokens.count &* q.width < Self.smallElements)
            }
            first = tokens.upperBound
        }
    }

    /// The same for some tokens, by one worker.
    func attendTokens(_ tokens: Range<Int>, of instruction: UnsafePointer<DecodedInstruction>, worker: Int) {
        let q = instruction.pointee[0]
        var first = tokens.lowerBound
        while first < tokens.upperBound {
            let end = min(tokens.upperBound, first &+ attentionTokens)
            let tile = AttentionTile(
                tokens: first..<end, shape: shape(of: instruction, end &- first, workers: 1),
                rows: attentionRows + worker &* attentionTokens &* q.width)
            for call in 0..<tile.shape.calls(tokenCount: end &- first) { attend(call, of: instruction, tile, worker: worker) }
            if instruction.pointee[4].isPresent {
                quantizeAttention(first..<end, of: instruction, tile)
            }
            first = end
        }
    }

    private func shape(of instruction: UnsafePointer<DecodedInstruction>, _ tokenCount: Int, workers: Int) -> AttentionShape {
        let q = instruction.pointee[0]
        return AttentionShape(
            (q.groups, q.isQuantized), sharedHeads: instruction.pointee[1].groups, tokenCount: tokenCount, workers: workers,
            mostRows: mostAttentionRows)
    }

    /// Positions that a row attends to.
    private func visiblePositions(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>) -> Int {
        instruction.pointee.integers[0] == 1 ? position &+ row &+ 1 : tokenCount
    }

    func quantizeAttention(_ tokens: Range<Int>, of instruction: UnsafePointer<DecodedInstruction>, _ tile: AttentionTile) {
        let out = instruction.pointee[3]
        quantizeRows(
            tokens, from: tile.row(tokens.lowerBound, of: instruction),
            stride: out.isPresent ? out.rowByteCount / 4 : instruction.pointee[0].width, to: instruction.pointee[4])
    }

    /// Item: (run of tokens, run of shared heads, run of the heads of each) of a tile.
    func attend(_ item: Int, of instruction: UnsafePointer<DecodedInstruction>, _ tile: AttentionTile, worker: Int) {
        let q = instruction.pointee[0]
        let k = instruction.pointee[1]
        let v = instruction.pointee[2]
        let shape = tile.shape
        let row = tile.tokens.lowerBound &+ item / shape.runs &* shape.tokens
        let tokens = min(shape.tokens, tile.tokens.upperBound &- row)
        let sharedHead = item % shape.runs / shape.headRuns &* shape.sharedHeads
        let sharedHeads = min(shape.sharedHeads, shape.allSharedHeads &- sharedHead)
        let group = Int(q.groups) / shape.allSharedHeads
        let headInGroup = item % shape.headRuns &* shape.heads
        let heads = min(shape.heads, group &- headInGroup)
        let head = sharedHead &* group &+ headInGroup

        let query = q.row(row) + head &* q.groupByteCount
        let keys = k.address + sharedHead &* k.groupStride
        let values = v.address + sharedHead &* v.groupStride
        let out = instruction.pointee[3]
        let y = tile.row(row, of: instruction) + head &* Int(q.columns)
        let yStride = out.isPresent ? out.rowByteCount / 4 : q.width
        let length = UInt32(truncatingIfNeeded: visiblePositions(row, instruction))
        let growth: UInt32 = instruction.pointee.integers[0] == 1 ? 1 : 0
        let scratch = attentionScratch + worker &* attentionScratchByteCount
        if q.isQuantized {
            let share = instruction.pointee.next.share(worker, of: workers.count)
            // The layer before asks for the beginning where it runs in shares; elsewhere it is read as it comes.
            let next = UnsafeRawBufferPointer(rebasing: share.dropFirst(16384))
            var arguments = shrink_attention_q8_args(
                q: query.assumingMemoryBound(to: UInt8.self), k: keys.assumingMemoryBound(to: UInt8.self),
                v: values.assumingMemoryBound(to: UInt8.self), in_panels: k.isInPanels ? 1 : 0, q_stride: q.rowByteCount,
                k_stride: k.isInPanels ? k.panelByteCount : k.rowByteCount,
                v_stride: v.isInPanels ? v.panelByteCount : v.rowByteCount, head_stride: k.groupStride, tokens: UInt32(truncatingIfNeeded: tokens),
                shared_heads: UInt32(truncatingIfNeeded: sharedHeads), heads: UInt32(truncatingIfNeeded: heads), length: length,
                growth: growth, head_dim: q.columns, scale: instruction.pointee.float, scratch: scratch, y: y, y_stride: yStride,
                next: next.baseAddress, next_bytes: next.count)
            kernels.pointee.attention_q8(&arguments)
        } else {
            var arguments = shrink_attention_f32_args(
                q: query.assumingMemoryBound(to: Float.self), k: keys.assumingMemoryBound(to: Float.self),
                v: values.assumingMemoryBound(to: Float.self), q_stride: q.rowByteCount / 4, k_stride: k.rowByteCount / 4,
                v_stride: v.rowByteCount / 4, tokens: UInt32(truncatingIfNeeded: tokens),
                heads: UInt32(truncatingIfNeeded: heads), length: length, growth: growth, head_dim: q.columns,
                scale: instruction.pointee.float, scratch: scratch, y: y, y_stride: yStride)
            kernels.pointee.attention_f32(&arguments)
        }
    }
}
