import CHostKernels
import ShrinkGraph

/// Sequences of a batch as a recurrence goes through them: step by step, those that have a token there side by side.
private struct Recurrence {
    let isReversed: Bool
    let tokens: Int
    /// The longest first, so that those with a token t stand in front, whatever t is.
    let order: [Int]
    let lengths: [Int]

    init(_ recurrent: Recurrent, sequences: Int, tokens: Int, lengths: [Int]?) {
        isReversed = recurrent.isReversed
        self.tokens = tokens
        let lengths = lengths ?? [Int](repeating: tokens, count: sequences)
        self.lengths = lengths
        order = lengths.indices.sorted { (lengths[$1], $0) < (lengths[$0], $1) }
    }

    /// Tokens in the order in which the state goes through them.
    var steps: [Int] {
        let range = 0..<(order.first.map { lengths[$0] } ?? 0)
        return isReversed ? range.reversed() : Array(range)
    }

    func active(_ token: Int) -> Int { order.firstIndex { lengths[$0] <= token } ?? order.count }

    /// The row of the token from which the state comes to this one; nil where it starts at zero.
    func rowBefore(_ sequence: Int, _ token: Int) -> Int? { row(sequence, isReversed ? token + 1 : token - 1) }
    func rowAfter(_ sequence: Int, _ token: Int) -> Int? { row(sequence, isReversed ? token - 1 : token + 1) }
    private func row(_ sequence: Int, _ token: Int) -> Int? { 0..<lengths[sequence] ~= token ? sequence * tokens + token : nil }

    /// Calls `body` with the rows behind the ends of sequences.
    func forPadding(_ body: (Range<Int>) -> Void) {
        for (sequence, length) in lengths.enumerated() where length < tokens { body(sequence * tokens + length..<(sequence + 1) * tokens) }
    }
}

/// Parts of one piece of scratch memory.
private struct Parts {
    private(set) var count = 0
    mutating func take(_ floats: Int) -> Int {
        defer { count += (floats + 15) / 16 * 16 }
        return count
    }
}

extension Step {
    /// Steps forward. Threads share units, so that each keeps its part of the weight in its cache.
    func recurrent(_ recurrent: Recurrent, _ node: Graph.Node) throws {
        let inputs = node.inputs, hasBias = recurrent.hasBias(inputs.map { graph[$0].type }), cell = recurrent.cell
        let width = width(node.results[0]), gateCount = cell.gateCount, saves = recurrent.savesStates && cell != .rnn
        let tokens = shape(inputs[0]).dropLast().last ?? 1, sequences = rows(inputs[0]) / max(tokens, 1)
        let lengths = try lengths(inputs.dropFirst(hasBias ? 3 : 2).first, sequences: sequences)
        let recurrence = Recurrence(recurrent, sequences: sequences, tokens: tokens, lengths: lengths)
        let bias = hasBias ? try pointer(inputs[2]) : nil, hidden = try pointer(node.results[0])
        let gates = try writable(inputs[0], as: saves ? node.results.dropLast().last : nil)
        let blocks = (width + 15) / 16

        var parts = Parts()
        let packedPart = parts.take(blocks * 16 * gateCount * width), zeroPart = parts.take(width)
        let statePart = parts.take(sequences * width), quantizedPart = parts.take(recurrent.quantizesState ? sequences * width : 0)
        let scratch = executor.scratch(parts.count)
        let packed = scratch + packedPart, zeros = scratch + zeroPart, quantized = scratch + quantizedPart
        zeros.update(repeating: 0, count: width)
        let weight = try pointer(inputs[1])
        threads.forShares(blocks) { kernels.recurrent_pack(weight, gateCount, width, packed, $0.lowerBound, $0.upperBound) }
        let states = saves ? try pointer(node.results[node.results.count - 1]) : scratch + statePart
        if !saves { states.update(repeating: 0, count: sequences * width) }
        recurrence.forPadding { (hidden + $0.lowerBound * width).update(repeating: 0, count: $0.count * width) }

        let list = UnsafeMutablePointer<host_recurrent_row>.allocate(capacity: sequences)
        defer { list.deallocate() }
        for token in recurrence.steps {
            let active = recurrence.active(token)
            for position in 0..<active {
                let sequence = recurrence.order[position], row = sequence * tokens + token
                let rowBefore = recurrence.rowBefore(sequence, token)
                let before = rowBefore.map { UnsafePointer(hidden + $0 * width) } ?? UnsafePointer(zeros)
                let stateBefore = saves ? rowBefore.map { UnsafePointer(states + $0 * width) } ?? UnsafePointer(zeros) : UnsafePointer(states + sequence * width)
                list[position] = host_recurrent_row(
                    gates: gates + row * gateCount * width, before: before, factor: recurrent.quantizesState ? UnsafePointer(quantized + position * width) : before,
                    hidden: hidden + row * width, state_before: stateBefore, state: states + (saves ? row : sequence) * width)
            }
            if recurrent.quantizesState {
                threads.forRows(active, width: width) { rows in
                    for row in rows { _ = FakeQuantization.activations(list[row].before, quantized + row * width, width: width) }
                }
            }
            threads.forShares(blocks) {
                kernels.recurrent(cell.kernel, list, active, packed, bias, width, saves ? 1 : 0, $0.lowerBound, $0.upperBound)
            }
        }
        if recurrent.alsoQuantized { try quantize(node.results[0], into: node.results[1]) }
    }

    /// Back through time; then the gradient of the weight as one product over all steps.
    func recurrentGradient(_ payload: RecurrentGradient, _ node: Graph.Node) throws {
        let inputs = node.inputs, cell = payload.recurrent.cell, gateCount = cell.gateCount, width = width(inputs[1])
        let tokens = shape(inputs[1]).dropLast().last ?? 1, sequences = rows(inputs[1]) / max(tokens, 1), total = sequences * tokens
        let lengths = try lengths(inputs.dropFirst(payload.stateCount + 1).first, sequences: sequences)
        let recurrence = Recurrence(payload.recurrent, sequences: sequences, tokens: tokens, lengths: lengths)
        let dy = try pointer(inputs[0]), hidden = try pointer(inputs[1]), weight = try pointer(inputs[payload.stateCount])
        let gates = cell == .rnn ? try pointer(node.results[0]) : try writable(inputs[2], as: node.results[0])
        let states = cell == .rnn ? hidden : try writable(inputs[3], as: cell == .gru ? node.results.last : nil)
        let panels = (width + 63) / 64, gatesWidth = gateCount * width

        var parts = Parts()
        let packedPart = parts.take(panels * 64 * gatesWidth), zeroPart = parts.take(gatesWidth), carryPart = parts.take(sequences * width)
        let scratch = executor.scratch(parts.count)
        let packed = scratch + packedPart, zeros = scratch + zeroPart, carry = scratch + carryPart
        zeros.update(repeating: 0, count: gatesWidth)
        carry.update(repeating: 0, count: sequences * width)
        threads.forShares(panels) { kernels.recurrent_pack_back(weight, gateCount, width, packed, $0.lowerBound, $0.upperBound) }

        let list = UnsafeMutablePointer<host_recurrent_gradient_row>.allocate(capacity: sequences)
        defer { list.deallocate() }
        let earlier = cell == .lstm ? states : hidden
        for token in recurrence.steps.reversed() {
            let active = recurrence.active(token)
            for position in 0..<active {
                let sequence = recurrence.order[position], row = sequence * tokens + token
                let after = recurrence.rowAfter(sequence, token)
                list[position] = host_recurrent_gradient_row(
                    dy: dy + row * width, hidden: hidden + row * width, gates: gates + row * gatesWidth, state: states + row * width,
                    before: recurrence.rowBefore(sequence, token).map { UnsafePointer(earlier + $0 * width) } ?? UnsafePointer(zeros),
                    carry: carry + sequence * width, gates_after: after.map { UnsafePointer(gates + $0 * gatesWidth) } ?? UnsafePointer(zeros),
                    state_after: after.map { UnsafePointer(states + $0 * width) } ?? UnsafePointer(zeros))
            }
            threads.forShares(panels) { kernels.recurrent_gradient(cell.kernel, list, active, packed, width, $0.lowerBound, $0.upperBound) }
        }
        recurrence.forPadding {
            (gates + $0.lowerBound * gatesWidth).update(repeating: 0, count: $0.count * gatesWidth)
            if cell == .gru { (states + $0.lowerBound * width).update(repeating: 0, count: $0.count * width) }
        }

        // A GRU's n reaches the weight through what r multiplies.
        let direct = cell == .gru ? 2 * width : gatesWidth
        if payload.hasBias {
            try sumOverRows(total, width: gatesWidth, [(pointer(node.results[2]), beta(node.results[2], addend: nil))]) { rows, sums in
                kernels.add_rows(gates + rows.lowerBound * gatesWidth, gatesWidth, sums[0]!, rows.count, direct)
                if cell == .gru { kernels.add_rows(states + rows.lowerBound * width, width, sums[0]! + direct, rows.count, width) }
            }
        }
        let target = try pointer(node.results[1]), beta = try beta(node.results[1], addend: nil)
        guard total > 1 else {
            if beta == 0 { target.update(repeating: 0, count: gatesWidth * width) }
            return
        }
        try withStatesBefore(payload.recurrent, hidden, sequences: sequences, tokens: tokens, width: width) { before in
            let first = payload.recurrent.isReversed ? 0 : 1
            executor.blas.multiply(
                rows: direct, columns: width, inner: total - 1, Factor(base: gates + first * gatesWidth, stride: gatesWidth, isTransposed: true),
                Factor(base: before, stride: width), beta: beta, into: target, on: threads)
            if cell == .gru {
                executor.blas.multiply(
                    rows: width, columns: width, inner: total - 1, Factor(base: states + first * width, stride: width, isTransposed: true),
                    Factor(base: before, stride: width), beta: beta, into: target + direct * width, on: threads)
            }
        }
    }

    /// The memory of `result` with the numbers of `value`; that of `value` itself where no result takes it.
    private func writable(_ value: ValueID, as result: ValueID?) throws -> UnsafeMutablePointer<Float> {
        let source = try pointer(value)
        guard let result else { return source }
        let target = try pointer(result)
        if source != target { threads.forElements(count(value)) { (target + $0.lowerBound).update(from: source + $0.lowerBound, count: $0.count) } }
        return target
    }

    /// Calls `body` with rows such that row i is what the weight multiplied for row i + 1 (reversed: row i + 1 of
    /// `hidden` for row i). Between two sequences the state of the one is no state before the other: it is zero.
    private func withStatesBefore(
        _ recurrent: Recurrent, _ hidden: UnsafeMutablePointer<Float>, sequences: Int, tokens: Int, width: Int,
        _ body: (UnsafePointer<Float>) -> Void
    ) throws {
        let start = hidden + (recurrent.isReversed ? width : 0)
        func edge(_ sequence: Int) -> UnsafeMutablePointer<Float> { hidden + (sequence * tokens - (recurrent.isReversed ? 0 : 1)) * width }
        if recurrent.quantizesState {
            let total = sequences * tokens, scratch = executor.scratch(total * (width + 1))
            FakeQuantization.activations(hidden, scratch, steps: scratch + total * width, rows: total, width: width, groups: 1, on: threads)
            for sequence in 1..<max(sequences, 1) { (scratch + (edge(sequence) - hidden)).update(repeating: 0, count: width) }
            return body(scratch + (start - hidden))
        }
        let kept = executor.scratch(sequences * width)
        for sequence in 1..<max(sequences, 1) {
            (kept + sequence * width).update(from: edge(sequence), count: width)
            edge(sequence).update(repeating: 0, count: width)
        }
        body(start)
        for sequence in 1..<max(sequences, 1) { edge(sequence).update(from: kept + sequence * width, count: width) }
    }
}

extension Recurrent.Cell {
    var kernel: host_cell {
        switch self {
        case .rnn: HOST_RNN
        case .gru: HOST_GRU
        case .lstm: HOST_LSTM
        }
    }
}
