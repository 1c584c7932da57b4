import Glibc
import ShrinkCompute
import ShrinkGraph

extension Graph {
    /// The parameters to train: all trainable ones but those whose names match a pattern of the shell (`*.embeddings.*`), and constants.
    /// - Throws: `TrainingError` for a pattern that matches no parameter, and when nothing is left.
    public func parameters(freezing patterns: [String]) throws(TrainingError) -> [ValueID] {
        var used = Set<Int>()
        let rest = trainableParameters.filter { value in
            let name = self[value].name
            let matches = patterns.indices.filter { fnmatch(patterns[$0], name, 0) == 0 }
            used.formUnion(matches)
            return matches.isEmpty && !name.hasPrefix(Graph.constantPrefix)
        }
        if let unused = patterns.indices.first(where: { !used.contains($0) }) {
            throw TrainingError(.badRecipe, "", "the pattern \(patterns[unused]) to freeze matches no parameter; `shrink inspect` lists their names")
        }
        guard !rest.isEmpty else { throw TrainingError(.badRecipe, "", "all parameters are frozen; there is nothing to train") }
        return rest
    }

    /// Of the names of parameters that are part of a loss, and not of a model.
    public static let constantPrefix = "constant:"

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
