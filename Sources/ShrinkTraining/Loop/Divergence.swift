import ShrinkCompute
import ShrinkGraph

extension ParameterTable {
    /// The first tensor with numbers that are not finite.
    public var firstNotFinite: String? { names.first { self[$0]?.buffer.contains { !$0.isFinite } ?? false } }
}

/// Finds the tensor in which numbers first went wrong.
enum Divergence {
    static func ofLoss(
        _ loss: Double, _ graph: Graph, _ parameters: ParameterTable, _ inputs: HostInputs?, _ threads: HostThreads
    ) -> TrainingError {
        var place = "; the sum of its terms is too large"
        if let name = parameters.firstNotFinite {
            place = "; \(inParameter(name))"
        } else if let inputs, let value = try? firstBadValue(graph.reading(parameters), inputs, threads) {
            place = "; the first result that is not finite is that of \(value)"
        }
        return TrainingError(.diverged, "", "the loss is \(loss)\(place). A lower learning rate, a longer warm-up or clipping may help")
    }

    static func ofGradient(_ gradients: ParameterTable, _ parameters: ParameterTable) -> TrainingError {
        let what = parameters.firstNotFinite.map(inParameter) ?? gradients.firstNotFinite.map { "the gradient of \($0) is not finite" }
            ?? "the gradients are too large: their norm is not finite"
        return TrainingError(.diverged, "", "\(what). A lower learning rate, a longer warm-up or clipping may help")
    }

    private static func inParameter(_ name: String) -> String { "the parameter \(name) holds numbers that are not finite" }

    /// Runs the graph again with every value as an output.
    private static func firstBadValue(_ graph: Graph, _ inputs: HostInputs, _ threads: HostThreads) throws -> String? {
        var builder = GraphBuilder(extending: graph)
        for id in graph.order {
            for result in graph[id].results where graph[result].type.element == .float32 { try builder.output("value:\(result.index)", result) }
        }
        let values = try HostExecutor(builder.graph, threads: threads).run(inputs)
        for id in graph.order {
            for result in graph[id].results where values["value:\(result.index)"]?.buffer.contains(where: { !$0.isFinite }) ?? false {
                let origin = graph[id].origin
                return origin.isEmpty ? graph[id].operation.mnemonic : "\(graph[id].operation.mnemonic) of \(origin)"
            }
        }
        return nil
    }
}
