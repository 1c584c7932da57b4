/// Checks that the payloads share.
extension Array where Element == ValueType {
    func require(_ count: ClosedRange<Int>, _ names: String) throws(GraphError) {
        guard count.contains(self.count) else {
            throw GraphError(.arity, "takes \(names), but has \(self.count) inputs")
        }
    }

    /// The input at `position`, if there is one, holds the lengths of the sequences.
    func requireLengths(at position: Int, _ sequences: [Dimension]) throws(GraphError) {
        guard count <= position || self[position] == ValueType(.int32, sequences) else {
            throw GraphError(.shape, "lengths must be \(ValueType(.int32, sequences)), but are \(self[position])")
        }
    }
}

extension ValueType {
    func requireElement(_ allowed: ElementType..., as name: String) throws(GraphError) {
        guard allowed.contains(element) else {
            throw GraphError(.elementType, "\(name) must be \(allowed.map(\.rawValue).joined(separator: " or ")), but is \(self)")
        }
    }

    func requireShape(_ wanted: [Dimension], as name: String) throws(GraphError) {
        guard shape == wanted else {
            throw GraphError(.shape, "\(name) must have the shape [\(wanted.map(\.description).joined(separator: ", "))], but is \(self)")
        }
    }

    /// The innermost extent, which must be a positive number.
    func requireWidth(as name: String) throws(GraphError) -> Int {
        guard let width, width > 0 else { throw GraphError(.shape, "\(name) must have a fixed innermost dimension, but is \(self)") }
        return width
    }
}
