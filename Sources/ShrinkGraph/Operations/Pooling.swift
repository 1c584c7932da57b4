/// One token of each sequence: [x: f32 […, tokens, width], lengths: i32 […] (may be absent)] → f32 […, width].
public struct SelectToken: OperationPayload {
    public static let mnemonic = "select_token"

    public enum Position: String, Sendable, CaseIterable { case first, last }

    public var position: Position

    public init(_ position: Position) { self.position = position }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] { [try pooledType(inputs)] }

    public var attributes: [(String, Attribute)] { [("position", .word(position.rawValue))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(try attributes.word("position", as: Position.self))
    }
}

/// The mean over the tokens of each sequence: [x: f32 […, tokens, width], lengths: i32 […] (may be absent)] → f32 […, width].
public struct MeanTokens: OperationPayload {
    public static let mnemonic = "mean_tokens"

    public init() {}

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] { [try pooledType(inputs)] }

    public var attributes: [(String, Attribute)] { [] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {}
}

/// x / max(‖x‖₂, epsilon) for each row: f32 […, width] → f32 […, width].
public struct L2Normalize: OperationPayload {
    public static let mnemonic = "l2_normalize"
    public var epsilon: Double

    public init(epsilon: Double = 1e-12) { self.epsilon = epsilon }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(1...1, "one value")
        try inputs[0].requireElement(.float32, as: "x")
        guard epsilon > 0, epsilon.isFinite else { throw GraphError(.attribute, "epsilon must be positive") }
        return [inputs[0]]
    }

    public var attributes: [(String, Attribute)] { [("epsilon", .real(epsilon))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(epsilon: try attributes.real("epsilon"))
    }
}

private func pooledType(_ inputs: [ValueType]) throws(GraphError) -> ValueType {
    try inputs.require(1...2, "x and perhaps lengths")
    try inputs[0].requireElement(.float32, as: "x")
    guard inputs[0].shape.count >= 2 else { throw GraphError(.shape, "x must have tokens to pool, but is \(inputs[0])") }
    try inputs.requireLengths(at: 1, Array(inputs[0].shape.dropLast(2)))
    var type = inputs[0]
    type.shape.remove(at: type.shape.count - 2)
    return type
}
