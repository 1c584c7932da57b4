import ShrinkGraph

/// The shape of a GPT-2 decoder (Radford et al. 2019) from its `config.json`.
struct GPT2Config {
    var layers: Int
    var width: Int
    var feedForwardWidth: Int
    var heads: Int
    var vocabularySize: Int
    var positions: Int
    var epsilon: Double
    var activation: Unary.Function
    var isHeadTied: Bool
    var scalesAttention: Bool
    /// Whether layer n divides its scores by n + 1.
    var scalesByLayer: Bool
    /// The deviation of fresh weights.
    var initialDeviation: Double

    init(_ config: ModelConfig) throws {
        layers = try config.size("n_layer")
        width = try config.size("n_embd")
        heads = try config.size("n_head")
        vocabularySize = try config.size("vocab_size")
        positions = try config.size("n_positions")
        let inner = config.json["n_inner"]
        if inner == nil || inner == .null { feedForwardWidth = 4 * width } else { feedForwardWidth = try config.size("n_inner") }
        epsilon = try config.optionalEpsilon("layer_norm_epsilon") ?? 1e-5
        guard width.isMultiple(of: heads) else { throw config.error("n_head", "is \(heads), which does not divide the width \(width)") }
        switch try config.optionalWord("activation_function") ?? "gelu_new" {
        case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": activation = .geluTanh
        case "gelu": activation = .geluErf
        case "relu": activation = .relu
        case "silu", "swish": activation = .silu
        case "tanh": activation = .tanh
        case let name: throw config.error("activation_function", "is \(name); gelu_new, gelu, relu, silu and tanh are supported")
        }
        isHeadTied = try config.flag("tie_word_embeddings", default: true)
        scalesAttention = try config.flag("scale_attn_weights", default: true)
        scalesByLayer = try config.flag("scale_attn_by_inverse_layer_idx", default: false)
        if try config.flag("add_cross_attention", default: false) {
            throw config.error("add_cross_attention", "is true; only decoders alone are supported in this architecture")
        }
        initialDeviation = try config.initialDeviation()
    }
}
