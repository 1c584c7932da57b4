import CShrinkKernels
import ShrinkFormat

extension Executor {
    /// Floats before the quantized row in `gates`.
    static func gateElements(_ rows: UInt32) -> Int { (Int(rows) &+ 3) & ~3 }

    /// Token after token: W_hh·h as a linear layer of one row, shared out as others are, then the gates.
    func runRecurrent(_ executor: UnsafePointer<Executor>, _ instruction: UnsafePointer<DecodedInstruction>) {
        let x = instruction.pointee[0]
        let weight = instruction.pointee[1]
        let carry = instruction.pointee[5]
        let out = instruction.pointee[6]
        let quantizedOut = instruction.pointee[7]
        let width = Int(weight.columns)
        let h = carry.floats(0)
        if !carry.isCarry { for row in 0..<Int(carry.rows) { carry.floats(row).update(repeating: 0, count: width) } }

        let isQuantized = instruction.pointee[2].isPresent
        var hidden = Operand(base: carry.base, rowByteCount: carry.rowByteCount, rows: 1, groups: 1, columns: weight.columns)
        if isQuantized {
            hidden.base = gates + Self.gateElements(weight.rows) &* 4
            hidden.isQuantized = true
        }
        let s = Operand(base: gates, rows: 1, groups: 1, columns: weight.rows)
        var product = instruction.pointee
        product.opcode = .linear
        product.operands[0] = hidden
        product.operands[5] = s
        let isReversed = instruction.pointee.integers[1] == 1
        let cell = RecurrentCell(rawValue: instruction.pointee.integers[0]) ?? .tanh
        withUnsafePointer(to: product) { product in
            for step in 0..<tokenCount {
                let row = isReversed ? tokenCount &- 1 &- step : step
                if isQuantized { quantizeGroups(h, to: hidden, row: hidden.address) }
                runLinearOfOneRow(executor, product)
                apply(cell, x.floats(row), s.floats(0), h, carry.floats(1), width)
                if out.isPresent { copy(width, from: h, to: out.floats(row)) }
                if quantizedOut.isPresent { quantizeGroups(h, to: quantizedOut, row: quantizedOut.row(row)) }
            }
        }
    }

    /// The formulas of `RecurrentCell`, operation by operation; `s` is overwritten.
    private func apply(
        _ cell: RecurrentCell, _ x: UnsafePointer<Float>, _ s: UnsafeMutablePointer<Float>, _ h: UnsafeMutablePointer<Float>,
        _ c: UnsafeMutablePointer<Float>, _ width: Int
    ) {
        let k = kernels.pointee
        let (second, third, fourth) = (s + width, s + 2 &* width, s + 3 &* width)
        switch cell {
        case .tanh:
            k.add(x, s, width, s)
            k.tanh(s, width, h)
        case .gru:
            k.add(x, s, 2 &* width, s)
            k.sigmoid(s, 2 &* width, s)
            k.mul(s, third, width, third)
            k.add(x + 2 &* width, third, width, third)
            k.tanh(third, width, third)
            k.scale(third, -1, width, s)
            k.add(h, s, width, s)
            k.mul(second, s, width, s)
            k.add(third, s, width, h)
        case .lstm:
            k.add(x, s, 4 &* width, s)
            k.sigmoid(s, 2 &* width, s)
            k.tanh(third, width, third)
            k.sigmoid(fourth, width, fourth)
            k.mul(second, c, width, c)
            k.mul(s, third, width, s)
            k.add(c, s, width, c)
            k.tanh(c, width, third)
            k.mul(fourth, third, width, h)
        }
    }
}
