import ShrinkGraph

/// GPT-2 (Radford et al. 2019) as transformers saves it.
enum GPT2Family: ModelFamily {
    static let modelTypes = ["gpt2"]
    static let layerCountKey = "n_layer", layerPrefix = "h.", basePrefix = "transformer."
    static let headPrefixes = ["lm_head.", "score."], sharedHeadPrefixes = ["lm_head."]

    static func task(_ config: ModelConfig) throws -> ModelTask {
        switch config.architecture ?? "GPT2LMHeadModel" {
        case "GPT2LMHeadModel", "GPT2Model": return .causalLanguageModel
        case "GPT2ForSequenceClassification": return try config.sequenceTask()
        case let name: throw config.error("architectures", "is \(name); GPT2LMHeadModel, GPT2Model and GPT2ForSequenceClassification are supported")
        }
    }

    static func architecture(_ task: ModelTask, modelType: String) -> String? {
        switch task {
        case .causalLanguageModel: "GPT2LMHeadModel"
        case .sequenceClassification, .regression: "GPT2ForSequenceClassification"
        case .encoding, .maskedLanguageModel, .tokenClassification: nil
        }
    }

    static func headPrefixes(_ task: ModelTask) -> [String] { task == .causalLanguageModel ? ["lm_head."] : ["score."] }

    static func build(_ config: ModelConfig, _ tensors: TensorCollector, pooling: SentencePooling?) throws -> ImportedModel {
        let task = try task(config), shape = try GPT2Config(config)
        let hasPrefix = tensors.isFresh || tensors.contains("transformer.wte.weight")
        var builder = GPT2Builder(config: shape, tensors: tensors, builder: GraphBuilder(name: "gpt2"), prefix: hasPrefix ? basePrefix : "")
        try builder.build(task)
        // Old checkpoints keep the causal mask as a tensor of every layer.
        let ignored = try builder.tensors.finish { name in
            name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias") || (shape.isHeadTied && name == "lm_head.weight")
        }
        return ImportedModel(
            graph: builder.builder.graph, architecture: "gpt2", task: task, vocabularySize: shape.vocabularySize,
            maximumPositions: shape.positions, maximumInputTokens: shape.positions, layerCount: shape.layers,
            labels: task.labels.isEmpty ? [] : try config.labels(), labelsAreIndependent: task.labelsAreIndependent,
            ignoredTensors: ignored, collected: builder.tensors)
    }
}

/// Builds the graph of a GPT-2 decoder. Its weights are [in, out], and one linear makes q, k and v.
private struct GPT2Builder {
    let config: GPT2Config
    var tensors: TensorCollector
    var builder: GraphBuilder
    /// Checkpoints with a head put the decoder under `transformer.`.
    let prefix: String

    mutating func build(_ task: ModelTask) throws {
        let integers = ValueType(.int32, [.batch, .tokens])
        let tokens = try builder.input("tokens", integers), positions = try builder.input("positions", integers)
        let table = try tensors.parameter(prefix + "wte.weight", [config.vocabularySize, config.width], weights, &builder)
        let places = try tensors.parameter(prefix + "wpe.weight", [config.positions, config.width], weights, &builder)
        var hidden = try add(
            try builder.add(.embedding(Embedding()), [tokens, table], origin: prefix + "wte"),
            try builder.add(.embedding(Embedding()), [positions, places], origin: prefix + "wpe"), "wpe")
        for layer in 0..<config.layers {
            hidden = try addLayer(layer, hidden)
            try builder.rename(hidden, to: Graph.hiddenName(after: layer))
        }
        hidden = try norm(hidden, "ln_f")
        try builder.output("hidden", hidden)
        if task == .causalLanguageModel {
            let head = config.isHeadTied ? table : try tensors.parameter("lm_head.weight", [config.vocabularySize, config.width], weights, &builder)
            try builder.output("logits", try builder.add(.linear(Linear()), [hidden, head], origin: "lm_head"))
        } else {
            try builder.addLastTokenScores(hidden, width: config.width, task, weights, &tensors)
        }
    }

    private var weights: InitialValues { .normal(config.initialDeviation) }

    /// Of what is added to the residual path: 1/√N of the others for N additions (Radford et al. 2019, §2.3).
    private var residual: InitialValues { .normal(config.initialDeviation / Double(2 * config.layers).squareRoot()) }

    private mutating func addLayer(_ layer: Int, _ input: ValueID) throws -> ValueID {
        let name = "h.\(layer).", width = config.width, size = width / config.heads
        let packed = try linear(try norm(input, name + "ln_1"), name + "attn.c_attn", from: width, to: 3 * width)
        let scale = (config.scalesAttention ? 1 / Double(size).squareRoot() : 1) / (config.scalesByLayer ? Double(layer + 1) : 1)
        var attention = Attention(heads: config.heads, keyValueHeads: config.heads, headSize: size, scale: scale, isCausal: true)
        attention.isPacked = true
        let mixed = try builder.add(.attention(attention), [packed], origin: prefix + name + "attn")
        let middle = try add(input, try linear(mixed, name + "attn.c_proj", from: width, to: width, residual), name + "attn")
        let inner = try linear(try norm(middle, name + "ln_2"), name + "mlp.c_fc", from: width, to: config.feedForwardWidth)
        let activated = try builder.add(.unary(Unary(config.activation)), [inner], origin: prefix + name + "mlp")
        return try add(middle, try linear(activated, name + "mlp.c_proj", from: config.feedForwardWidth, to: width, residual), name + "mlp")
    }

    private mutating func add(_ a: ValueID, _ b: ValueID, _ origin: String) throws -> ValueID {
        try builder.add(.binary(Binary(.add)), [a, b], origin: prefix + origin)
    }

    private mutating func norm(_ x: ValueID, _ name: String) throws -> ValueID {
        let name = prefix + name
        let gamma = try tensors.parameter(name + ".weight", [config.width], .ones, &builder)
        let beta = try tensors.parameter(name + ".bias", [config.width], .zeros, &builder)
        return try builder.add(.layerNorm(LayerNorm(epsilon: config.epsilon)), [x, gamma, beta], origin: name)
    }

    private mutating func linear(
        _ x: ValueID, _ name: String, from inner: Int, to outer: Int, _ initially: InitialValues? = nil
    ) throws -> ValueID {
        let name = prefix + name
        let weight = try tensors.parameter(name + ".weight", [inner, outer], initially ?? weights, &builder)
        let bias = try tensors.parameter(name + ".bias", [outer], .zeros, &builder)
        return try builder.add(.linear(Linear(isInputMajor: true)), [x, weight, bias], origin: name)
    }
}
