/// The gradient of a norm without residual, recomputed from its input: [dy, x, gamma: f32 [width], addend:
/// like x (may be absent)] → dx + addend, gradient of gamma, and of beta for a layer norm.
public struct NormGradient: OperationPayload {
    public static let mnemonic = "norm_gradient"

    public enum Kind: String, Sendable, CaseIterable { case layer, rms }

    public var kind: Kind
    public var epsilon: Double

    public init(_ kind: Kind, epsilon: Double) {
        self.kind = kind
        self.epsilon = epsilon
    }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(3...4, "dy, x, gamma and perhaps an addend")
        let x = try requireAlike(Array(inputs.prefix(2)), "dy and x")
        let width = try x.requireWidth(as: "x")
        try inputs[2].requireShape([.fixed(width)], as: "gamma")
        guard inputs.count == 3 || inputs[3] == x else { throw GraphError(.shape, "the addend must be \(x), but is \(inputs[3])") }
        guard epsilon > 0, epsilon.isFinite else { throw GraphError(.attribute, "epsilon must be positive") }
        return [x, inputs[2]] + (kind == .layer ? [inputs[2]] : [])
    }

    public var attributes: [(String, Attribute)] { [("kind", .word(kind.rawValue)), ("epsilon", .real(epsilon))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(try attributes.word("kind", as: Kind.self), epsilon: try attributes.real("epsilon"))
    }
}

/// The gradient of `Unary`: [dy, x] → dy · function′(x).
public struct UnaryGradient: OperationPayload {
    public static let mnemonic = "unary_gradient"
    public var function: Unary.Function

    public init(_ function: Unary.Function) { self.function = function }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(2...2, "dy and x")
        return [try requireAlike(inputs, "dy and x")]
    }

    public var attributes: [(String, Attribute)] { [("function", .word(function.rawValue))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(try attributes.word("function", as: Unary.Function.self))
    }
}

/// The gradients of `Gate`: [dy, a, b] → dy · b · function′(a), dy · function(a).
public struct GateGradient: OperationPayload {
    public static let mnemonic = "gate_gradient"
    public var function: Unary.Function

    public init(_ function: Unary.Function) { self.function = function }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(3...3, "dy, a and b")
        let type = try requireAlike(inputs, "dy, a and b")
        return [type, type]
    }

    public var attributes: [(String, Attribute)] { [("function", .word(function.rawValue))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(try attributes.word("function", as: Unary.Function.self))
    }
}

/// The gradient of `L2Normalize`: [dy, x] → dx.
public struct L2NormalizeGradient: OperationPayload {
    public static let mnemonic = "l2_normalize_gradient"
    public var epsilon: Double

    public init(epsilon: Double) { self.epsilon = epsilon }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(2...2, "dy and x")
        guard epsilon > 0, epsilon.isFinite else { throw GraphError(.attribute, "epsilon must be positive") }
        return [try requireAlike(inputs, "dy and x")]
    }

    public var attributes: [(String, Attribute)] { [("epsilon", .real(epsilon))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(epsilon: try attributes.real("epsilon"))
    }
}

/// The gradient of `SelectToken` and `MeanTokens`: [dy: f32 […, width], lengths: i32 […] (may be absent)] →
/// f32 […, tokens, width], zero for the tokens that were not pooled.
public struct PoolGradient: OperationPayload {
    public static let mnemonic = "pool_gradient"

    public enum Pool: String, Sendable, CaseIterable { case first, last, mean }

    public var pool: Pool

    public init(_ pool: Pool) { self.pool = pool }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(1...2, "dy and perhaps lengths")
        try inputs[0].requireElement(.float32, as: "dy")
        let width = try inputs[0].requireWidth(as: "dy")
        let outer = Array(inputs[0].shape.dropLast())
        try inputs.requireLengths(at: 1, outer)
        return [ValueType(.float32, outer + [.tokens, .fixed(width)])]
    }

    public var attributes: [(String, Attribute)] { [("pool", .word(pool.rawValue))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) { self.init(try attributes.word("pool", as: Pool.self)) }
}

private func requireAlike(_ inputs: [ValueType], _ names: String) throws(GraphError) -> ValueType {
    try inputs[0].requireElement(.float32, as: "the gradient")
    for input in inputs.dropFirst() where input != inputs[0] {
        throw GraphError(.shape, "\(names) must be alike, but are \(inputs.map(\.description).joined(separator: ", "))")
    }
    return inputs[0]
}
