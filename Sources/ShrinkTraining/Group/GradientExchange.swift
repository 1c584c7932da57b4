import ShrinkCompute

/// Adds up the gradients of a group's processes, beginning while the backward pass still runs.
///
/// Gradients lie in memory in the order in which they are completed. As soon as a part of about a megabyte is complete its sum begins.
/// The parts follow from the graph alone, so that all processes begin the same sums in the same order.
final class GradientExchange {
    /// The gradients of this process; after `finish`, those of all.
    let gradients: ParameterTable
    private let group: any TrainingGroup
    private let block: HostTensor
    /// Where the gradient of a parameter ends in the block.
    private let ends: [String: Int]
    private let parts: [Range<Int>]
    private var begun = 0
    private var complete = 0

    static let smallest = 1 << 18, largest = 1 << 20

    /// - Parameter order: parameters as their gradients are completed, `HostExecutor.gradientOrder`; the others have none.
    init(_ group: any TrainingGroup, zerosLike parameters: ParameterTable, order: [String]) {
        self.group = group
        let known = Set(order), order = order + parameters.names.filter { !known.contains($0) }
        let (table, block, ends) = parameters.zerosInOneBlock(order)
        gradients = table
        self.block = block
        self.ends = Dictionary(uniqueKeysWithValues: zip(order, ends))
        parts = Self.parts(ends)
    }

    /// Ranges of whole gradients of at least `smallest` floats, as far as there are so many; what is longer than `largest` is divided.
    static func parts(_ ends: [Int]) -> [Range<Int>] {
        var parts: [Range<Int>] = [], start = 0
        for (index, end) in ends.enumerated() where end - start >= smallest || index == ends.count - 1 {
            while end - start > largest {
                parts.append(start..<start + largest)
                start += largest
            }
            if start < end { parts.append(start..<end) }
            start = end
        }
        return parts
    }

    /// To be called during the last backward pass of a step, see `HostExecutor.run`.
    func completed(_ parameters: [String]) throws {
        for name in parameters { complete = max(complete, ends[name] ?? 0) }
        try begin()
        if begun > 0 { try group.advanceSums() }
    }

    /// Called when all of the step's passes are done: waits until the sums of all are there.
    ///
    /// - Parameter isEmpty: when this process had no example, it adds nothing.
    func finish(isEmpty: Bool) throws {
        if isEmpty { block.buffer.update(repeating: 0) }
        complete = block.buffer.count
        try begin()
        try group.finishSums()
        begun = 0
        complete = 0
    }

    private func begin() throws {
        while begun < parts.count, parts[begun].upperBound <= complete {
            try group.beginSum(UnsafeMutableBufferPointer(rebasing: block.buffer[parts[begun]]))
            begun += 1
        }
    }
}
