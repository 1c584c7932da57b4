/// Dynamic asymmetric quantization to uint8, one scale and zero point for each of `groups` equal
/// parts of a row: scale = (max − min) / 255 with min ≤ 0 ≤ max, zero = round(−min / scale),
/// code = clamp(round(x / scale) + zero, 0, 255). [x: f32] → q8 of the same shape.
public struct Quantize: OperationPayload {
    public static let mnemonic = "quantize"
    public var groups: Int

    public init(groups: Int = 1) { self.groups = groups }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(1...1, "one value")
        try inputs[0].requireElement(.float32, as: "x")
        guard groups > 0, try inputs[0].requireWidth(as: "x").isMultiple(of: groups) else {
            throw GraphError(.attribute, "\(inputs[0]) does not divide into \(groups) groups")
        }
        return [inputs[0].withElement(.quantized8)]
    }

    public var attributes: [(String, Attribute)] { groups == 1 ? [] : [("groups", .integer(groups))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(groups: attributes.contains("groups") ? try attributes.integer("groups") : 1)
    }
}
