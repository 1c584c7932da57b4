/// An elementwise function of one value. With `alsoQuantized` its rows come as q8 too.
public struct Unary: OperationPayload {
    public static let mnemonic = "unary"

    public enum Function: String, Sendable, CaseIterable {
        case relu, silu, tanh, sigmoid
        /// x·Φ(x) with the error function (Hendrycks & Gimpel 2016).
        case geluErf = "gelu"
        /// Its approximation with tanh, ibid.
        case geluTanh = "gelu_tanh"
    }

    public var function: Function
    public var alsoQuantized = false

    public init(_ function: Function) { self.function = function }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(1...1, "one value")
        try inputs[0].requireElement(.float32, as: "x")
        return [inputs[0]] + (alsoQuantized ? [inputs[0].withElement(.quantized8)] : [])
    }

    public var attributes: [(String, Attribute)] {
        [("function", .word(function.rawValue))] + (alsoQuantized ? [("quantized", .flag(true))] : [])
    }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(try attributes.word("function", as: Function.self))
        alsoQuantized = try readQuantizedFlag(&attributes)
    }
}

/// An elementwise function of two values of one type.
public struct Binary: OperationPayload {
    public static let mnemonic = "binary"

    public enum Function: String, Sendable, CaseIterable { case add, multiply }

    public var function: Function

    public init(_ function: Function) { self.function = function }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(2...2, "two values")
        try inputs[0].requireElement(.float32, as: "a")
        guard inputs[0] == inputs[1] else { throw GraphError(.shape, "a and b must be alike, but are \(inputs[0]) and \(inputs[1])") }
        return [inputs[0]]
    }

    public var attributes: [(String, Attribute)] { [("function", .word(function.rawValue))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(try attributes.word("function", as: Function.self))
    }
}

/// A gated unit (Shazeer 2020): function(a) × b. The fuse pass makes it of a `unary` and a `binary`.
/// With `alsoQuantized` its rows come as q8 too.
public struct Gate: OperationPayload {
    public static let mnemonic = "gate"
    public var function: Unary.Function
    public var alsoQuantized = false

    public init(_ function: Unary.Function) { self.function = function }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        let result = try Binary(.multiply).inferTypes(inputs)
        return result + (alsoQuantized ? [result[0].withElement(.quantized8)] : [])
    }

    public var attributes: [(String, Attribute)] {
        [("function", .word(function.rawValue))] + (alsoQuantized ? [("quantized", .flag(true))] : [])
    }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(try attributes.word("function", as: Unary.Function.self))
        alsoQuantized = try readQuantizedFlag(&attributes)
    }
}
