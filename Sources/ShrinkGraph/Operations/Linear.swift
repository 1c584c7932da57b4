/// y = x·Wᵀ + b: [x: f32 or q8 […, in], weight: f32 [out, in], bias: f32 [out] (may be absent)] → f32 […, out].
/// With `isInputMajor` the weight is [in, out] and y = x·W + b, as GPT-2 stores it and as gradients need it.
public struct Linear: OperationPayload {
    public static let mnemonic = "linear"

    public var isInputMajor: Bool

    public init(isInputMajor: Bool = false) { self.isInputMajor = isInputMajor }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(2...3, "x, a weight and perhaps a bias")
        try inputs[0].requireElement(.float32, .quantized8, as: "x")
        let width = try inputs[0].requireWidth(as: "x")
        try inputs[1].requireElement(.float32, as: "the weight")
        let (outer, inner) = isInputMajor ? (1, 0) : (0, 1)
        guard inputs[1].shape.count == 2, let rows = inputs[1].shape[outer].fixedValue, inputs[1].shape[inner] == .fixed(width) else {
            throw GraphError(.shape, "the weight must have the shape \(isInputMajor ? "[\(width), out]" : "[out, \(width)]"), but is \(inputs[1])")
        }
        if inputs.count == 3 { try inputs[2].requireShape([.fixed(rows)], as: "the bias") }
        return [inputs[0].withElement(.float32).withWidth(rows)]
    }

    public var attributes: [(String, Attribute)] { isInputMajor ? [("input_major", .flag(true))] : [] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(isInputMajor: attributes.contains("input_major") ? try attributes.flag("input_major") : false)
    }
}
