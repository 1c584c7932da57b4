/// Scaled dot-product attention (Vaswani et al. 2017, eq. 1) of every head, grouped-query when there
/// are fewer key/value heads than heads.
///
/// [q: […, tokens, heads × headSize], k and v: […, tokens, keyValueHeads × headSize]] → f32 like q.
/// All three f32 or all three q8, quantized by head. With `alsoQuantized` the result comes as q8 too.
/// Packed, q, k and v are one value: […, tokens, (heads + 2 × keyValueHeads) × headSize]. A last input
/// `lengths`: i32 […] says how many tokens of each sequence there are; rows of the others are zero.
public struct Attention: OperationPayload {
    public static let mnemonic = "attention"
    public var heads: Int
    public var keyValueHeads: Int
    public var headSize: Int
    public var scale: Double
    /// Whether a token sees itself and the tokens before it only.
    public var isCausal: Bool
    public var alsoQuantized = false
    public var isPacked = false
    /// Whether the logarithm of every sum of exponentials is the last result, f32 […, tokens, heads], for the gradient.
    public var savesLogSumExp = false

    public init(heads: Int, keyValueHeads: Int, headSize: Int, scale: Double, isCausal: Bool) {
        self.heads = heads
        self.keyValueHeads = keyValueHeads
        self.headSize = headSize
        self.scale = scale
        self.isCausal = isCausal
    }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        let own = isPacked ? 1 : 3
        try inputs.require(own...own + 1, isPacked ? "q, k and v in one, and perhaps lengths" : "q, k, v and perhaps lengths")
        guard heads > 0, keyValueHeads > 0, headSize > 0, heads.isMultiple(of: keyValueHeads) else {
            throw GraphError(.attribute, "\(heads) heads cannot share \(keyValueHeads) key/value heads of size \(headSize)")
        }
        guard scale > 0, scale.isFinite else { throw GraphError(.attribute, "scale must be positive") }
        for (value, name) in zip(inputs.prefix(own), isPacked ? ["qkv"] : ["q", "k", "v"]) {
            try value.requireElement(.float32, .quantized8, as: name)
            let count = isPacked ? heads + 2 * keyValueHeads : name == "q" ? heads : keyValueHeads
            let (width, overflow) = count.multipliedReportingOverflow(by: headSize)
            guard value.shape.count >= 2, !overflow, try value.requireWidth(as: name) == width else {
                throw GraphError(.shape, "\(name) must have \(count) heads of \(headSize), but is \(value)")
            }
        }
        let outer = Array(inputs[0].shape.dropLast(2))
        try inputs.requireLengths(at: own, outer)
        guard isPacked || inputs[1] == inputs[2] && inputs[0].element == inputs[1].element
            && inputs[0].shape.dropLast() == inputs[1].shape.dropLast()
        else { throw GraphError(.shape, "q, k and v must be alike, but are \(inputs[0]), \(inputs[1]) and \(inputs[2])") }
        let result = inputs[0].withElement(.float32).withWidth(heads * headSize)
        return [result] + (alsoQuantized ? [result.withElement(.quantized8)] : []) + (savesLogSumExp ? [result.withWidth(heads)] : [])
    }

    public var attributes: [(String, Attribute)] {
        [
            ("heads", .integer(heads)), ("kv_heads", .integer(keyValueHeads)), ("head_size", .integer(headSize)),
            ("scale", .real(scale)), ("causal", .flag(isCausal)),
        ] + (alsoQuantized ? [("quantized", .flag(true))] : []) + (isPacked ? [("packed", .flag(true))] : [])
            + (savesLogSumExp ? [("saves_log_sum_exp", .flag(true))] : [])
    }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(
            heads: try attributes.integer("heads"), keyValueHeads: try attributes.integer("kv_heads"),
            headSize: try attributes.integer("head_size"), scale: try attributes.real("scale"),
            isCausal: try attributes.flag("causal"))
        alsoQuantized = try readQuantizedFlag(&attributes)
        if attributes.contains("packed") { isPacked = try attributes.flag("packed") }
        if attributes.contains("saves_log_sum_exp") { savesLogSumExp = try attributes.flag("saves_log_sum_exp") }
    }
}
