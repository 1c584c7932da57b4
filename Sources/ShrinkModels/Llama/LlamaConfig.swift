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

    /// Of a Hugging Face `config.json`.
    init(_ config: ModelConfig, modelType: String) throws {
        layers = try config.size("num_hidden_layers")
        width = try config.size("hidden_size")
        feedForwardWidth = try config.size("intermediate_size")
        heads = try config.size("num_attention_heads")
        keyValueHeads = try config.optionalSize("num_key_value_heads") ?? heads
        headSize = try config.optionalSize("head_dim") ?? width / heads
        vocabularySize = try config.size("vocab_size")
        maximumPositions = try config.size("max_position_embeddings")
        epsilon = try config.positive("rms_norm_eps")
        rotaryLayout = .half
        isHeadTied = try config.flag("tie_word_embeddings", default: false)
        let hasBias = try config.flag("attention_bias", default: false)
        queryKeyValueBias = modelType == "qwen2" || hasBias
        outputBias = modelType != "qwen2" && hasBias
        feedForwardBias = try config.flag("mlp_bias", default: false)
        if let activation = config.json["hidden_act"], activation.string != "silu" {
            throw config.error("hidden_act", "is \(activation.string ?? "not a name"); only silu is supported in this architecture")
        }
        // Inside the window, a sliding-window model is an ordinary one.
        let slides = modelType == "qwen2" ? try config.flag("use_sliding_window", default: false) : true
        if slides, let window = try config.optionalSize("sliding_window") { maximumPositions = min(maximumPositions, window) }
        rotary = try RotaryTable(config, headSize: headSize, maximumPositions: &maximumPositions)
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
        headSize = try optionalSize("attention.key_length") ?? width / heads
        maximumPositions = try size("context_length")
        guard let rows = file.checkpoint["token_embd.weight"]?.shape.first else {
            throw ModelError(.missingTensor, path, "the tensor token_embd.weight is missing")
        }
        vocabularySize = rows
        guard let epsilon = file["\(architecture).attention.layer_norm_rms_epsilon"]?.double, epsilon > 0 else {
            throw fail("\(architecture).attention.layer_norm_rms_epsilon", "is missing or not positive")
        }
        self.epsilon = epsilon
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
        guard base > 0, base.isFinite else { throw fail("\(architecture).rope.freq_base", "must be a positive number") }
        var scaling = RotaryTable.Scaling.none
        if let kind = file["\(architecture).rope.scaling.type"]?.string, kind != "none" {
            guard kind == "linear", let factor = file["\(architecture).rope.scaling.factor"]?.double, factor > 0 else {
                throw fail("\(architecture).rope.scaling.type", "is \(kind); none and linear are supported in GGUF files")
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
            divisors = values
        }
        rotary = RotaryTable(headSize: headSize, base: base, scaling: scaling, divisors: divisors)
        try check(ModelConfig(json: .null, file: path))
    }

    private func check(_ config: ModelConfig) throws {
        guard heads.isMultiple(of: keyValueHeads) else {
            throw config.error("num_key_value_heads", "is \(keyValueHeads), which does not divide the \(heads) heads")
        }
        guard headSize > 0, headSize.isMultiple(of: 2), headSize <= 1 << 15 else {
            throw config.error("head_dim", "must be even and at most 32768, but is \(headSize)")
        }
        guard maximumPositions <= RotaryTable.maximumElementCount / (headSize / 2) else {
            throw config.error(
                "max_position_embeddings",
                "is \(maximumPositions); with heads of \(headSize), \(RotaryTable.maximumElementCount / (headSize / 2)) positions are supported")
        }
    }
}
