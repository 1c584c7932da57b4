import CShrinkKernels
import ShrinkFormat

extension Executor {
    /// Positions that a row attends to.
    private func length(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>) -> Int {
        instruction.pointee.integers[0] == 1 ? position &+ row &+ 1 : tokenCount
    }

    /// Splits by rows when there are enough of them; else by heads, whose float output is quantized
    /// when all are done.
    func runAttention(_ executor: UnsafePointer<Executor>, _ instruction: UnsafePointer<DecodedInstruction>) {
        let q = instruction.pointee[0]
        let isSmall = tokenCount &* q.width &* length(tokenCount &- 1, instruction) < Self.smallAttentionProducts
        if isSmall || tokenCount >= 2 * workers.count {
            workers.perform(Task(executor, instruction, .rows, itemCount: tokenCount), isSmall: isSmall)
            return
        }
        let heads = Int(q.groups)
        workers.perform(Task(executor, instruction, .heads, itemCount: tokenCount &* heads), isSmall: false)
        if instruction.pointee[4].isPresent {
            let isSmall = tokenCount &* q.width < Self.smallElements
            workers.perform(Task(executor, instruction, .quantizeAttention, itemCount: tokenCount), isSmall: isSmall)
        }
    }

    /// All heads of a row, to the float output or the worker's scratch row, then quantized.
    func attend(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>, _ worker: Int) {
        let out = instruction.pointee[3]
        let y = out.isPresent ? out.floats(row) : scratchRow(worker)
        for head in 0..<Int(instruction.pointee[0].groups) {
            attend(row, head, instruction, worker, y)
        }
        let quantizedOut = instruction.pointee[4]
        if quantizedOut.isPresent { quantizeGroups(y, to: quantizedOut, row: quantizedOut.row(row)) }
    }

    /// Item: row × heads + head. There are fewer than 2 × workers rows, as many as scratch rows.
    func attendHead(_ item: Int, of instruction: UnsafePointer<DecodedInstruction>, worker: Int) {
        let heads = Int(instruction.pointee[0].groups)
        let row = item / heads
        attend(row, item % heads, instruction, worker, sharedRow(row, instruction))
    }

    func quantizeAttention(_ row: Int, of instruction: UnsafePointer<DecodedInstruction>) {
        let quantizedOut = instruction.pointee[4]
        quantizeGroups(sharedRow(row, instruction), to: quantizedOut, row: quantizedOut.row(row))
    }

    private func sharedRow(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>) -> UnsafeMutablePointer<Float> {
        let out = instruction.pointee[3]
        return out.isPresent ? out.floats(row) : scratchRow(row)
    }

    private func attend(
        _ row: Int, _ head: Int, _ instruction: UnsafePointer<DecodedInstruction>, _ worker: Int,
        _ y: UnsafeMutablePointer<Float>
    ) {
        let q = instruction.pointee[0]
        let k = instruction.pointee[1]
        let v = instruction.pointee[2]
        let sharedHead = head / (Int(q.groups) / Int(k.groups))
        let query = q.row(row) + head &* q.groupByteCount
        let keys = k.address + sharedHead &* k.groupByteCount
        let values = v.address + sharedHead &* v.groupByteCount
        let workerScores = (scores + worker &* scoreByteCount).assumingMemoryBound(to: Float.self)
        let length = UInt32(truncatingIfNeeded: self.length(row, instruction))
        let headOutput = y + head &* Int(q.columns)
        if q.isQuantized {
            var arguments = shrink_attention_q8_args(
                q: query.assumingMemoryBound(to: UInt8.self), k: keys.assumingMemoryBound(to: UInt8.self),
                v: values.assumingMemoryBound(to: UInt8.self), k_stride: k.rowByteCount, v_stride: v.rowByteCount,
                length: length, head_dim: q.columns, scale: instruction.pointee.float, scores: workerScores, y: headOutput)
            kernels.pointee.attention_q8(&arguments)
        } else {
            var arguments = shrink_attention_f32_args(
                q: query.assumingMemoryBound(to: Float.self), k: keys.assumingMemoryBound(to: Float.self),
                v: values.assumingMemoryBound(to: Float.self), k_stride: k.rowByteCount / 4, v_stride: v.rowByteCount / 4,
                length: length, head_dim: q.columns, scale: instruction.pointee.float, scores: workerScores, y: headOutput)
            kernels.pointee.attention_f32(&arguments)
        }
    }
}
