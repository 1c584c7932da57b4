import CShrinkKernels
import ShrinkFormat

extension Executor {
    /// Rows that go through all blocks of channels together, so that they stay in the second-level cache.
    private static let rowTile = 128

    static func blockCount(_ weight: Operand) -> Int {
        (Int(weight.rows) &+ Program.channelBlock &- 1) / Program.channelBlock
    }

    func runLinear(_ executor: UnsafePointer<Executor>, _ instruction: UnsafePointer<DecodedInstruction>) {
        let rows = rowCount(of: instruction.pointee[0])
        let weight = instruction.pointee[1]
        let tiles = (rows &+ Self.rowTile &- 1) / Self.rowTile
        let task = Task(
            executor, instruction, rows == 1 ? .channelShares : .channels, itemCount: tiles &* Self.blockCount(weight))
        workers.perform(task, isSmall: rows &* weight.width &* Int(weight.rows) < Self.smallLinearProducts)
    }

    /// One row, again and again with the same weight. Every row is a hand-over of its own, of some 2 µs: on Zen 5 with
    /// VNNI two threads lose a third of the speed at 2^18 products, an eighth at 442 000, and double it at 2^20, where
    /// only both second-level caches hold the weight; on slower cores threads pay earlier.
    func runLinearOfOneRow(_ executor: UnsafePointer<Executor>, _ instruction: UnsafePointer<DecodedInstruction>) {
        let weight = instruction.pointee[1]
        let task = Task(executor, instruction, .channelShares, itemCount: Self.blockCount(weight))
        workers.perform(task, isSmall: weight.width &* Int(weight.rows) <= Self.smallRecurrentProducts)
    }

    /// Items are (tile of rows, block of channels); a run of blocks of one tile is one kernel call. `next`: what the worker
    /// reads afterwards.
    func multiplyBlocks(_ items: Range<Int>, of instruction: UnsafePointer<DecodedInstruction>, next: UnsafeRawPointer? = nil) {
        let blocks = Self.blockCount(instruction.pointee[1])
        let rows = rowCount(of: instruction.pointee[0])
        var item = items.lowerBound
        while item < items.upperBound {
            let tile = item / blocks
            let begin = item % blocks
            let count = min(blocks &- begin, items.upperBound &- item)
            let firstRow = tile &* Self.rowTile
            multiply(
                instruction, rows: firstRow..<min(firstRow &+ Self.rowTile, rows), blocks: begin..<(begin &+ count), next: next)
            item &+= count
        }
    }

    /// All channels for some tokens, by one worker.
    func multiplyTokens(_ tokens: Range<Int>, of instruction: UnsafePointer<DecodedInstruction>) {
        let blocks = Self.blockCount(instruction.pointee[1])
        var first = tokens.lowerBound
        while first < tokens.upperBound {
            let end = min(tokens.upperBound, first &+ Self.rowTile)
            multiply(instruction, rows: first..<end, blocks: 0..<blocks, next: nil)
            first = end
        }
    }

    private func multiply(
        _ instruction: UnsafePointer<DecodedInstruction>, rows: Range<Int>, blocks: Range<Int>, next: UnsafeRawPointer?
    ) {
        let x = instruction.pointee[0]
        let weight = instruction.pointee[1]
        let bias = instruction.pointee[4]
        let out = instruction.pointee[5]
        let biasValues: UnsafePointer<Float>? = bias.isPresent ? UnsafePointer(bias.floats(0)) : nil
        if x.isQuantized {
            var arguments = shrink_linear_q8_args(
                x: x.row(rows.lowerBound).assumingMemoryBound(to: UInt8.self), x_stride: x.rowByteCount,
                rows: UInt32(truncatingIfNeeded: rows.count), k: weight.columns, n: weight.rows,
                block_begin: UInt32(truncatingIfNeeded: blocks.lowerBound),
                block_end: UInt32(truncatingIfNeeded: blocks.upperBound),
                w: weight.address.assumingMemoryBound(to: Int8.self), w_scale: instruction.pointee[2].floats(0),
                w_sum: instruction.pointee[3].address.assumingMemoryBound(to: Int32.self), bias: biasValues,
                y: out.floats(rows.lowerBound), y_stride: out.rowByteCount / 4, next: next)
            kernels.pointee.linear_q8(&arguments)
        } else {
            var arguments = shrink_linear_f32_args(
                x: x.floats(rows.lowerBound), x_stride: x.rowByteCount / 4,
                rows: UInt32(truncatingIfNeeded: rows.count), k: weight.columns, n: weight.rows,
                block_begin: UInt32(truncatingIfNeeded: blocks.lowerBound),
                block_end: UInt32(truncatingIfNeeded: blocks.upperBound), w: weight.floats(0), bias: biasValues,
                y: out.floats(rows.lowerBound), y_stride: out.rowByteCount / 4)
            kernels.pointee.linear_f32(&arguments)
        }
    }
}
