import CHostKernels
import ShrinkGraph

/// Relation losses in blocks of rows: the scores of one block and head, the student's and the teacher's, are all
/// that exists at a time.
extension Step {
    private static let block = 128

    /// The values of one side.
    private struct Side {
        let values: (UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>)
        let strides: (Int, Int)
        let shape: RelationLoss.Side
        let heads: Int

        /// Rows of a head from `row` on, of the first and of the second value.
        func first(_ head: Int, row: Int) -> Factor {
            Factor(base: values.0 + row * strides.0 + shape.columns.x + head * shape.headSize, stride: strides.0)
        }

        func second(_ head: Int, row: Int, isTransposed: Bool = false) -> Factor {
            let shared = head / (heads / shape.sharedHeads)
            return Factor(base: values.1 + row * strides.1 + shape.columns.y + shared * shape.headSize, stride: strides.1, isTransposed: isTransposed)
        }
    }

    /// `inputs` are those of `RelationLoss`; `gradients` is what the gradient of the loss is and where those of the
    /// student's values go. With G the gradient of the scores: dA = G B × scale, dB = Gᵀ A × scale.
    func relationLoss(
        _ loss: RelationLoss, _ inputs: ArraySlice<ValueID>, gradients: (seed: Float, first: ValueID, second: ValueID)?, into result: ValueID
    ) throws {
        let inputs = Array(inputs), blas = executor.blas, tokens = shape(inputs[0])[1], sequences = shape(inputs[0])[0]
        func side(_ first: ValueID, _ second: ValueID, _ shape: RelationLoss.Side) throws -> Side {
            Side(values: (try pointer(first), try pointer(second)), strides: (width(first), width(second)), shape: shape, heads: loss.heads)
        }
        let student = try side(inputs[0], inputs[1], loss.student), teacher = try side(inputs[2], inputs[3], loss.teacher)
        let target = try gradients.map { try side($0.first, $0.second, loss.student) }
        if let gradients {
            for value in [gradients.first, gradients.second] {
                let base = try pointer(value)
                threads.forElements(count(value)) { (base + $0.lowerBound).update(repeating: 0, count: $0.count) }
            }
        }
        let lengths = try lengths(inputs.dropFirst(4).first, sequences: sequences)
        let counted = loss.heads * (lengths?.reduce(0, +) ?? sequences * tokens), share = 1 / Float(max(counted, 1))
        let factor = (gradients?.seed ?? 0) * share

        let height = min(Step.block, tokens), scratchCount = 2 * height * tokens
        let scratch = executor.scratch(threads.count * scratchCount), group = loss.heads / loss.student.sharedHeads
        var losses = [Double](repeating: 0, count: sequences * loss.student.sharedHeads)
        losses.withUnsafeMutableBufferPointer { losses in
            let losses = losses.baseAddress!
            threads.forEach(sequences * loss.student.sharedHeads) { task, worker in
                let sequence = task / loss.student.sharedHeads, first = sequence * tokens, length = lengths?[sequence] ?? tokens
                let s = scratch + worker * scratchCount, t = s + height * tokens
                var sum = 0.0
                for head in task % loss.student.sharedHeads * group..<(task % loss.student.sharedHeads + 1) * group {
                    for start in stride(from: 0, to: length, by: Step.block) {
                        let rows = start..<min(start + Step.block, length), row = first + start
                        let columns = loss.isCausal ? rows.upperBound : length
                        for (side, scores) in [(student, s), (teacher, t)] {
                            blas.multiply(
                                rows: rows.count, columns: columns, inner: side.shape.headSize, alpha: Float(side.shape.scale),
                                side.first(head, row: row), side.second(head, row: first, isTransposed: true), into: scores, columns)
                        }
                        let shape = host_scores(
                            rows: rows.count, columns: columns, stride: columns, visible: loss.isCausal ? start + 1 : length,
                            step: loss.isCausal ? 1 : 0, count: length)
                        sum += errors(loss.function, shape, s, t, factor, hasGradient: target != nil)
                        guard let target else { continue }
                        let scale = Float(loss.student.scale), size = loss.student.headSize
                        let da = target.first(head, row: row), db = target.second(head, row: first)
                        blas.multiply(
                            rows: rows.count, columns: size, inner: columns, alpha: scale, Factor(base: s, stride: columns),
                            student.second(head, row: first), into: UnsafeMutablePointer(mutating: da.base), da.stride)
                        blas.multiply(
                            rows: columns, columns: size, inner: rows.count, alpha: scale, Factor(base: s, stride: columns, isTransposed: true),
                            student.first(head, row: row), beta: 1, into: UnsafeMutablePointer(mutating: db.base), db.stride)
                    }
                }
                losses[task] = sum
            }
        }
        try pointer(result).pointee = Float(losses.reduce(0, +) * Double(share))
    }

    /// The sum of the rows' losses. The gradient takes the place of the student's scores.
    private func errors(
        _ function: RelationLoss.Function, _ shape: host_scores, _ student: UnsafeMutablePointer<Float>, _ teacher: UnsafeMutablePointer<Float>,
        _ factor: Float, hasGradient: Bool
    ) -> Double {
        if function == .probabilities { for scores in [student, teacher] { kernels.softmax(scores, shape, nil, 0) } }
        var sum = 0.0
        for row in 0..<shape.rows {
            let seen = min(shape.visible + row * shape.step, shape.count)
            let s = student + row * shape.stride, t = teacher + row * shape.stride, gradient = hasGradient ? s : nil
            switch function {
            case .divergence: sum += Double(kernels.soft_targets(s, t, 1, 0, factor, gradient, seen))
            case .probabilities: sum += Double(kernels.probability_error(s, t, factor, gradient, seen))
            case .scores: sum += Double(kernels.squared_error(s, t, factor, gradient, seen))
            }
            (s + seen).update(repeating: 0, count: shape.columns - seen)
        }
        return sum
    }
}
