import CShrinkKernels
import ShrinkFormat

/// How attention is cut into kernel calls: query rows of as many heads and tokens as share keys and
/// values, within a bound that keeps a worker's scores in its cache.
struct AttentionShape {
    /// Query rows of one call.
    private static let mostRows = 64
    /// The most tokens whose float output is held until all of their heads are done.
    static let tokenTile = 64

    let sharedHeads: Int
    /// Heads of one call; they use the same keys and values.
    let heads: Int
    let headRuns: Int
    /// Tokens of one call.
    let tokens: Int

    init(heads: Int, sharedHeads: Int) {
        let group = heads / sharedHeads
        self.sharedHeads = sharedHeads
        headRuns = (group &+ Self.mostRows &- 1) / Self.mostRows
        self.heads = (group &+ headRuns &- 1) / headRuns
        tokens = min(Self.tokenTile, Self.mostRows / self.heads)
    }

    func rows(chunk: Int) -> Int { heads &* min(tokens, chunk) }

    /// Kernel calls of a tile.
    func calls(_ tile: AttentionTile) -> Int { (tile.tokens.count &+ tokens &- 1) / tokens &* sharedHeads &* headRuns }
}

/// Tokens whose attention is computed before any of it is quantized, and the float rows that hold it meanwhile where
/// the program does not want them.
struct AttentionTile {
    var tokens: Range<Int>
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
        let shape = AttentionShape(heads: Int(q.groups), sharedHeads: Int(instruction.pointee[1].groups))
        var first = 0
        while first < tokenCount {
            let tile = AttentionTile(tokens: first..<min(tokenCount, first &+ AttentionShape.tokenTile), rows: attentionRows)
            let tokens = tile.tokens.count
            let products = tokens &* q.width &* visiblePositions(tile.tokens.upperBound &- 1, instruction)
            workers.perform(
                Task(executor, instruction, .heads(tile), itemCount: shape.calls(tile)),
                isSmall: products < Self.smallAttentionProducts)
            if instruction.pointee[4].isPresent {
                workers.perform(
                    Task(executor, instruction, .quantizeAttention(tile), itemCount: tokens),
                    isSmall: tokens &* q.width < Self.smallElements)
            }
            first &+= tokens
        }
    }

    /// The same for some tokens, by one worker.
    func attendTokens(_ tokens: Range<Int>, of instruction: UnsafePointer<DecodedInstruction>, worker: Int) {
        let q = instruction.pointee[0]
        let shape = AttentionShape(heads: Int(q.groups), sharedHeads: Int(instruction.pointee[1].groups))
        var first = tokens.lowerBound
        while first < tokens.upperBound {
            let end = min(tokens.upperBound, first &+ attentionTokens)
            let tile = AttentionTile(tokens: first..<end, rows: attentionRows + worker &* attentionTokens &* q.width)
            for call in 0..<shape.calls(tile) { attend(call, of: instruction, tile, worker: worker) }
            if instruction.pointee[4].isPresent {
                for row in first..<end { quantizeAttention(row, of: instruction, tile) }
            }
            first = end
        }
    }

    /// Positions that a row attends to.
    private func visiblePositions(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>) -> Int {
        instruction.pointee.integers[0] == 1 ? position &+ row &+ 1 : tokenCount
    }

    func quantizeAttention(_ row: Int, of instruction: UnsafePointer<DecodedInstruction>, _ tile: AttentionTile) {
        let quantizedOut = instruction.pointee[4]
        quantizeGroups(tile.row(row, of: instruction), to: quantizedOut, row: quantizedOut.row(row))
    }

    /// Item: (run of tokens, shared head, run of its heads) of a tile.
    func attend(_ item: Int, of instruction: UnsafePointer<DecodedInstruction>, _ tile: AttentionTile, worker: Int) {
        let q = instruction.pointee[0]
        let k = instruction.pointee[1]
        let v = instruction.pointee[2]
        let shape = AttentionShape(heads: Int(q.groups), sharedHeads: Int(k.groups))
        let runs = shape.sharedHeads &* shape.headRuns
        let row = tile.tokens.lowerBound &+ item / runs &* shape.tokens
        let tokens = min(shape.tokens, tile.tokens.upperBound &- row)
        let sharedHead = item % runs / shape.headRuns
        let group = Int(q.groups) / shape.sharedHeads
        let headInGroup = item % shape.headRuns &* shape.heads
        let heads = min(shape.heads, group &- headInGroup)
        let head = sharedHead &* group &+ headInGroup

        let query = q.row(row) + head &* q.groupByteCount
        let keys = k.address + sharedHead &* k.groupByteCount
        let values = v.address + sharedHead &* v.groupByteCount
        let out = instruction.pointee[3]
        let y = tile.row(row, of: instruction) + head &* Int(q.columns)
        let yStride = out.isPresent ? out.rowByteCount / 4 : q.width
        let length = UInt32(truncatingIfNeeded: visiblePositions(row, instruction))
        let growth: UInt32 = instruction.pointee.integers[0] == 1 ? 1 : 0
        let scratch = attentionScratch + worker &* attentionScratchByteCount
        if q.isQuantized {
            var arguments = shrink_attention_q8_args(
                q: query.assumingMemoryBound(to: UInt8.self), k: keys.assumingMemoryBound(to: UInt8.self),
                v: values.assumingMemoryBound(to: UInt8.self), q_stride: q.rowByteCount, k_stride: k.rowByteCount,
                v_stride: v.rowByteCount, tokens: UInt32(truncatingIfNeeded: tokens), heads: UInt32(truncatingIfNeeded: heads),
                length: length, growth: growth, head_dim: q.columns, scale: instruction.pointee.float, scratch: scratch,
                y: y, y_stride: yStride)
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
