import ShrinkFormat

/// The weights of the linear layer behind an instruction. A kernel that has read its own asks memory for these.
struct NextWeights {
    var base: UnsafeRawPointer?
    var blockCount = 0
    var blockByteCount = 0

    /// What worker `index` of `count` begins with.
    func share(_ index: Int, of count: Int) -> UnsafeRawBufferPointer {
        let (begin, end) = (index &* blockCount / count, (index &+ 1) &* blockCount / count)
        return UnsafeRawBufferPointer(start: base.map { $0 + begin &* blockByteCount }, count: (end &- begin) &* blockByteCount)
    }
}

extension InstructionDecoder {
    /// Behind the last linear layer comes the first one, for the next token.
    func findNextWeights(_ instructions: UnsafeMutablePointer<DecodedInstruction>) {
        let count = Int(plan.entry.instructionCount)
        var next = NextWeights()
        for i in (0..<(2 &* count)).reversed() {
            let instruction = instructions + i % count
            switch instruction.pointee.opcode {
            case .linear:
                instruction.pointee.next = next
                let weight = instruction.pointee[1]
                guard instruction.pointee[0].isQuantized else { next = NextWeights(); continue }
                next = NextWeights(
                    base: UnsafeRawPointer(weight.address), blockCount: Executor.blockCount(weight),
                    blockByteCount: (weight.width &+ 3) / 4 &* 4 &* Program.channelBlock)
            case .attention: instruction.pointee.next = next
            case .embed, .norm, .quantize, .activate, .binary, .rotary, .selectRow, .meanRows, .l2Normalize, .recurrent, .concatenate:
                break
            }
        }
    }
}
