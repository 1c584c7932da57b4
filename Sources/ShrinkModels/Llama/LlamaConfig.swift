import ShrinkCheckpoints
import ShrinkGraph
import ShrinkJSON

/// The shape of a Llama-like decoder: Llama, SmolLM, Mistral, Qwen2.
struct LlamaConfig {
    var layers: Int
    var width: Int
    var feedForwardWidth: Int
    var heads: Int
    var keyValueHeads: Int
    var headSize: Int
    var vocabularySize: Int
    var maximumPositions: Int
    var epsilon: Double
    var rotary: RotaryTable
    var rotaryLayout: Rotary.Layout
    var queryKeyValueBias: Bool
    var outputBias: Bool
    var feedForwardBias: Bool
    var isHeadTied: Bool
    /// The row of the embedding that padding reads.
    var padding: Int?
    /// The deviation of fresh weights.
    var initialDeviation = 0.02
    /// Of a GGUF file: the tokens that begin and end a text and fill it up, by the keys of `config.json`.
    var tokens: [(key: String, id: Int)] = []

    /// Of a Hugging Face `config.json`.
    init(_ config: ModelConfig, modelType: String) throws {
        layers = try config.size("num_hidden_layers")
        width = try config.size("hidden_size")
        feedForwardWidth = try config.size("intermediate_size")
        heads = try config.size("num_attention_heads")
        keyValueHeads = try config.optionalSize("num_key_value_heads") ?? heads
        headSize = try config.optionalSize("head_dim") ?? LlamaConfig.headSize(width, heads, config, "num_attention_heads")
        vocabularySize = try config.size("vocab_size")
        maximumPositions = try config.size("max_position_embeddings")
        epsilon = try config.optionalEpsilon("rms_norm_eps") ?? 1e-6
        rotaryLayout = .half
        isHeadTied = try config.flag("tie_word_embeddings", default: false)
        let hasBias = try config.flag("attention_bias", default: false)
        queryKeyValueBias = modelType == "qwen2" || hasBias
        outputBias = modelType != "qwen2" && hasBias
        feedForwardBias = try config.flag("mlp_bias", default: false)
        if let activation = try config.optionalWord("hidden_act"), activation != "silu" {
            throw config.error("hidden_act", "is \(activation); only silu is supported in this architecture")
        }
        rotary = try RotaryTable(config, headSize: headSize, maximumPositions: &maximumPositions)
        // Inside the window, a sliding-window model is an ordinary one.
        if let window = try LlamaConfig.slidingWindow(config, modelType) { maximumPositions = min(maximumPositions, window) }
        padding = try config.paddingToken(default: nil, below: vocabularySize)
        initialDeviation = try config.initialDeviation()
        try check(config)
    }

    /// Of the metadata of a GGUF file; `architecture` is the prefix of its keys.
    init(_ file: GGUFFile, architecture: String, path: String) throws {
        func fail(_ key: String, _ reason: String) -> ModelError { ModelError(.invalidConfig, path, "\(key) \(reason)") }
        func optionalSize(_ key: String) throws -> Int? {
            guard let value = file["\(architecture).\(key)"] else { return nil }
            guard let size = value.int, size > 0, size < 1 << 31 else { throw fail("\(architecture).\(key)", "must be a positive integer") }
            return size
        }
        func size(_ key: String) throws -> Int {
            guard let size = try optionalSize(key) else { throw fail("\(architecture).\(key)", "is missing") }
            return size
        }
        layers = try size("block_count")
        width = try size("embedding_length")
        feedForwardWidth = try size("feed_forward_length")
        heads = try size("attention.head_count")
        keyValueHeads = try optionalSize("attention.head_count_kv") ?? heads
        headSize = try optionalSize("attention.key_length")
            ?? LlamaConfig.headSize(width, heads, ModelConfig(json: .null, file: path), "\(architecture).attention.head_count")
        maximumPositions = try size("context_length")
        guard let rows = file.checkpoint["token_embd.weight"]?.shape.first, rows > 0 else {
            throw ModelError(.missingTensor, path, "the tensor token_embd.weight is missing or empty")
        }
        vocabularySize = rows
        guard let epsilon = file["\(architecture).attention.layer_norm_rms_epsilon"]?.double, ModelConfig.isEpsilon(epsilon) else {
            throw fail("\(architecture).attention.layer_norm_rms_epsilon", "is missing or no small positive number")
        }
        self.epsilon = epsilon
        for (key, name) in [("bos_token_id", "bos_token_id"), ("eos_token_id", "eos_token_id"), ("pad_token_id", "padding_token_id")] {
            if let id = file["tokenizer.ggml.\(name)"]?.int, 0..<rows ~= id { tokens.append((key, id)) }
        }
        rotaryLayout = architecture == "llama" ? .pairs : .half
        queryKeyValueBias = file.checkpoint["blk.0.attn_q.bias"] != nil
        outputBias = file.checkpoint["blk.0.attn_output.bias"] != nil
        feedForwardBias = file.checkpoint["blk.0.ffn_up.bias"] != nil
        isHeadTied = file.checkpoint["output.weight"] == nil
        if let dimensions = try optionalSize("rope.dimension_count"), dimensions != headSize {
            throw fail("\(architecture).rope.dimension_count", "is \(dimensions), but heads have \(headSize); partial rotation is not supported")
        }
        if let window = try optionalSize("attention.sliding_window") { maximumPositions = min(maximumPositions, window) }
        let base = file["\(architecture).rope.freq_base"]?.double ?? 10_000
        guard base > 1, base.isFinite else { throw fail("\(architecture).rope.freq_base", "must be a number above 1") }
        var scaling = RotaryTable.Scaling.none
        // Old files have the factor of a linear scaling under another key, or without a type.
        let factor = file["\(architecture).rope.scaling.factor"]?.double ?? file["\(architecture).rope.scale_linear"]?.double
        let kind = file["\(architecture).rope.scaling.type"]?.string ?? (factor == nil ? "none" : "linear")
        if kind != "none" {
            guard kind == "linear", let factor, factor >= 1, factor.isFinite else {
                throw fail("\(architecture).rope.scaling.type", "is \(kind); none and linear with a factor of at least 1 are supported in GGUF files")
            }
            scaling = .linear(factor: factor)
        }
        // Llama 3 files carry the divisors of the frequencies as a tensor.
        var divisors: [Float]?
        if let tensor = file.checkpoint["rope_freqs.weight"] {
            let half = headSize / 2
            guard tensor.shape == [half] else {
                throw ModelError(.wrongShape, path, "rope_freqs.weight has the shape \(tensor.shape), [\(half)] is expected")
            }
            var values = [Float](repeating: 0, count: half)
            try values.withUnsafeMutableBufferPointer { try tensor.readFloats(0..<half, into: $0) }
            guard values.allSatisfy({ $0 >= 1 && $0.isFinite }) else {
                throw ModelError(.invalidConfig, path, "rope_freqs.weight holds a divisor that is not a number of at least 1")
            }
            divisors = values
        }
        rotary = RotaryTable(headSize: headSize, base: base, scaling: scaling, divisors: divisors)
        try check(ModelConfig(json: .null, file: path))
    }

    private static func headSize(_ width: Int, _ heads: Int, _ config: ModelConfig, _ key: String) throws -> Int {
        guard width.isMultiple(of: heads) else { throw config.error(key, "is \(heads), which does not divide the width \(width)") }
        return width / heads
    }

    private static func slidingWindow(_ config: ModelConfig, _ modelType: String) throws -> Int? {
        switch modelType {
        case "qwen2": return try config.flag("use_sliding_window", default: false) ? config.optionalSize("sliding_window") : nil
        // Mistral's window is 4096 unless the configuration says otherwise; `null` says that there is none.
        case "mistral" where config.json.object?["sliding_window"] == nil: return 4096
        case "mistral": return try config.optionalSize("sliding_window")
        default: return nil
        }
    }

    private func check(_ config: ModelConfig) throws {
        guard heads.isMultiple(of: keyValueHeads) else {
            throw config.error("num_key_value_heads", "is \(keyValueHeads), which does not divide the \(heads) heads")
        }
        // The bound keeps the table of frequencies, made before any tensor is seen, small.
        guard headSize.isMultiple(of: 2), 2...1 << 15 ~= headSize else {
            throw config.error("head_dim", "must be even and at most \(1 << 15), but is \(headSize)")
        }
    }
}
