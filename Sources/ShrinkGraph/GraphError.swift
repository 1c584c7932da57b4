/// What is wrong with a graph, and where.
public struct GraphError: Error, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        case arity, elementType, shape, attribute, undefinedValue, duplicateName, order, resultType, syntax
    }

    public var code: Code
    public var reason: String
    /// The operation and its origin in the checkpoint.
    public var node: String?
    /// The pass after which the graph was found wrong.
    public var pass: String?
    public var line: Int?

    public init(_ code: Code, _ reason: String, node: String? = nil, line: Int? = nil) {
        self.code = code
        self.reason = reason
        self.node = node.flatMap { $0.isEmpty ? nil : $0 }
        self.line = line
    }

    func at(operation: Operation, origin: String) -> GraphError {
        var error = self
        if error.node == nil { error.node = origin.isEmpty ? operation.mnemonic : "\(operation.mnemonic) of \(origin)" }
        return error
    }

    public var description: String {
        var text = ""
        if let pass { text += "after pass \(pass): " }
        if let line { text += "line \(line): " }
        if let node { text += "\(node): " }
        return text + reason
    }
}
