import ShrinkGraph

/// BERT (Devlin et al. 2018) and the heads that transformers puts on it.
enum BERTFamily: ModelFamily {
    static let modelTypes = ["bert"]
    static let layerCountKey = "num_hidden_layers", layerPrefix = "encoder.layer.", basePrefix = "bert."
    static let headPrefixes = ["classifier."] + sharedHeadPrefixes
    static let sharedHeadPrefixes = ["bert.pooler.", "cls.predictions.", "cls.seq_relationship."]

    static let poolsSentences = true

    static func task(_ config: ModelConfig) throws -> ModelTask {
        switch config.architecture ?? "BertModel" {
        case "BertModel": return .encoding
        case "BertForMaskedLM": return .maskedLanguageModel(nextSentence: false)
        case "BertForPreTraining": return .maskedLanguageModel(nextSentence: true)
        case "BertForSequenceClassification": return try config.sequenceTask()
        case "BertForTokenClassification": return .tokenClassification(labels: try config.labels())
        case let name:
            throw config.error(
                "architectures",
                "is \(name); BertModel, BertForMaskedLM, BertForPreTraining, BertForSequenceClassification and BertForTokenClassification are supported")
        }
    }

    static func architecture(_ task: ModelTask, modelType: String) -> String? {
        switch task {
        case .encoding: "BertModel"
        case .causalLanguageModel: nil
        case .maskedLanguageModel(let nextSentence): nextSentence ? "BertForPreTraining" : "BertForMaskedLM"
        case .sequenceClassification, .regression: "BertForSequenceClassification"
        case .tokenClassification: "BertForTokenClassification"
        }
    }

    static func headPrefixes(_ task: ModelTask) -> [String] {
        switch task {
        case .encoding: ["bert.pooler."]
        case .causalLanguageModel: []
        case .maskedLanguageModel(let nextSentence): nextSentence ? ["cls.predictions.", "bert.pooler.", "cls.seq_relationship."] : ["cls.predictions."]
        case .sequenceClassification, .regression: ["bert.pooler.", "classifier."]
        case .tokenClassification: ["classifier."]
        }
    }

    static func build(_ config: ModelConfig, _ tensors: TensorCollector, pooling: SentencePooling?) throws -> ImportedModel {
        let task = try task(config), shape = try BERTConfig(config)
        let hasPrefix = tensors.isFresh ? hasPrefix(task) : tensors.contains("bert.embeddings.word_embeddings.weight")
        var builder = BERTBuilder(config: shape, task: task, tensors: tensors, builder: GraphBuilder(name: "bert"), prefix: hasPrefix ? basePrefix : "")
        try builder.build(pooling ?? .standard, labelCount: task.labels.count)
        let prefix = builder.prefix
        let ignored = try builder.tensors.finish { name in
            name.hasSuffix("embeddings.position_ids") || name.hasPrefix(prefix + "pooler.") || name.hasPrefix("cls.")
        }
        return ImportedModel(
            graph: builder.builder.graph, architecture: "bert", task: task, vocabularySize: shape.vocabularySize,
            maximumPositions: shape.positions, maximumInputTokens: min(shape.positions, pooling?.maximumTokens ?? shape.positions),
            layerCount: shape.layers, labels: task.labels.isEmpty ? [] : try config.labels(),
            labelsAreIndependent: task.labelsAreIndependent, ignoredTensors: ignored, collected: builder.tensors)
    }
}

/// Builds the graph of a BERT encoder and the head of its task.
private struct BERTBuilder {
    let config: BERTConfig
    let task: ModelTask
    var tensors: TensorCollector
    var builder: GraphBuilder
    /// Of the encoder's tensors.
    let prefix: String

    mutating func build(_ pooling: SentencePooling, labelCount labels: Int) throws {
        let integers = ValueType(.int32, [.batch, .tokens])
        let tokens = try builder.input("tokens", integers)
        let segments = try builder.input("segments", integers)
        let positions = try builder.input("positions", integers)
        var hidden = try embedding(tokens, "word_embeddings", rows: config.vocabularySize, zeroRow: config.padding)
        hidden = try add(hidden, try embedding(segments, "token_type_embeddings", rows: config.segments), "embeddings")
        hidden = try add(hidden, try embedding(positions, "position_embeddings", rows: config.positions), "embeddings")
        hidden = try norm(hidden, "embeddings.LayerNorm")
        for layer in 0..<config.layers {
            hidden = try addLayer("encoder.layer.\(layer).", hidden)
            try builder.rename(hidden, to: Graph.hiddenName(after: layer))
        }
        try builder.output("hidden", hidden)

        switch task {
        case .encoding, .maskedLanguageModel, .causalLanguageModel:
            var vector = try builder.add(
                pooling.kind == .mean ? .meanTokens(MeanTokens()) : .selectToken(SelectToken(.first)), [hidden], origin: "pooling")
            if pooling.normalizes { vector = try builder.add(.l2Normalize(L2Normalize()), [vector], origin: "pooling") }
            try builder.output("embedding", vector)
            try addPretrainingHeads(hidden)
            if task == .encoding {
                try tensors.carry(prefix + "pooler.dense.weight", [config.width, config.width], weights)
                try tensors.carry(prefix + "pooler.dense.bias", [config.width], .zeros)
            }
        case .sequenceClassification, .regression:
            try builder.output("labels", try head(try pooled(hidden), "classifier", to: labels))
        case .tokenClassification:
            try builder.output("token_labels", try head(hidden, "classifier", to: labels))
        }
    }

    /// `masked_logits` and `next_sentence`, where their weights are (Devlin et al. 2018, §3.1), or may be made.
    private mutating func addPretrainingHeads(_ hidden: ValueID) throws {
        let width = config.width, name = "cls.predictions."
        let wanted: (masked: Bool, next: Bool)
        if case .maskedLanguageModel(let nextSentence) = task { wanted = (true, nextSentence) } else { wanted = (false, false) }
        func has(_ name: String, _ isWanted: Bool) -> Bool { tensors.contains(name) || isWanted && tensors.offers(name) }
        if has(name + "transform.dense.weight", wanted.masked) {
            let dense = try head(hidden, name + "transform.dense", to: width)
            let activated = try builder.add(.unary(Unary(config.activation)), [dense], origin: name + "transform")
            let normed = try norm(activated, name + "transform.LayerNorm", isInEncoder: false)
            let shape = [config.vocabularySize, width]
            let table = try tensors.parameter(
                config.isHeadTied ? prefix + "embeddings.word_embeddings.weight" : name + "decoder.weight", shape, weights, &builder)
            let bias = try tensors.parameter(name + "bias", [config.vocabularySize], .zeros, &builder)
            try builder.output("masked_logits", try builder.add(.linear(Linear()), [normed, table, bias], origin: name + "decoder"))
        }
        if has("cls.seq_relationship.weight", wanted.next) {
            try builder.output("next_sentence", try head(try pooled(hidden), "cls.seq_relationship", to: 2))
        }
    }

    /// tanh of a linear of the first token.
    private mutating func pooled(_ hidden: ValueID) throws -> ValueID {
        let first = try builder.add(.selectToken(SelectToken(.first)), [hidden], origin: prefix + "pooler")
        let dense = try linear(first, "pooler.dense", from: config.width, to: config.width)
        return try builder.add(.unary(Unary(.tanh)), [dense], origin: prefix + "pooler")
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

    private mutating func embedding(_ indices: ValueID, _ name: String, rows: Int, zeroRow: Int? = nil) throws -> ValueID {
        let origin = prefix + "embeddings." + name
        let table = try tensors.parameter(origin + ".weight", [rows, config.width], .normal(config.initialDeviation, zeroRow: zeroRow), &builder)
        return try builder.add(.embedding(Embedding()), [indices, table], origin: origin)
    }

    private mutating func add(_ a: ValueID, _ b: ValueID, _ origin: String) throws -> ValueID {
        try builder.add(.binary(Binary(.add)), [a, b], origin: prefix + origin)
    }

    /// Old checkpoints call the gain gamma and the offset beta.
    private mutating func norm(_ x: ValueID, _ name: String, isInEncoder: Bool = true) throws -> ValueID {
        let name = isInEncoder ? prefix + name : name
        let (gain, offset) = tensors.contains(name + ".gamma") ? ("gamma", "beta") : ("weight", "bias")
        let gamma = try tensors.parameter("\(name).\(gain)", [config.width], .ones, &builder)
        let beta = try tensors.parameter("\(name).\(offset)", [config.width], .zeros, &builder)
        return try builder.add(.layerNorm(LayerNorm(epsilon: config.epsilon)), [x, gamma, beta], origin: name)
    }

    private var weights: InitialValues { .normal(config.initialDeviation) }

    private mutating func linear(_ x: ValueID, _ name: String, from inner: Int, to outer: Int) throws -> ValueID {
        try builder.addLinear(x, prefix + name, from: inner, to: outer, bias: true, weights, &tensors)
    }

    /// A linear that is no part of the encoder.
    private mutating func head(_ x: ValueID, _ name: String, to outer: Int) throws -> ValueID {
        try builder.addLinear(x, name, from: config.width, to: outer, bias: true, weights, &tensors)
    }
}
