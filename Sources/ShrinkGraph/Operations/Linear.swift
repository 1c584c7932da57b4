/// y = x·Wᵀ + b: [x: f32 or q8 […, in], weight: f32 [out, in], bias: f32 [out] (may be absent)] → f32 […, out].
public struct Linear: OperationPayload {
    public static let mnemonic = "linear"

    public init() {}

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(2...3, "x, a weight and perhaps a bias")
        try inputs[0].requireElement(.float32, .quantized8, as: "x")
        let width = try inputs[0].requireWidth(as: "x")
        try inputs[1].requireElement(.float32, as: "the weight")
        guard inputs[1].shape.count == 2, let rows = inputs[1].shape[0].fixedValue, inputs[1].shape[1] == .fixed(width) else {
            throw GraphError(.shape, "the weight must have the shape [out, \(width)], but is \(inputs[1])")
        }
        if inputs.count == 3 { try inputs[2].requireShape([.fixed(rows)], as: "the bias") }
        return [inputs[0].withElement(.float32).withWidth(rows)]
    }

    public var attributes: [(String, Attribute)] { [] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {}
}
