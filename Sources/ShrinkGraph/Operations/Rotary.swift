/// Rotary position embedding (Su et al. 2021, eq. 34): every pair of a head turns by
/// position × frequency. [x: f32 […, tokens, heads × headSize], cosine and sine: f32 [positions, headSize / 2]] → like x.
///
/// The angles are parameters, made once by `RotaryTable`, so that no executor has its own sine.
public struct Rotary: OperationPayload {
    public static let mnemonic = "rotary"

    public enum Layout: String, Sendable, CaseIterable {
        /// Pairs (i, i + headSize / 2): Hugging Face checkpoints.
        case half
        /// Pairs (2i, 2i + 1): GGUF files of the Llama architecture.
        case pairs
    }

    public var headSize: Int
    public var layout: Layout

    /// Whether it turns back: the gradient.
    public var isInverse: Bool

    public init(headSize: Int, layout: Layout, isInverse: Bool = false) {
        self.headSize = headSize
        self.layout = layout
        self.isInverse = isInverse
    }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(3...3, "x, cosines and sines")
        try inputs[0].requireElement(.float32, as: "x")
        guard headSize > 0, headSize.isMultiple(of: 2) else { throw GraphError(.attribute, "head_size must be even and positive") }
        guard inputs[0].shape.count >= 2, try inputs[0].requireWidth(as: "x").isMultiple(of: headSize) else {
            throw GraphError(.shape, "x must be made of heads of \(headSize), but is \(inputs[0])")
        }
        guard inputs[1].shape.count == 2, inputs[1].shape[1] == .fixed(headSize / 2), inputs[1].shape[0].fixedValue != nil,
            inputs[1] == inputs[2]
        else {
            throw GraphError(.shape, "cosines and sines must have the shape [positions, \(headSize / 2)], but are \(inputs[1]) and \(inputs[2])")
        }
        return [inputs[0]]
    }

    public var attributes: [(String, Attribute)] { 
        [("head_size", .integer(headSize)), ("layout", .word(layout.rawValue))] + (isInverse ? [("inverse", .flag(true))] : [])
    }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(headSize: try attributes.integer("head_size"), layout: try attributes.word("layout", as: Layout.self))
        if attributes.contains("inverse") { isInverse = try attributes.flag("inverse") }
    }
}
