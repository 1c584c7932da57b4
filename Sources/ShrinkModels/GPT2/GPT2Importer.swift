import ShrinkCheckpoints
import ShrinkGraph

/// Builds the graph of a GPT-2 decoder. Its weights are [in, out], and one linear makes q, k and v.
struct GPT2Importer {
    let config: GPT2Config
    var tensors: TensorCollector
    var builder: GraphBuilder
    /// Checkpoints with a head put the decoder under `transformer.`.
    let prefix: String

    static func importModel(_ config: GPT2Config, _ checkpoint: Checkpoint, file: String) throws -> ImportedModel {
        let prefix = checkpoint["transformer.wte.weight"] != nil ? "transformer." : ""
        var importer = GPT2Importer(
            config: config, tensors: TensorCollector(checkpoint, file: file), builder: GraphBuilder(name: "gpt2"), prefix: prefix)
        try importer.build()
        // Old checkpoints keep the causal mask as a tensor of every layer.
        let ignored = try importer.tensors.finish { name in
            name.hasSuffix(".attn.bias") || name.hasSuffix(".attn.masked_bias") || (config.isHeadTied && name == "lm_head.weight")
        }
        return ImportedModel(
            graph: importer.builder.graph, architecture: "gpt2", vocabularySize: config.vocabularySize,
            maximumPositions: config.positions, maximumInputTokens: config.positions, ignoredTensors: ignored, files: checkpoint.files)
    }

    private mutating func build() throws {
        let integers = ValueType(.int32, [.batch, .tokens])
        let tokens = try builder.input("tokens", integers), positions = try builder.input("positions", integers)
        let table = try tensors.parameter(prefix + "wte.weight", [config.vocabularySize, config.width], &builder)
        let places = try tensors.parameter(prefix + "wpe.weight", [config.positions, config.width], &builder)
        var hidden = try add(
            try builder.add(.embedding(Embedding()), [tokens, table], origin: prefix + "wte"),
            try builder.add(.embedding(Embedding()), [positions, places], origin: prefix + "wpe"), "wpe")
        for layer in 0..<config.layers {
            hidden = try addLayer(layer, hidden)
            try builder.rename(hidden, to: Graph.hiddenName(after: layer))
        }
        hidden = try norm(hidden, "ln_f")
        try builder.output("hidden", hidden)
        let head = config.isHeadTied ? table : try tensors.parameter("lm_head.weight", [config.vocabularySize, config.width], &builder)
        try builder.output("logits", try builder.add(.linear(Linear()), [hidden, head], origin: "lm_head"))
    }

    private mutating func addLayer(_ layer: Int, _ input: ValueID) throws -> ValueID {
        let name = "h.\(layer).", width = config.width, size = width / config.heads
        let packed = try linear(try norm(input, name + "ln_1"), name + "attn.c_attn", from: width, to: 3 * width)
        let scale = (config.scalesAttention ? 1 / Double(size).squareRoot() : 1) / (config.scalesByLayer ? Double(layer + 1) : 1)
        var attention = Attention(heads: config.heads, keyValueHeads: config.heads, headSize: size, scale: scale, isCausal: true)
        attention.isPacked = true
        let mixed = try builder.add(.attention(attention), [packed], origin: prefix + name + "attn")
        let middle = try add(input, try linear(mixed, name + "attn.c_proj", from: width, to: width), name + "attn")
        let inner = try linear(try norm(middle, name + "ln_2"), name + "mlp.c_fc", from: width, to: config.feedForwardWidth)
        let activated = try builder.add(.unary(Unary(config.activation)), [inner], origin: prefix + name + "mlp")
        return try add(middle, try linear(activated, name + "mlp.c_proj", from: config.feedForwardWidth, to: width), name + "mlp")
    }

    private mutating func add(_ a: ValueID, _ b: ValueID, _ origin: String) throws -> ValueID {
        try builder.add(.binary(Binary(.add)), [a, b], origin: prefix + origin)
    }

    private mutating func norm(_ x: ValueID, _ name: String) throws -> ValueID {
        let name = prefix + name
        let gamma = try tensors.parameter(name + ".weight", [config.width], &builder)
        let beta = try tensors.parameter(name + ".bias", [config.width], &builder)
        return try builder.add(.layerNorm(LayerNorm(epsilon: config.epsilon)), [x, gamma, beta], origin: name)
    }

    private mutating func linear(_ x: ValueID, _ name: String, from inner: Int, to outer: Int) throws -> ValueID {
        let name = prefix + name
        let weight = try tensors.parameter(name + ".weight", [inner, outer], &builder)
        let bias = try tensors.parameter(name + ".bias", [outer], &builder)
        return try builder.add(.linear(Linear(isInputMajor: true)), [x, weight, bias], origin: name)
    }
}
