import ShrinkGraph

extension Graph {
    /// This graph with the loss of its output `output` as a further output. The target and the marks of the rows that
    /// count become inputs of these names unless there are such; losses can be added to it one by one.
    public func adding(
        _ loss: Loss, of output: String, target: String = "labels", marks: String? = nil, named name: String = "loss"
    ) throws(GraphError) -> Graph {
        guard let prediction = self.output(named: output) else { throw GraphError(.undefinedValue, "there is no output \(output)") }
        var builder = GraphBuilder(extending: self)
        let type = self[prediction].type, rows = ValueType(.int32, Array(type.shape.dropLast()))
        func input(_ name: String, _ type: ValueType) throws(GraphError) -> ValueID {
            if let known = builder.value(named: name) { return known }
            return try builder.input(name, type)
        }
        var inputs = [prediction, try input(target, loss.function == .crossEntropy ? rows : type)]
        if let marks { inputs.append(try input(marks, rows)) }
        try builder.output(name, try builder.add(.loss(loss), inputs, origin: name))
        return builder.graph
    }

    /// This graph with an output `name` that is the weighted sum of f32 [] outputs.
    public func addingSum(of losses: [(output: String, weight: Double)], named name: String = "loss") throws(GraphError) -> Graph {
        var builder = GraphBuilder(extending: self)
        var sum: ValueID?
        for (output, weight) in losses {
            guard let value = self.output(named: output) else { throw GraphError(.undefinedValue, "there is no output \(output)") }
            let term = try builder.add(.scale(Scale(weight)), [value], origin: name)
            if let before = sum { sum = try builder.add(.binary(Binary(.add)), [before, term], origin: name) } else { sum = term }
        }
        guard let sum else { throw GraphError(.arity, "a sum needs a term") }
        try builder.output(name, sum)
        return builder.graph
    }
}
