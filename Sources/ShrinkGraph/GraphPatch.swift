/// A set of edits that is checked as a whole before it takes effect.
///
/// New nodes go directly before the node they are anchored to; `commit` gives back the changed
/// graph, or throws and leaves the original as it was.
public struct GraphPatch {
    private var graph: Graph
    private var names: Set<String>
    private var replacements: [ValueID: ValueID] = [:]
    private var insertions: [NodeID: [NodeID]] = [:]
    private var removed: Set<NodeID> = []

    public init(_ graph: Graph) {
        self.graph = graph
        names = Set(graph.values.map(\.name))
    }

    public subscript(value: ValueID) -> Graph.Value { graph[value] }

    /// Adds a node in front of `anchor`.
    public mutating func insert(
        _ operation: Operation, _ inputs: [ValueID], before anchor: NodeID, origin: String
    ) throws(GraphError) -> [ValueID] {
        let types = try graph.resultTypes(of: operation, inputs, origin: origin)
        let node = NodeID(index: graph.nodes.count)
        let results = types.enumerated().map { position, type in
            var number = graph.values.count
            while !names.insert("v\(number)").inserted { number += 1 }
            graph.values.append(Graph.Value(name: "v\(number)", type: type, definition: .result(node, position)))
            return ValueID(index: graph.values.count - 1)
        }
        graph.nodes.append(Graph.Node(operation: operation, inputs: inputs, results: results, origin: origin))
        insertions[anchor, default: []].append(node)
        return results
    }

    /// The parameter of that name, added unless it is there already.
    public mutating func addParameter(_ name: String, _ type: ValueType, _ parameter: Parameter) throws(GraphError) -> ValueID {
        if !names.insert(name).inserted {
            guard let index = graph.values.firstIndex(where: { $0.name == name }), graph.values[index].isParameter, graph.values[index].type == type
            else { throw GraphError(.duplicateName, "there is another value named \(name)") }
            return ValueID(index: index)
        }
        graph.values.append(Graph.Value(name: name, type: type, definition: .parameter(parameter)))
        return ValueID(index: graph.values.count - 1)
    }

    /// Every reader of `old`, outputs and inserted nodes included, reads `new` from now on.
    public mutating func replace(_ old: ValueID, with new: ValueID) { replacements[old] = new }

    public mutating func setOperation(of node: NodeID, to operation: Operation) { graph.nodes[node.index].operation = operation }

    public mutating func setInputs(of node: NodeID, to inputs: [ValueID]) { graph.nodes[node.index].inputs = inputs }

    public mutating func setQuantization(_ quantization: WeightQuantization?, of value: ValueID) {
        graph.setQuantization(quantization, of: value)
    }

    public mutating func remove(_ node: NodeID) { removed.insert(node) }

    public func commit() throws(GraphError) -> Graph {
        var result = graph
        func resolve(_ value: ValueID) -> ValueID {
            var value = value
            while let next = replacements[value] { value = next }
            return value
        }
        for index in result.nodes.indices {
            result.nodes[index].inputs = result.nodes[index].inputs.map(resolve)
        }
        result.outputs = result.outputs.map { ($0.name, resolve($0.value)) }
        result.order = graph.order.flatMap { node in
            (insertions[node] ?? []) + (removed.contains(node) ? [] : [node])
        }
        try result.verify()
        result.compact()
        return result
    }
}
