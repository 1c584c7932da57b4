/// Makes a graph node by node. Types are inferred on the way, so a mistake shows where it is made.
public struct GraphBuilder: Sendable {
    public private(set) var graph: Graph
    private var names: Set<String>

    public init(name: String) {
        graph = Graph(name: name)
        names = []
    }

    /// Goes on with a graph that exists.
    public init(extending graph: Graph) {
        self.graph = graph
        names = Set(graph.values.map(\.name))
    }

    public mutating func input(_ name: String, _ type: ValueType) throws(GraphError) -> ValueID {
        let id = try define(name, type, .input)
        graph.inputs.append(id)
        return id
    }

    /// Throws `duplicateName` when the tensor is there already; ask `value(named:)` first to share one.
    public mutating func parameter(_ name: String, _ type: ValueType, _ parameter: Parameter) throws(GraphError) -> ValueID {
        try define(name, type, .parameter(parameter))
    }

    public func value(named name: String) -> ValueID? {
        names.contains(name) ? graph.values.firstIndex { $0.name == name }.map(ValueID.init) : nil
    }

    /// Appends a node with one result.
    public mutating func add(
        _ operation: Operation, _ inputs: [ValueID], name: String? = nil, origin: String = ""
    ) throws(GraphError) -> ValueID {
        let results = try addMultiple(operation, inputs, names: name.map { [$0] }, origin: origin)
        guard results.count == 1 else {
            throw GraphError(.arity, "\(operation.mnemonic) has \(results.count) results where one is wanted", node: origin)
        }
        return results[0]
    }

    /// Appends a node and returns all its results.
    public mutating func addMultiple(
        _ operation: Operation, _ inputs: [ValueID], names resultNames: [String]? = nil, origin: String = ""
    ) throws(GraphError) -> [ValueID] {
        let types = try graph.resultTypes(of: operation, inputs, origin: origin)
        let node = NodeID(index: graph.nodes.count)
        var results: [ValueID] = []
        for (position, type) in types.enumerated() {
            let name = resultNames.flatMap { position < $0.count ? $0[position] : nil } ?? freshName()
            results.append(try define(name, type, .result(node, position)))
        }
        graph.nodes.append(Graph.Node(operation: operation, inputs: inputs, results: results, origin: origin))
        graph.order.append(node)
        return results
    }

    /// Gives a value that has no name of its own one that it can be found by.
    public mutating func rename(_ value: ValueID, to name: String) throws(GraphError) {
        guard names.insert(name).inserted else { throw GraphError(.duplicateName, "two values are named \(name)") }
        names.remove(graph.values[value.index].name)
        graph.values[value.index].name = name
    }

    public mutating func output(_ name: String, _ value: ValueID) throws(GraphError) {
        guard graph.output(named: name) == nil else { throw GraphError(.duplicateName, "two outputs are named \(name)") }
        graph.outputs.append((name, value))
    }

    private mutating func define(_ name: String, _ type: ValueType, _ definition: Graph.Value.Definition) throws(GraphError) -> ValueID {
        guard names.insert(name).inserted else { throw GraphError(.duplicateName, "two values are named \(name)") }
        graph.values.append(Graph.Value(name: name, type: type, definition: definition))
        return ValueID(index: graph.values.count - 1)
    }

    private func freshName() -> String {
        var number = graph.values.count
        while names.contains("v\(number)") { number += 1 }
        return "v\(number)"
    }
}
