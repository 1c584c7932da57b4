extension Graph {
    /// Checks that every value is defined once and before its use, and that the types of results are
    /// what the operations make of their inputs. Throws the first finding.
    public func verify() throws(GraphError) {
        var names = Set<String>()
        for value in values where !names.insert(value.name).inserted {
            throw GraphError(.duplicateName, "two values are named \(value.name)")
        }
        var defined = Set(inputs)
        for index in values.indices {
            if case .parameter = values[index].definition { defined.insert(ValueID(index: index)) }
        }
        for id in order {
            guard nodes.indices.contains(id.index) else { throw GraphError(.undefinedValue, "there is no node \(id.index)") }
            try verify(id, &defined)
        }
        for output in outputs where !defined.contains(output.value) {
            throw GraphError(.undefinedValue, "output \(output.name) is not computed")
        }
    }

    /// What the operation makes of these inputs; an error names the node.
    func resultTypes(of operation: Operation, _ inputs: [ValueID], origin: String) throws(GraphError) -> [ValueType] {
        do {
            return try operation.inferTypes(inputs.map { self[$0].type })
        } catch {
            throw error.at(operation: operation, origin: origin)
        }
    }

    private func verify(_ id: NodeID, _ defined: inout Set<ValueID>) throws(GraphError) {
        let node = self[id]
        func fail(_ code: GraphError.Code, _ reason: String) -> GraphError {
            GraphError(code, reason).at(operation: node.operation, origin: node.origin)
        }
        for input in node.inputs {
            guard values.indices.contains(input.index) else { throw fail(.undefinedValue, "reads value \(input.index), which does not exist") }
            guard defined.contains(input) else { throw fail(.order, "reads \(self[input].name) before it is computed") }
        }
        let types = try resultTypes(of: node.operation, node.inputs, origin: node.origin)
        guard types.count == node.results.count else {
            throw fail(.arity, "has \(node.results.count) results, its operation makes \(types.count)")
        }
        for (position, (result, type)) in zip(node.results, types).enumerated() {
            guard values.indices.contains(result.index), case .result(id, position) = self[result].definition else {
                throw fail(.undefinedValue, "its result \(position) is not defined by it")
            }
            guard self[result].type == type else {
                throw fail(.resultType, "\(self[result].name) is declared \(self[result].type), but the operation makes \(type)")
            }
            guard defined.insert(result).inserted else { throw fail(.order, "defines \(self[result].name) a second time") }
        }
    }
}
