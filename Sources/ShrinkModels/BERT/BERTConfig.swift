import ShrinkGraph

/// The shape of a BERT encoder (Devlin et al. 2018) from its `config.json`.
struct BERTConfig {
    var layers: Int
    var width: Int
    var feedForwardWidth: Int
    var heads: Int
    var vocabularySize: Int
    var positions: Int
    var segments: Int
    var epsilon: Double
    var activation: Unary.Function
    /// Whether the masked-LM head reads the table of the word embeddings.
    var isHeadTied: Bool
    /// The row of the embedding that padding reads.
    var padding: Int?
    /// The deviation of fresh weights.
    var initialDeviation: Double

    init(_ config: ModelConfig) throws {
        layers = try config.size("num_hidden_layers")
        width = try config.size("hidden_size")
        feedForwardWidth = try config.size("intermediate_size")
        heads = try config.size("num_attention_heads")
        vocabularySize = try config.size("vocab_size")
        positions = try config.size("max_position_embeddings")
        segments = try config.optionalSize("type_vocab_size") ?? 2
        epsilon = try config.optionalEpsilon("layer_norm_eps") ?? 1e-12
        guard width.isMultiple(of: heads) else { throw config.error("num_attention_heads", "is \(heads), which does not divide the width \(width)") }
        if let kind = try config.optionalWord("position_embedding_type"), kind != "absolute" {
            throw config.error("position_embedding_type", "is \(kind); only absolute is supported")
        }
        if try config.flag("is_decoder", default: false) {
            throw config.error("is_decoder", "is true; only encoders are supported in this architecture")
        }
        switch try config.optionalWord("hidden_act") ?? "gelu" {
        case "gelu": activation = .geluErf
        case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": activation = .geluTanh
        case "relu": activation = .relu
        case "silu", "swish": activation = .silu
        case let name: throw config.error("hidden_act", "is \(name); gelu, gelu_new, relu and silu are supported")
        }
        isHeadTied = try config.flag("tie_word_embeddings", default: true)
        padding = try config.paddingToken(default: 0, below: vocabularySize)
        initialDeviation = try config.initialDeviation()
    }
}
