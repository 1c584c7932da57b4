import ShrinkGraph

/// One run of a graph: where its values are, and what its inputs hold.
final class Step {
    let executor: HostExecutor
    let graph: Graph
    let plan: ExecutionPlan
    let threads: HostThreads
    let tokens: Int
    /// By value index; of parameters, while their node runs.
    var pointers: [UnsafeMutablePointer<Float>?]
    /// Of quantized values: the steps between two codes, [rows, groups].
    var steps: [ValueID: HostTensor] = [:]
    private var integers: [ValueID: [Int32]] = [:]
    private let inputs: HostInputs
    /// Outputs to which their last operations add.
    private let accumulated: Set<ValueID>

    init(
        _ executor: HostExecutor, _ plan: ExecutionPlan, _ inputs: HostInputs, arena: UnsafeMutablePointer<Float>, outputs: [HostTensor],
        accumulated: Set<ValueID>
    ) throws {
        self.executor = executor
        self.plan = plan
        self.inputs = inputs
        self.accumulated = accumulated
        graph = executor.graph
        threads = executor.threads
        tokens = inputs.tokens
        pointers = plan.places.map { place in
            switch place {
            case .nowhere, .outside: nil
            case .arena(let buffer): arena + plan.offsets[buffer]
            case .output(let index): outputs[index].base
            }
        }
        for input in graph.inputs { try bind(input) }
    }

    private func bind(_ input: ValueID) throws {
        let value = graph[input], count = plan.count(input)
        func check(_ given: Int) throws {
            guard given == count else { throw ComputeError("the input \(value.name) has \(given) numbers, \(count) are needed") }
        }
        if value.type.element == .float32 {
            if let tensor = inputs.floats[value.name] {
                try check(tensor.buffer.count)
                pointers[input.index] = tensor.base
            } else if value.name == "loss_gradient" {
                pointers[input.index] = Step.one.base
            } else {
                throw ComputeError("the graph has an input \(value.name) that nothing fills")
            }
            return
        }
        if let given = inputs.integers[value.name] {
            try check(given.count)
            integers[input] = given
            return
        }
        switch value.name {
        case "segments": integers[input] = [Int32](repeating: 0, count: count)
        case "positions": integers[input] = (0..<count).map { Int32($0 % tokens) }
        case "lengths": integers[input] = [Int32](repeating: Int32(tokens), count: count)
        case "marks":
            let lengths = inputs.integers["lengths"] ?? []
            integers[input] = (0..<count).map { place in
                let (sequence, token) = place.quotientAndRemainder(dividingBy: tokens)
                return lengths.indices.contains(sequence) && token >= lengths[sequence] ? -1 : 0
            }
        default: throw ComputeError("the graph has an input \(value.name) that nothing fills")
        }
    }

    private static let one = HostTensor([1], shape: [])

    // MARK: What the operations ask

    func pointer(_ value: ValueID) throws -> UnsafeMutablePointer<Float> {
        guard let pointer = pointers[value.index] else { throw ComputeError("\(graph[value].name) is not there") }
        return pointer
    }

    func integers(_ value: ValueID) throws -> [Int32] {
        guard let numbers = integers[value] else { throw ComputeError("\(graph[value].name) is computed, where an input is wanted") }
        return numbers
    }

    func shape(_ value: ValueID) -> [Int] { plan.shapes[value.index] }
    func count(_ value: ValueID) -> Int { plan.count(value) }
    func width(_ value: ValueID) -> Int { plan.shapes[value.index].last ?? 1 }
    func rows(_ value: ValueID) -> Int { plan.shapes[value.index].dropLast().reduce(1, *) }

    /// Lengths of the sequences, from an input that may be absent. Throws when one is not from 1 to `tokens`.
    func lengths(_ value: ValueID?, sequences: Int) throws -> [Int]? {
        guard let value else { return nil }
        return try integers(value).map { length in
            guard 1...tokens ~= Int(length) else { throw ComputeError("a sequence has a length of \(length), where 1 to \(tokens) tokens fit") }
            return Int(length)
        }
    }

    /// How much of what stands at a result remains: 1 where a gradient is added to another, else 0. Brings an
    /// addend to its place if it is elsewhere.
    func beta(_ result: ValueID, addend: ValueID?) throws -> Float {
        if let addend {
            let source = try pointer(addend), target = try pointer(result)
            if source != target { target.update(from: source, count: count(result)) }
            return 1
        }
        guard case .output(let index) = plan.places[result.index] else { return 0 }
        return accumulated.contains(graph.outputs[index].value) ? 1 : 0
    }
}
