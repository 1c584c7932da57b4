import ShrinkGraph

/// The shape of a recurrent model from its `config.json`, which is this project's own: torch saves no such file.
struct RecurrentConfig {
    /// What one vector of a sequence is made of.
    enum Pooling: String, CaseIterable {
        /// The last state of the forward direction and that of the reversed one, which is at the first token.
        case last
        /// The mean of all tokens' states.
        case mean
    }

    var cell: Recurrent.Cell
    var layers: Int
    var embeddingWidth: Int
    var width: Int
    var isBidirectional: Bool
    var hasBias: Bool
    var vocabularySize: Int
    var isHeadTied: Bool
    var hasHeadBias: Bool
    var pooling: Pooling
    /// The state takes the same memory whatever the length; these bound what is asked for at once.
    var positions: Int
    var inputTokens: Int

    /// Of one token's states, all directions together.
    var stateWidth: Int { isBidirectional ? 2 * width : width }

    init(_ config: ModelConfig) throws {
        let type = try config.optionalWord("model_type") ?? ""
        guard let cell = Recurrent.Cell(rawValue: type) else { throw config.error("model_type", "is \(type), which is no recurrent model") }
        self.cell = cell
        layers = try config.size("num_layers")
        width = try config.size("hidden_size")
        embeddingWidth = try config.optionalSize("embedding_size") ?? width
        vocabularySize = try config.size("vocab_size")
        isBidirectional = try config.flag("bidirectional", default: false)
        hasBias = try config.flag("bias", default: true)
        isHeadTied = try config.flag("tie_word_embeddings", default: false)
        hasHeadBias = try config.flag("head_bias", default: true)
        let word = try config.optionalWord("pooling") ?? Pooling.last.rawValue
        guard let pooling = Pooling(rawValue: word) else { throw config.error("pooling", "is \(word); last and mean are supported") }
        self.pooling = pooling
        let limit = try config.optionalSize("max_position_embeddings")
        positions = limit ?? 1 << 16
        inputTokens = limit ?? 512
        if cell == .rnn, let kind = try config.optionalWord("nonlinearity"), kind != "tanh" {
            throw config.error("nonlinearity", "is \(kind); only tanh is supported")
        }
        if let width = config.json["proj_size"], width != .integer(0) {
            throw config.error("proj_size", "is not 0; states that are projected are not supported")
        }
        if isHeadTied, embeddingWidth != width {
            throw config.error("tie_word_embeddings", "is true, but the states are \(width) wide and the embeddings \(embeddingWidth)")
        }
    }
}
