/// A value: a graph input, a parameter or a result of a node.
public struct ValueID: Hashable, Sendable { public let index: Int }

public struct NodeID: Hashable, Sendable { public let index: Int }

/// A model as a directed acyclic graph of operations.
///
/// A value type: copies are independent, nothing refers back. Nodes are kept in an order in which
/// every value is defined before it is used, and that order is the order of execution. Graphs grow
/// through `GraphBuilder` and change through `GraphPatch`; IDs are indices and stay valid until
/// `compact()`.
public struct Graph: Sendable {
    public struct Value: Sendable {
        public enum Definition: Sendable {
            case input
            case parameter(Parameter)
            case result(NodeID, Int)
        }
        /// Unique in the graph. For parameters, the name of the checkpoint tensor.
        public var name: String
        public var type: ValueType
        public var definition: Definition

        public var isParameter: Bool { if case .parameter = definition { true } else { false } }
    }

    public struct Node: Sendable {
        public var operation: Operation
        public var inputs: [ValueID]
        public var results: [ValueID]
        /// The module of the checkpoint it comes from, such as `model.layers.3.self_attn.q_proj`.
        public var origin: String
    }

    public var name: String
    public internal(set) var values: [Value] = []
    public internal(set) var nodes: [Node] = []
    /// Live nodes in order of execution.
    public internal(set) var order: [NodeID] = []
    public internal(set) var inputs: [ValueID] = []
    public internal(set) var outputs: [(name: String, value: ValueID)] = []

    public init(name: String) { self.name = name }

    public subscript(value: ValueID) -> Value { values[value.index] }
    public subscript(node: NodeID) -> Node { nodes[node.index] }

    public func output(named name: String) -> ValueID? { outputs.first { $0.name == name }?.value }

    public func input(named name: String) -> ValueID? { inputs.first { self[$0].name == name } }

    /// The node that makes `value`; nil for inputs and parameters.
    public func producer(of value: ValueID) -> NodeID? {
        if case .result(let node, _) = self[value].definition { node } else { nil }
    }

    public func parameter(_ value: ValueID) -> Parameter? {
        if case .parameter(let parameter) = self[value].definition { parameter } else { nil }
    }

    /// Parameters that live nodes read, in order of first use.
    public var usedParameters: [ValueID] {
        var seen = Set<ValueID>()
        return order.flatMap { self[$0].inputs }.filter { parameter($0) != nil && seen.insert($0).inserted }
    }

    /// How often each value is read by live nodes and graph outputs, by value index.
    public func useCounts() -> [Int] {
        var counts = [Int](repeating: 0, count: values.count)
        for node in order { for input in self[node].inputs { counts[input.index] += 1 } }
        for output in outputs { counts[output.value.index] += 1 }
        return counts
    }

    public mutating func setQuantization(_ quantization: WeightQuantization?, of value: ValueID) {
        guard var parameter = parameter(value) else { preconditionFailure("not a parameter") }
        parameter.quantization = quantization
        values[value.index].definition = .parameter(parameter)
    }

    public mutating func setSource(_ source: any ParameterSource, of value: ValueID) {
        guard var parameter = parameter(value) else { preconditionFailure("not a parameter") }
        parameter.source = source
        values[value.index].definition = .parameter(parameter)
    }

    /// The same graph with another value behind the output at `index`.
    public func replacingOutput(_ index: Int, with value: ValueID) throws(GraphError) -> Graph {
        var graph = self
        graph.outputs[index].value = value
        try graph.verify()
        return graph
    }

    /// A graph with the outputs of the given names only, and only what they need.
    public func extracting(outputs names: [String]) -> Graph {
        var graph = self
        graph.outputs.removeAll { !names.contains($0.name) }
        graph.compact()
        return graph
    }

    /// Removes nodes, parameters and values that no output needs and renumbers the rest. Inputs stay.
    public mutating func compact() {
        var needed = Set(outputs.map(\.value))
        var live: [NodeID] = []
        for node in order.reversed() where self[node].results.contains(where: needed.contains) {
            live.append(node)
            needed.formUnion(self[node].inputs)
        }
        live.reverse()
        needed.formUnion(inputs)
        for node in live { needed.formUnion(self[node].results) }

        var result = Graph(name: name)
        var newValue: [ValueID: ValueID] = [:]
        let newNode = Dictionary(uniqueKeysWithValues: live.enumerated().map { ($1, NodeID(index: $0)) })
        for index in values.indices where needed.contains(ValueID(index: index)) {
            newValue[ValueID(index: index)] = ValueID(index: result.values.count)
            var value = values[index]
            if case .result(let node, let position) = value.definition {
                value.definition = .result(newNode[node]!, position)
            }
            result.values.append(value)
        }
        for node in live {
            var copy = self[node]
            copy.inputs = copy.inputs.map { newValue[$0]! }
            copy.results = copy.results.map { newValue[$0]! }
            result.order.append(NodeID(index: result.nodes.count))
            result.nodes.append(copy)
        }
        result.inputs = inputs.map { newValue[$0]! }
        result.outputs = outputs.map { ($0.name, newValue[$0.value]!) }
        self = result
    }
}
