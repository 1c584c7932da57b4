/// The gradient of `Attention`, whose probabilities are recomputed head by head (Dao et al. 2022, §3.1, algorithm 4):
/// [gradient of the result, result, its log-sum-exps, and the inputs of the attention] → gradients of q, k
/// and v, or of the one packed value.
public struct AttentionGradient: OperationPayload {
    public static let mnemonic = "attention_gradient"
    public var attention: Attention

    public init(_ attention: Attention) {
        self.attention = attention
        self.attention.alsoQuantized = false
        self.attention.savesLogSumExp = true
    }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        let own = attention.isPacked ? 1 : 3
        try inputs.require(3 + own...4 + own, "the gradient, the result, the log-sum-exps, and the inputs of the attention")
        let types = try attention.inferTypes(Array(inputs.dropFirst(3)))
        guard inputs[0] == types[0], inputs[1] == types[0], inputs[2] == types[1] else {
            throw GraphError(.shape, "the result must be \(types[0]) and the log-sum-exps \(types[1])")
        }
        return inputs[3..<3 + own].map { $0.withElement(.float32) }
    }

    public var attributes: [(String, Attribute)] { attention.attributes.filter { $0.0 != "saves_log_sum_exp" } }

    public init(_ attributes: inout AttributeReader) throws(GraphError) { self.init(try Attention(&attributes)) }
}
