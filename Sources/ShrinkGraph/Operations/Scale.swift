/// x · factor: f32 → f32 of the same shape.
public struct Scale: OperationPayload {
    public static let mnemonic = "scale"
    public var factor: Double

    public init(_ factor: Double) { self.factor = factor }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(1...1, "one value")
        try inputs[0].requireElement(.float32, as: "x")
        guard factor.isFinite else { throw GraphError(.attribute, "factor must be finite") }
        return [inputs[0]]
    }

    public var attributes: [(String, Attribute)] { [("factor", .real(factor))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) { self.init(try attributes.real("factor")) }
}
