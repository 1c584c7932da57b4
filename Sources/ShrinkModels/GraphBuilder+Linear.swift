import ShrinkGraph

extension GraphBuilder {
    /// y = x·Wᵀ (+ b) with the tensors `name.weight` and `name.bias`. Fresh biases are zero.
    mutating func addLinear(
        _ x: ValueID, _ name: String, from inner: Int, to outer: Int, bias: Bool, _ initially: InitialValues, _ tensors: inout TensorCollector
    ) throws -> ValueID {
        var inputs = [x, try tensors.parameter(name + ".weight", [outer, inner], initially, &self)]
        if bias { inputs.append(try tensors.parameter(name + ".bias", [outer], .zeros, &self)) }
        return try add(.linear(Linear()), inputs, origin: name)
    }

    /// `labels` of a decoder: a linear without bias of the last token.
    mutating func addLastTokenScores(
        _ hidden: ValueID, width: Int, _ task: ModelTask, _ initially: InitialValues, _ tensors: inout TensorCollector
    ) throws {
        let last = try add(.selectToken(SelectToken(.last)), [hidden], origin: "score")
        try output("labels", try addLinear(last, "score", from: width, to: task.labels.count, bias: false, initially, &tensors))
    }
}
