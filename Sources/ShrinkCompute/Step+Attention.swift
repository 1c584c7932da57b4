import CHostKernels
import ShrinkGraph

/// Rows of one head: of q, k, v, or a gradient of them.
private struct Heads {
    var base: UnsafeMutablePointer<Float>
    var stride: Int
    let headSize: Int

    func head(_ head: Int, row: Int) -> UnsafeMutablePointer<Float> { base + row * stride + head * headSize }
}

/// Attention in blocks of queries: the scores of one block and head are all that exists at a time.
extension Step {
    private static let block = 128

    private func split(_ attention: Attention, _ values: [ValueID]) throws -> (q: Heads, k: Heads, v: Heads) {
        let size = attention.headSize, queries = attention.heads * size, shared = attention.keyValueHeads * size
        if attention.isPacked {
            let base = try pointer(values[0]), stride = queries + 2 * shared
            return (
                Heads(base: base, stride: stride, headSize: size), Heads(base: base + queries, stride: stride, headSize: size),
                Heads(base: base + queries + shared, stride: stride, headSize: size)
            )
        }
        return (
            Heads(base: try pointer(values[0]), stride: queries, headSize: size),
            Heads(base: try pointer(values[1]), stride: shared, headSize: size),
            Heads(base: try pointer(values[2]), stride: shared, headSize: size)
        )
    }

    private func scores(_ attention: Attention, rows: Range<Int>, length: Int) -> host_scores {
        let columns = attention.isCausal ? rows.upperBound : length
        return host_scores(
            rows: rows.count, columns: columns, stride: columns, visible: attention.isCausal ? rows.lowerBound + 1 : length,
            step: attention.isCausal ? 1 : 0, count: length)
    }

    /// Blocks of the rows below `length`, the last one first.
    private func blocks(_ length: Int) -> [Range<Int>] {
        stride(from: 0, to: length, by: Step.block).map { $0..<min($0 + Step.block, length) }.reversed()
    }

    func attention(_ attention: Attention, _ node: Graph.Node) throws {
        let (q, k, v) = try split(attention, node.inputs), size = attention.headSize, heads = attention.heads
        let result = node.results[0], y = Heads(base: try pointer(result), stride: heads * size, headSize: size)
        let tokens = shape(result).dropLast().last ?? 1, sequences = rows(result) / max(tokens, 1), blas = executor.blas
        let lengths = try lengths(node.inputs.dropFirst(attention.isPacked ? 1 : 3).first, sequences: sequences)
        let sums = attention.savesLogSumExp ? try pointer(node.results.last!) : nil
        let steps = self.steps[node.inputs[attention.isPacked ? 0 : 2]]
        /// Where a head's values stand among the groups that were quantized.
        func group(_ shared: Int, _ steps: HostTensor) -> Int {
            attention.isPacked ? heads + attention.keyValueHeads + shared : shared * steps.width / attention.keyValueHeads
        }
        let scratchCount = min(Step.block, tokens) * tokens, scratch = executor.scratch(threads.count * scratchCount)
        threads.forEach(sequences * heads) { task, worker in
            let head = task % heads, shared = head / (heads / attention.keyValueHeads), first = task / heads * tokens
            let length = lengths?[task / heads] ?? tokens, block = scratch + worker * scratchCount
            for rows in blocks(length) {
                let scores = scores(attention, rows: rows, length: length), row = first + rows.lowerBound
                blas.multiply(
                    rows: rows.count, columns: scores.columns, inner: size, alpha: Float(attention.scale),
                    Factor(base: q.head(head, row: row), stride: q.stride),
                    Factor(base: k.head(shared, row: first), stride: k.stride, isTransposed: true), into: block, scores.stride)
                kernels.softmax(block, scores, sums.map { $0 + row * heads + head }, heads)
                if let steps {
                    for query in 0..<rows.count {
                        let seen = min(scores.visible + query * scores.step, scores.count)
                        FakeQuantization.shares(
                            block + query * scores.stride, count: seen, steps: steps.base + first * steps.width + group(shared, steps), stride: steps.width)
                    }
                }
                blas.multiply(
                    rows: rows.count, columns: size, inner: scores.columns, Factor(base: block, stride: scores.stride),
                    Factor(base: v.head(shared, row: first), stride: v.stride), into: y.head(head, row: row), y.stride)
            }
            for row in length..<tokens { y.head(head, row: first + row).update(repeating: 0, count: size) }
        }
    }

    /// With P the probabilities, S the scores and o the result of a head: dV = Pᵀ do, dP = do Vᵀ,
    /// dS = P (dP − rowsum(do o)), dQ = dS K × scale, dK = dSᵀ Q × scale. Heads that share keys and values are
    /// one task, which adds theirs up in their order.
    func attentionGradient(_ attention: Attention, _ node: Graph.Node) throws {
        let own = attention.isPacked ? 1 : 3, heads = attention.heads, size = attention.headSize, group = heads / attention.keyValueHeads
        let (q, k, v) = try split(attention, Array(node.inputs[3..<3 + own]))
        let (dq, dk, dv) = try split(attention, node.results)
        let gradient = Heads(base: try pointer(node.inputs[0]), stride: heads * size, headSize: size)
        let result = Heads(base: try pointer(node.inputs[1]), stride: heads * size, headSize: size)
        let sums = try pointer(node.inputs[2]), blas = executor.blas
        let tokens = shape(node.inputs[0]).dropLast().last ?? 1, sequences = rows(node.inputs[0]) / max(tokens, 1)
        let lengths = try lengths(node.inputs.dropFirst(3 + own).first, sequences: sequences)
        let height = min(Step.block, tokens), scratchCount = 2 * height * tokens + height
        let scratch = executor.scratch(threads.count * scratchCount)
        threads.forEach(sequences * attention.keyValueHeads) { task, worker in
            let shared = task % attention.keyValueHeads, sequence = task / attention.keyValueHeads, first = sequence * tokens
            let length = lengths?[sequence] ?? tokens
            let p = scratch + worker * scratchCount, d = p + height * tokens, delta = d + height * tokens
            for head in shared * group..<(shared + 1) * group {
                for rows in blocks(length) {
                    let scores = scores(attention, rows: rows, length: length), row = first + rows.lowerBound
                    // The last block of the first head sees all keys, so it sets what the others add to.
                    let beta: Float = head == shared * group && rows.upperBound == length ? 0 : 1
                    blas.multiply(
                        rows: rows.count, columns: scores.columns, inner: size, alpha: Float(attention.scale),
                        Factor(base: q.head(head, row: row), stride: q.stride),
                        Factor(base: k.head(shared, row: first), stride: k.stride, isTransposed: true), into: p, scores.stride)
                    blas.multiply(
                        rows: rows.count, columns: scores.columns, inner: size, Factor(base: gradient.head(head, row: row), stride: gradient.stride),
                        Factor(base: v.head(shared, row: first), stride: v.stride, isTransposed: true), into: d, scores.stride)
                    kernels.row_dots(
                        gradient.head(head, row: row), gradient.stride, result.head(head, row: row), result.stride, delta, rows.count, size)
                    kernels.softmax_gradient(p, d, scores, sums + row * heads + head, heads, delta, Float(attention.scale))
                    blas.multiply(
                        rows: scores.columns, columns: size, inner: rows.count, Factor(base: p, stride: scores.stride, isTransposed: true),
                        Factor(base: gradient.head(head, row: row), stride: gradient.stride), beta: beta, into: dv.head(shared, row: first), dv.stride)
                    blas.multiply(
                        rows: scores.columns, columns: size, inner: rows.count, Factor(base: d, stride: scores.stride, isTransposed: true),
                        Factor(base: q.head(head, row: row), stride: q.stride), beta: beta, into: dk.head(shared, row: first), dk.stride)
                    blas.multiply(
                        rows: rows.count, columns: size, inner: scores.columns, Factor(base: d, stride: scores.stride),
                        Factor(base: k.head(shared, row: first), stride: k.stride), into: dq.head(head, row: row), dq.stride)
                }
                for row in length..<tokens { dq.head(head, row: first + row).update(repeating: 0, count: size) }
            }
            for row in length..<tokens {
                dk.head(shared, row: first + row).update(repeating: 0, count: size)
                dv.head(shared, row: first + row).update(repeating: 0, count: size)
            }
        }
    }
}
