import CShrinkKernels
import ShrinkFormat

/// Runs verified instructions over one step's tokens. It checks nothing and takes no memory.
struct Executor {
    let kernels: UnsafePointer<shrink_kernels>
    let workers: Workers
    let tokens: UnsafePointer<UInt32>
    /// nil: all 0.
    let segments: UnsafePointer<UInt32>?
    let tokenCount: Int
    /// Position of the step's first token.
    let position: Int
    /// One for each worker.
    let attentionScratch: UnsafeMutableRawPointer
    let attentionScratchByteCount: Int
    /// Float output of attention for a tile of tokens, or for each worker one of `attentionTokens`, where the program
    /// wants only its quantized form.
    let attentionRows: UnsafeMutablePointer<Float>
    let attentionTokens: Int
    let mostAttentionRows: Int
    /// One for each worker.
    let scratchRows: UnsafeMutableRawPointer
    let scratchRowByteCount: Int
    /// The gates of one token, then a quantized row.
    let gates: UnsafeMutableRawPointer
    /// How many items of its share each worker has taken, or others for it.
    let takenOfShares: UnsafeMutablePointer<Int64>
    /// Fewest tokens of a worker that takes some through a stretch.
    let fewestTokens: Int
    /// How many positions it takes to attend to for as long as all else of a token takes; infinity where tokens do not
    /// attend to those before.
    let positionsPerToken: Double
    /// Not 0: stop. nil: never.
    let cancelFlag: UnsafePointer<Int32>?

    /// Below these an instruction stays on the calling thread: waking others costs more.
    static let smallElements = 8_192
    static let smallLinearProducts = 131_072
    static let smallRecurrentProducts = 262_144
    static let smallAttentionProducts = 32_768

    func rowCount(of operand: Operand) -> Int {
        operand.rows == 0 ? tokenCount : Int(operand.rows)
    }

    /// `executor` is this one, at an address that workers can read it from.
    func run(_ instruction: UnsafePointer<DecodedInstruction>, from executor: UnsafePointer<Executor>) {
        switch instruction.pointee.opcode {
        case .embed, .norm, .quantize, .activate, .binary, .rotary, .l2Normalize, .concatenate:
            let x = instruction.pointee[0]
            let rows = rowCount(of: x)
            let task = Task(executor, instruction, .rows, itemCount: rows)
            workers.perform(task, isSmall: rows &* x.width < Self.smallElements)
        case .linear: runLinear(executor, instruction)
        case .attention: runAttention(executor, instruction)
        case .selectRow: selectRow(instruction)
        case .meanRows: meanRows(instruction)
        case .recurrent: runRecurrent(executor, instruction)
        }
    }

    // MARK: Stretches

    /// With fewer tokens for each worker the products wait for the weights, which all workers read: then they take
    /// channels, each the weights of its own. Measured for weights that caches hold, and for those of memory.
    static func fewestTokens(weightByteCount: Int) -> Int { weightByteCount <= 32 << 20 ? 8 : 16 }

    /// Runs the instruction and those of its stretch; returns how many. Less than one: it was cancelled.
    func runStretch(_ first: UnsafePointer<DecodedInstruction>, before end: Int, from executor: UnsafePointer<Executor>) -> Int {
        var count = 1
        if workers.count > 1, tokenCount >= workers.count &* fewestTokens {
            while count < end, first[count].follows { count &+= 1 }
        }
        if count == 1 {
            if isCancelled { return 0 }
            run(first, from: executor)
            return 1
        }
        return workers.perform(Task(executor, first, .tokens(instructions: count), itemCount: workers.count), isSmall: false) ? count : 0
    }

    /// Where a worker's tokens begin, the same in all stretches of a step: later tokens attend to more, and all workers
    /// have as much to do. Kernels like even numbers of rows.
    private func firstToken(of worker: Int) -> Int {
        if worker == workers.count { return tokenCount }
        guard positionsPerToken < .infinity else { return tokenCount &* worker / workers.count }
        let (first, count) = (positionsPerToken + Double(position), Double(tokenCount))
        let before = count * (first + count / 2) * Double(worker) / Double(workers.count)
        var (pairs, most) = (0, (tokenCount &+ 1) / 2)
        while pairs < most {
            let middle = (pairs &+ most) / 2
            let tokens = Double(2 &* middle)
            if tokens * (first + tokens / 2) < before { pairs = middle &+ 1 } else { most = middle }
        }
        return min(2 &* pairs, tokenCount)
    }

    var isCancelled: Bool { cancelFlag.map { shrink_atomic_load($0) != 0 } ?? false }

    /// Takes the tokens of one worker through a stretch; false when it was cancelled on the way.
    func runTokens(_ instructions: UnsafeBufferPointer<DecodedInstruction>, worker: Int) -> Bool {
        let tokens = firstToken(of: worker)..<firstToken(of: worker &+ 1)
        for i in instructions.indices {
            if isCancelled { return false }
            guard let instruction = instructions.baseAddress.map({ $0 + i }) else { return true }
            switch instruction.pointee.opcode {
            case .linear: multiplyTokens(tokens, of: instruction)
            case .attention: attendTokens(tokens, of: instruction, worker: worker)
            case .embed, .norm, .quantize, .activate, .binary, .rotary, .l2Normalize, .concatenate:
                performRows(tokens, of: instruction, worker: worker)
            case .selectRow, .meanRows, .recurrent: break
            }
        }
        return true
    }

    // MARK: Rows

    func performRows(_ rows: Range<Int>, of instruction: UnsafePointer<DecodedInstruction>, worker: Int) {
        let x = instruction.pointee[0]
        let out = instruction.pointee[1]
        switch instruction.pointee.opcode {
        case .norm: norm(rows, instruction, worker)
        case .quantize where out.isQuantized && !out.isInPanels:
            quantizeRows(rows, from: x.floats(rows.lowerBound), stride: x.rowByteCount / 4, to: out)
        default: for row in rows { performRow(row, of: instruction, worker: worker) }
        }
    }

    private func performRow(_ row: Int, of instruction: UnsafePointer<DecodedInstruction>, worker: Int) {
        switch instruction.pointee.opcode {
        case .embed: embed(row, instruction)
        case .quantize: quantize(row, instruction, worker)
        case .activate: activate(row, instruction, worker)
        case .binary: binary(row, instruction)
        case .rotary: rotate(row, instruction)
        case .l2Normalize: l2Normalize(row, instruction)
        case .concatenate: concatenate(row, instruction, worker)
        case .norm, .linear, .attention, .selectRow, .meanRows, .recurrent: break
        }
    }

    func scratchRow(_ index: Int) -> UnsafeMutablePointer<Float> {
        (scratchRows + index &* scratchRowByteCount).assumingMemoryBound(to: Float.self)
    }

    /// The row of an optional float output, or a scratch row in its place.
    private func outputRow(_ out: Operand, _ row: Int, _ worker: Int) -> UnsafeMutablePointer<Float> {
        out.isPresent ? out.floats(row) : scratchRow(worker)
    }

    /// One quantized row for each group of `out`.
    func quantizeGroups(_ x: UnsafePointer<Float>, to out: Operand, row: UnsafeMutableRawPointer) {
        let columns = Int(out.columns)
        kernels.pointee.quantize_rows(x, columns, Int(out.groups), columns, row.assumingMemoryBound(to: UInt8.self), out.groupByteCount)
    }

    /// The same for some rows of `out`, in one call where they are one group each; `x` is the first, `stride` floats before
    /// the second.
    func quantizeRows(_ rows: Range<Int>, from x: UnsafePointer<Float>, stride: Int, to out: Operand) {
        if out.groups == 1 {
            kernels.pointee.quantize_rows(
                x, stride, rows.count, Int(out.columns), out.row(rows.lowerBound).assumingMemoryBound(to: UInt8.self), out.rowByteCount)
        } else {
            for row in rows { quantizeGroups(x + (row &- rows.lowerBound) &* stride, to: out, row: out.row(row)) }
        }
    }

    func copy(_ count: Int, from x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>) {
        if UnsafePointer(y) != x { y.update(from: x, count: count) }
    }

    private func embed(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>) {
        let out = instruction.pointee[0]
        let table = instruction.pointee[1]
        let scale = instruction.pointee[2]
        let index: UInt32
        switch EmbedIndex(rawValue: instruction.pointee.integers[0]) {
        case .positions: index = UInt32(truncatingIfNeeded: position &+ row)
        case .segments: index = segments.map { $0[row] } ?? 0
        case .tokens, nil: index = tokens[row]
        }
        let accumulates = instruction.pointee.integers[1]
        let tableRow = index &+ UInt32(bitPattern: instruction.pointee.integers[2])
        if scale.isPresent {
            kernels.pointee.embed_q8(
                table.address.assumingMemoryBound(to: Int8.self), scale.floats(0), tableRow, table.columns, accumulates,
                out.floats(row))
        } else {
            kernels.pointee.embed_f32(table.floats(0), tableRow, table.columns, accumulates, out.floats(row))
        }
    }

    /// Some rows at a time, so that they are still in the first-level cache when they are quantized; only one where a scratch
    /// row is all there is for the result.
    private func norm(_ rows: Range<Int>, _ instruction: UnsafePointer<DecodedInstruction>, _ worker: Int) {
        let step = instruction.pointee[5].isPresent ? 4 : 1
        var first = rows.lowerBound
        while first < rows.upperBound {
            let end = min(first &+ step, rows.upperBound)
            normFew(first..<end, instruction, worker)
            first = end
        }
    }

    private func normFew(_ rows: Range<Int>, _ instruction: UnsafePointer<DecodedInstruction>, _ worker: Int) {
        let residual = instruction.pointee[1]
        let gamma = instruction.pointee[3]
        let beta = instruction.pointee[4]
        let out = instruction.pointee[5]
        let quantizedOut = instruction.pointee[6]
        let width = instruction.pointee[0].width
        let y = outputRow(out, rows.lowerBound, worker)

        var x = instruction.pointee[0]
        if instruction.pointee[2].isPresent || residual.isPresent {
            let sum = instruction.pointee[2].isPresent ? instruction.pointee[2] : out
            for row in rows {
                let s = outputRow(sum, row, worker)
                if residual.isPresent {
                    kernels.pointee.add(x.floats(row), residual.floats(row), width, s)
                } else {
                    copy(width, from: x.floats(row), to: s)
                }
            }
            x = sum
        }
        let source = UnsafePointer(outputRow(x, rows.lowerBound, worker))
        if beta.isPresent {
            kernels.pointee.layer_norm(
                source, x.rowByteCount / 4, rows.count, gamma.floats(0), beta.floats(0), instruction.pointee.float, width, y,
                out.rowByteCount / 4)
        } else {
            kernels.pointee.rms_norm(
                source, x.rowByteCount / 4, rows.count, gamma.floats(0), instruction.pointee.float, width, y, out.rowByteCount / 4)
        }
        guard quantizedOut.isPresent else { return }
        quantizeRows(rows, from: y, stride: out.rowByteCount / 4, to: quantizedOut)
    }

    private func quantize(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>, _ worker: Int) {
        let x = instruction.pointee[0]
        let out = instruction.pointee[1]
        let target = out.row(out.isState ? position &+ row : row)
        if out.isInPanels {
            let rows = UnsafeMutableRawPointer(scratchRow(worker))
            quantizeGroups(x.floats(row), to: out, row: rows)
            out.storeInPanels(UnsafeRawPointer(rows), position: position &+ row)
        } else {
            copy(x.width, from: x.floats(row), to: target.assumingMemoryBound(to: Float.self))
        }
    }

    private func activate(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>, _ worker: Int) {
        let x = instruction.pointee[0]
        let out = instruction.pointee[2]
        let quantizedOut = instruction.pointee[3]
        let width = x.width
        let a = UnsafePointer(x.floats(row))
        var y = outputRow(out, row, worker)
        switch ActivationKind(rawValue: instruction.pointee.integers[0]) {
        case .identity, nil:
            if out.isPresent { copy(width, from: a, to: y) } else { y = x.floats(row) }
        case .relu: kernels.pointee.relu(a, width, y)
        case .silu: kernels.pointee.silu(a, width, y)
        case .geluErf: kernels.pointee.gelu_erf(a, width, y)
        case .geluTanh: kernels.pointee.gelu_tanh(a, width, y)
        case .tanh: kernels.pointee.tanh(a, width, y)
        case .sigmoid: kernels.pointee.sigmoid(a, width, y)
        case .siluMultiply: kernels.pointee.silu_mul(a, instruction.pointee[1].floats(row), width, y)
        }
        if quantizedOut.isPresent { quantizeGroups(y, to: quantizedOut, row: quantizedOut.row(row)) }
    }

    private func binary(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>) {
        let a = instruction.pointee[0].floats(row)
        let b = instruction.pointee[1].floats(row)
        let out = instruction.pointee[2]
        switch BinaryKind(rawValue: instruction.pointee.integers[0]) {
        case .add, nil: kernels.pointee.add(a, b, out.width, out.floats(row))
        case .multiply: kernels.pointee.mul(a, b, out.width, out.floats(row))
        }
    }

    private func rotate(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>) {
        let x = instruction.pointee[0]
        let cosine = instruction.pointee[1].floats(position &+ row)
        let sine = instruction.pointee[2].floats(position &+ row)
        let headSize = Int(x.columns)
        for head in 0..<Int(x.groups) {
            let values = x.floats(row) + head &* headSize
            switch RotaryKind(rawValue: instruction.pointee.integers[0]) {
            case .half, nil: kernels.pointee.rotary_half(values, cosine, sine, headSize / 2)
            case .pairs: kernels.pointee.rotary_pairs(values, cosine, sine, headSize / 2)
            }
        }
    }

    private func l2Normalize(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>) {
        let x = instruction.pointee[0]
        kernels.pointee.l2_normalize(x.floats(row), instruction.pointee.float, x.width, instruction.pointee[1].floats(row))
    }

    private func concatenate(_ row: Int, _ instruction: UnsafePointer<DecodedInstruction>, _ worker: Int) {
        let a = instruction.pointee[0]
        let b = instruction.pointee[1]
        let quantizedOut = instruction.pointee[3]
        let y = outputRow(instruction.pointee[2], row, worker)
        copy(a.width, from: a.floats(row), to: y)
        copy(b.width, from: b.floats(row), to: y + a.width)
        if quantizedOut.isPresent { quantizeGroups(y, to: quantizedOut, row: quantizedOut.row(row)) }
    }

    // MARK: Rows to one

    private func selectRow(_ instruction: UnsafePointer<DecodedInstruction>) {
        let x = instruction.pointee[0]
        let row = instruction.pointee.integers[0] == 1 ? tokenCount &- 1 : 0
        copy(x.width, from: x.floats(row), to: instruction.pointee[1].floats(0))
    }

    private func meanRows(_ instruction: UnsafePointer<DecodedInstruction>) {
        let x = instruction.pointee[0]
        let out = instruction.pointee[1].floats(0)
        copy(x.width, from: x.floats(0), to: out)
        for row in 1..<max(tokenCount, 1) { kernels.pointee.add(out, x.floats(row), x.width, out) }
        kernels.pointee.scale(out, 1 / Float(tokenCount), x.width, out)
    }
}
