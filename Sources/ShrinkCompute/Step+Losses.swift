import ShrinkGraph

extension Step {
    /// `inputs` are the prediction, the target and perhaps the rows that count; `gradient` is what the gradient of
    /// the loss is and where that of the prediction goes.
    func loss(
        _ loss: Loss, _ node: Graph.Node, _ inputs: ArraySlice<ValueID>, gradient: (seed: Float, result: ValueID)?, into result: ValueID
    ) throws {
        let inputs = Array(inputs)
        let x = try pointer(inputs[0]), width = width(inputs[0]), rows = rows(inputs[0])
        let dx = try gradient.map { try pointer($0.result) }
        let labels = loss.function == .crossEntropy ? try integers(inputs[1]) : nil
        let target = loss.function == .crossEntropy ? nil : try pointer(inputs[1])
        let marks = try labels ?? (inputs.count == 3 ? integers(inputs[2]) : nil)
        let top = loss.function == .topTargets ? try topCount(inputs[1], classes: width) : 0
        if let wrong = labels?.first(where: { Int($0) >= width }) { throw ComputeError("the label \(wrong) is none of the \(width) classes") }
        let counted = marks.map { $0.reduce(0) { $0 + ($1 < 0 ? 0 : 1) } } ?? rows
        let share = loss.reduction == .mean ? 1 / Float(max(counted, 1)) : 1
        let factor = (gradient?.seed ?? 0) * share

        var losses = [Float](repeating: 0, count: rows)
        losses.withUnsafeMutableBufferPointer { losses in
            let losses = losses.baseAddress!
            threads.forRows(rows, width: width) { part in
                for row in part {
                    let start = row * width, prediction = x + start, gradient = dx.map { $0 + start }
                    if let marks, marks[row] < 0 {
                        gradient?.update(repeating: 0, count: width)
                        continue
                    }
                    switch loss.function {
                    case .crossEntropy: losses[row] = kernels.cross_entropy(prediction, Int(labels![row]), factor, gradient, width)
                    case .softTargets:
                        losses[row] = kernels.soft_targets(
                            prediction, target! + start, Float(loss.temperature), Float(loss.skew), factor, gradient, width)
                    case .topTargets:
                        withUnsafeTemporaryAllocation(of: Float.self, capacity: top + width) { work in
                            let target = target! + row * (2 * top + 1)
                            losses[row] = kernels.top_targets(
                                prediction, target, target + top, top, Float(loss.temperature), Float(loss.skew), factor, gradient,
                                work.baseAddress!, width)
                        }
                    case .squaredError: losses[row] = kernels.squared_error(prediction, target! + start, factor, gradient, width)
                    case .cosine: losses[row] = kernels.cosine(prediction, target! + start, factor, gradient, width)
                    }
                }
            }
        }
        let sum = losses.reduce(0.0) { $0 + Double($1) }
        try pointer(result).pointee = Float(loss.reduction == .mean ? sum / Double(max(counted, 1)) : sum)
    }

    /// How many classes each row of a target of `topTargets` names, each of which must be one of `classes`.
    private func topCount(_ target: ValueID, classes: Int) throws -> Int {
        let count = width(target) / 2, numbers = try pointer(target)
        for row in 0..<rows(target) {
            for index in 0..<count {
                let number = numbers[row * (2 * count + 1) + index]
                guard number >= 0, number < Float(classes), number == number.rounded() else {
                    throw ComputeError("the teacher names the class \(number), where there are \(classes)")
                }
            }
        }
        return count
    }
}
