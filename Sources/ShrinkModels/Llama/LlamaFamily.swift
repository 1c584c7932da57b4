import ShrinkGraph

/// Llama (Touvron et al. 2023) and the families that differ from it in a few settings.
enum LlamaFamily: ModelFamily {
    static let modelTypes = ["llama", "mistral", "qwen2"]
    static let layerCountKey = "num_hidden_layers", layerPrefix = "layers.", basePrefix = "model."
    static let layerListKeys = ["layer_types"]
    static let headPrefixes = ["lm_head.", "score."], sharedHeadPrefixes = ["lm_head."]

    static func task(_ config: ModelConfig) throws -> ModelTask {
        config.architecture?.hasSuffix("ForSequenceClassification") == true ? try config.sequenceTask() : .causalLanguageModel
    }

    static func architecture(_ task: ModelTask, modelType: String) -> String? {
        let family = ["llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2"][modelType] ?? ""
        switch task {
        case .causalLanguageModel: return family + "ForCausalLM"
        case .sequenceClassification, .regression: return family + "ForSequenceClassification"
        case .encoding, .maskedLanguageModel, .tokenClassification: return nil
        }
    }

    static func headPrefixes(_ task: ModelTask) -> [String] { task == .causalLanguageModel ? ["lm_head."] : ["score."] }

    static func build(_ config: ModelConfig, _ tensors: TensorCollector, pooling: SentencePooling?) throws -> ImportedModel {
        let type = try config.optionalWord("model_type") ?? "llama", task = try task(config)
        var model = try LlamaBuilder.build(try LlamaConfig(config, modelType: type), .huggingFace, tensors, task, architecture: type)
        if !task.labels.isEmpty { model.labels = try config.labels() }
        return model
    }
}

/// Builds the graph of a Llama-like decoder from either naming of its tensors.
struct LlamaBuilder {
    /// How a checkpoint names its tensors.
    struct Names: Sendable {
        var embedding, finalNorm, head: String
        /// The prefix of layer n.
        var layer: @Sendable (Int) -> String
        var attentionNorm, query, key, value, attentionOutput, feedForwardNorm, gate, up, down: String

        static let huggingFace = Names(
            embedding: "model.embed_tokens", finalNorm: "model.norm", head: "lm_head", layer: { "model.layers.\($0)." },
            attentionNorm: "input_layernorm", query: "self_attn.q_proj", key: "self_attn.k_proj", value: "self_attn.v_proj",
            attentionOutput: "self_attn.o_proj", feedForwardNorm: "post_attention_layernorm", gate: "mlp.gate_proj",
            up: "mlp.up_proj", down: "mlp.down_proj")

        static let gguf = Names(
            embedding: "token_embd", finalNorm: "output_norm", head: "output", layer: { "blk.\($0)." },
            attentionNorm: "attn_norm", query: "attn_q", key: "attn_k", value: "attn_v", attentionOutput: "attn_output",
            feedForwardNorm: "ffn_norm", gate: "ffn_gate", up: "ffn_up", down: "ffn_down")
    }

    let config: LlamaConfig
    let names: Names
    var tensors: TensorCollector
    var builder: GraphBuilder

    static func build(
        _ config: LlamaConfig, _ names: Names, _ tensors: TensorCollector, _ task: ModelTask, architecture: String
    ) throws -> ImportedModel {
        var builder = LlamaBuilder(config: config, names: names, tensors: tensors, builder: GraphBuilder(name: architecture))
        try builder.build(task)
        let tiedHead = names.head + ".weight"
        let ignored = try builder.tensors.finish { name in
            name.hasSuffix("rotary_emb.inv_freq") || name == "rope_freqs.weight" || (config.isHeadTied && name == tiedHead)
        }
        return ImportedModel(
            graph: builder.builder.graph, architecture: architecture, task: task, vocabularySize: config.vocabularySize,
            maximumPositions: config.maximumPositions, maximumInputTokens: config.maximumPositions, layerCount: config.layers,
            labelsAreIndependent: task.labelsAreIndependent, ignoredTensors: ignored, collected: builder.tensors)
    }

    private mutating func build(_ task: ModelTask) throws {
        let tokens = try builder.input("tokens", ValueType(.int32, [.batch, .tokens]))
        let angleType = ValueType(.float32, [.fixed(config.maximumPositions), .fixed(config.headSize / 2)])
        func angles(_ wave: RotaryAngles.Wave) -> Parameter {
            Parameter(storedType: "computed", storedByteCount: 0, source: config.rotary.source(wave))
        }
        let cosine = try builder.parameter("rotary.cosine", angleType, angles(.cosine))
        let sine = try builder.parameter("rotary.sine", angleType, angles(.sine))

        let table = try tensors.parameter(
            names.embedding + ".weight", [config.vocabularySize, config.width],
            .normal(config.initialDeviation, zeroRow: config.padding), &builder)
        var hidden = try builder.add(.embedding(Embedding()), [tokens, table], origin: names.embedding)
        for layer in 0..<config.layers {
            hidden = try addLayer(layer, hidden, cosine, sine)
            try builder.rename(hidden, to: Graph.hiddenName(after: layer))
        }
        hidden = try norm(hidden, names.finalNorm)
        try builder.output("hidden", hidden)
        guard task == .causalLanguageModel else {
            return try builder.addLastTokenScores(hidden, width: config.width, task, .normal(config.initialDeviation), &tensors)
        }
        let head = config.isHeadTied
            ? table
            : try tensors.parameter(
                names.head + ".weight", [config.vocabularySize, config.width], .normal(config.initialDeviation), &builder)
        try builder.output("logits", try builder.add(.linear(Linear()), [hidden, head], origin: names.head))
    }

    private mutating func addLayer(_ layer: Int, _ input: ValueID, _ cosine: ValueID, _ sine: ValueID) throws -> ValueID {
        let prefix = names.layer(layer)
        let size = config.headSize, attentionWidth = config.heads * size, sharedWidth = config.keyValueHeads * size
        let x = try norm(input, prefix + names.attentionNorm)
        let rotary = Operation.rotary(Rotary(headSize: size, layout: config.rotaryLayout))
        let hasBias = config.queryKeyValueBias
        let query = try linear(x, prefix + names.query, from: config.width, to: attentionWidth, bias: hasBias)
        let key = try linear(x, prefix + names.key, from: config.width, to: sharedWidth, bias: hasBias)
        let value = try linear(x, prefix + names.value, from: config.width, to: sharedWidth, bias: hasBias)
        let attention = Attention(
            heads: config.heads, keyValueHeads: config.keyValueHeads, headSize: size, scale: 1 / Double(size).squareRoot(), isCausal: true)
        let mixed = try builder.add(
            .attention(attention),
            [
                try builder.add(rotary, [query, cosine, sine], origin: prefix + names.query),
                try builder.add(rotary, [key, cosine, sine], origin: prefix + names.key), value,
            ], origin: prefix + "attention")
        let attended = try linear(mixed, prefix + names.attentionOutput, from: attentionWidth, to: config.width, bias: config.outputBias)
        let middle = try builder.add(.binary(Binary(.add)), [input, attended], origin: prefix + "residual")

        let y = try norm(middle, prefix + names.feedForwardNorm)
        let inner = config.feedForwardWidth, bias = config.feedForwardBias
        let gate = try linear(y, prefix + names.gate, from: config.width, to: inner, bias: bias)
        let up = try linear(y, prefix + names.up, from: config.width, to: inner, bias: bias)
        let activated = try builder.add(.unary(Unary(.silu)), [gate], origin: prefix + names.gate)
        let gated = try builder.add(.binary(Binary(.multiply)), [activated, up], origin: prefix + names.gate)
        let down = try linear(gated, prefix + names.down, from: inner, to: config.width, bias: bias)
        return try builder.add(.binary(Binary(.add)), [middle, down], origin: prefix + "residual")
    }

    private mutating func norm(_ x: ValueID, _ name: String) throws -> ValueID {
        let gain = try tensors.parameter(name + ".weight", [config.width], .ones, &builder)
        return try builder.add(.rmsNorm(RMSNorm(epsilon: config.epsilon)), [x, gain], origin: name)
    }

    private mutating func linear(_ x: ValueID, _ name: String, from inner: Int, to outer: Int, bias: Bool) throws -> ValueID {
        try builder.addLinear(x, name, from: inner, to: outer, bias: bias, .normal(config.initialDeviation), &tensors)
    }
}
