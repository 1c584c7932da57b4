/// An attribute of an operation in the text form: `{epsilon = 1e-05, causal = true}`.
public enum Attribute: Equatable, Sendable {
    case integer(Int)
    case real(Double)
    case flag(Bool)
    case word(String)
}

/// The attributes of one operation by name, taken one by one while it is parsed.
public struct AttributeReader {
    private var values: [String: Attribute]

    public init(_ values: [(String, Attribute)]) throws(GraphError) {
        self.values = [:]
        for (name, value) in values {
            guard self.values.updateValue(value, forKey: name) == nil else {
                throw GraphError(.attribute, "the attribute \(name) stands twice")
            }
        }
    }

    private mutating func take(_ name: String) throws(GraphError) -> Attribute {
        guard let value = values.removeValue(forKey: name) else { throw GraphError(.attribute, "the attribute \(name) is missing") }
        return value
    }

    public mutating func integer(_ name: String) throws(GraphError) -> Int {
        guard case .integer(let value) = try take(name) else { throw GraphError(.attribute, "\(name) must be an integer") }
        return value
    }

    public mutating func real(_ name: String) throws(GraphError) -> Double {
        switch try take(name) {
        case .real(let value): return value
        case .integer(let value): return Double(value)
        default: throw GraphError(.attribute, "\(name) must be a number")
        }
    }

    public mutating func flag(_ name: String) throws(GraphError) -> Bool {
        guard case .flag(let value) = try take(name) else { throw GraphError(.attribute, "\(name) must be true or false") }
        return value
    }

    public mutating func word<T: RawRepresentable & CaseIterable>(_ name: String, as: T.Type) throws(GraphError) -> T
    where T.RawValue == String {
        guard case .word(let text) = try take(name), let value = T(rawValue: text) else {
            let known = T.allCases.map(\.rawValue).joined(separator: ", ")
            throw GraphError(.attribute, "\(name) must be one of \(known)")
        }
        return value
    }

    /// An attribute that may be absent; its presence is known by its name.
    public func contains(_ name: String) -> Bool { values[name] != nil }

    public func finish() throws(GraphError) {
        if let name = values.keys.min() { throw GraphError(.attribute, "there is no attribute \(name) here") }
    }
}
