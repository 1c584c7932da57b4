import ShrinkCheckpoints
import ShrinkGraph

/// Builds the graph of a BERT encoder and the head that its checkpoint was trained for.
struct BERTImporter {
    let config: BERTConfig
    var tensors: TensorCollector
    var builder: GraphBuilder
    /// Checkpoints with a head put the encoder under `bert.`.
    let prefix: String

    static func importModel(_ config: BERTConfig, _ pooling: SentencePooling?, _ checkpoint: Checkpoint, file: String) throws -> ImportedModel {
        let prefix = checkpoint["bert.embeddings.word_embeddings.weight"] != nil ? "bert." : ""
        var importer = BERTImporter(
            config: config, tensors: TensorCollector(checkpoint, file: file), builder: GraphBuilder(name: "bert"), prefix: prefix)
        try importer.build(pooling ?? .standard)
        let ignored = try importer.tensors.finish { name in
            name.hasSuffix("embeddings.position_ids") || name.hasPrefix(prefix + "pooler.") || name.hasPrefix("cls.")
        }
        return ImportedModel(
            graph: importer.builder.graph, architecture: "bert", vocabularySize: config.vocabularySize,
            maximumPositions: config.positions, maximumInputTokens: min(config.positions, pooling?.maximumTokens ?? config.positions),
            labels: config.labels, labelsAreIndependent: config.labelsAreIndependent, ignoredTensors: ignored, files: checkpoint.files)
    }

    private mutating func build(_ pooling: SentencePooling) throws {
        let integers = ValueType(.int32, [.batch, .tokens])
        let tokens = try builder.input("tokens", integers)
        let segments = try builder.input("segments", integers)
        let positions = try builder.input("positions", integers)
        var hidden = try embedding(tokens, "word_embeddings", rows: config.vocabularySize)
        hidden = try add(hidden, try embedding(segments, "token_type_embeddings", rows: config.segments), "embeddings")
        hidden = try add(hidden, try embedding(positions, "position_embeddings", rows: config.positions), "embeddings")
        hidden = try norm(hidden, "embeddings.LayerNorm")
        for layer in 0..<config.layers {
            hidden = try addLayer("encoder.layer.\(layer).", hidden)
            try builder.rename(hidden, to: Graph.hiddenName(after: layer))
        }
        try builder.output("hidden", hidden)

        let labels = config.labels.count
        switch config.task {
        case .encoder:
            var vector = try builder.add(
                pooling.kind == .mean ? .meanTokens(MeanTokens()) : .selectToken(SelectToken(.first)), [hidden], origin: "pooling")
            if pooling.normalizes { vector = try builder.add(.l2Normalize(L2Normalize()), [vector], origin: "pooling") }
            try builder.output("embedding", vector)
            try addPretrainingHeads(hidden)
        case .sequenceClassification:
            let first = try builder.add(.selectToken(SelectToken(.first)), [hidden], origin: prefix + "pooler")
            let dense = try linear(first, "pooler.dense", from: config.width, to: config.width)
            let pooled = try builder.add(.unary(Unary(.tanh)), [dense], origin: prefix + "pooler")
            try builder.output("labels", try builder.addLinear(pooled, "classifier", from: config.width, to: labels, bias: true, &tensors))
        case .tokenClassification:
            try builder.output("token_labels", try builder.addLinear(hidden, "classifier", from: config.width, to: labels, bias: true, &tensors))
        }
    }

    /// `masked_logits` and `next_sentence`, where the checkpoint has their weights (Devlin et al. 2018, §3.1).
    private mutating func addPretrainingHeads(_ hidden: ValueID) throws {
        let width = config.width, head = "cls.predictions."
        if tensors.contains(head + "transform.dense.weight") {
            let dense = try builder.addLinear(hidden, head + "transform.dense", from: width, to: width, bias: true, &tensors)
            let activated = try builder.add(.unary(Unary(config.activation)), [dense], origin: head + "transform")
            let normed = try norm(activated, head + "transform.LayerNorm", isInEncoder: false)
            let table = try tensors.parameter(prefix + "embeddings.word_embeddings.weight", [config.vocabularySize, width], &builder)
            let bias = try tensors.parameter(head + "bias", [config.vocabularySize], &builder)
            try builder.output("masked_logits", try builder.add(.linear(Linear()), [normed, table, bias], origin: head + "decoder"))
        }
        if tensors.contains("cls.seq_relationship.weight") {
            let first = try builder.add(.selectToken(SelectToken(.first)), [hidden], origin: prefix + "pooler")
            let dense = try linear(first, "pooler.dense", from: width, to: width)
            let pooled = try builder.add(.unary(Unary(.tanh)), [dense], origin: prefix + "pooler")
            try builder.output("next_sentence", try builder.addLinear(pooled, "cls.seq_relationship", from: width, to: 2, bias: true, &tensors))
        }
    }

    private mutating func addLayer(_ layer: String, _ input: ValueID) throws -> ValueID {
        let width = config.width, size = width / config.heads
        let query = try linear(input, layer + "attention.self.query", from: width, to: width)
        let key = try linear(input, layer + "attention.self.key", from: width, to: width)
        let value = try linear(input, layer + "attention.self.value", from: width, to: width)
        let attention = Attention(
            heads: config.heads, keyValueHeads: config.heads, headSize: size, scale: 1 / Double(size).squareRoot(), isCausal: false)
        let mixed = try builder.add(.attention(attention), [query, key, value], origin: prefix + layer + "attention.self")
        let attended = try linear(mixed, layer + "attention.output.dense", from: width, to: width)
        let middle = try norm(try add(attended, input, layer + "attention.output"), layer + "attention.output.LayerNorm")
        let inner = try linear(middle, layer + "intermediate.dense", from: width, to: config.feedForwardWidth)
        let activated = try builder.add(.unary(Unary(config.activation)), [inner], origin: prefix + layer + "intermediate")
        let outer = try linear(activated, layer + "output.dense", from: config.feedForwardWidth, to: width)
        return try norm(try add(outer, middle, layer + "output"), layer + "output.LayerNorm")
    }

    private mutating func embedding(_ indices: ValueID, _ name: String, rows: Int) throws -> ValueID {
        let origin = prefix + "embeddings." + name
        let table = try tensors.parameter(origin + ".weight", [rows, config.width], &builder)
        return try builder.add(.embedding(Embedding()), [indices, table], origin: origin)
    }

    private mutating func add(_ a: ValueID, _ b: ValueID, _ origin: String) throws -> ValueID {
        try builder.add(.binary(Binary(.add)), [a, b], origin: prefix + origin)
    }

    /// Old checkpoints call the gain gamma and the offset beta.
    private mutating func norm(_ x: ValueID, _ name: String, isInEncoder: Bool = true) throws -> ValueID {
        let name = isInEncoder ? prefix + name : name
        let (gain, offset) = tensors.contains(name + ".gamma") ? ("gamma", "beta") : ("weight", "bias")
        let gamma = try tensors.parameter("\(name).\(gain)", [config.width], &builder)
        let beta = try tensors.parameter("\(name).\(offset)", [config.width], &builder)
        return try builder.add(.layerNorm(LayerNorm(epsilon: config.epsilon)), [x, gamma, beta], origin: name)
    }

    private mutating func linear(_ x: ValueID, _ name: String, from inner: Int, to outer: Int) throws -> ValueID {
        try builder.addLinear(x, prefix + name, from: inner, to: outer, bias: true, &tensors)
    }
}
