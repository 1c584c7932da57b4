import ShrinkGraph

/// Recurrent models: an embedding, a stack of layers and a head. The tensors have the names of a torch module with the
/// members `embedding`, `rnn` and `head`; a fresh one has torch's initial values.
enum RecurrentFamily: ModelFamily {
    static let modelTypes = Recurrent.Cell.allCases.map(\.rawValue)
    static let layerCountKey = "num_layers", layerPrefix = "rnn.", basePrefix = ""
    static let headPrefixes = ["head."], sharedHeadPrefixes: [String] = []
    static let poolsSentences = true

    static func task(_ config: ModelConfig) throws -> ModelTask {
        let family = try config.optionalWord("model_type")?.uppercased() ?? ""
        let name = config.architecture ?? family + Suffix.causalLanguageModel.rawValue
        switch Suffix.allCases.first(where: { family + $0.rawValue == name }) {
        case .encoding: return .encoding
        case .causalLanguageModel: return .causalLanguageModel
        case .sequenceClassification: return try config.sequenceTask()
        case .tokenClassification: return .tokenClassification(labels: try config.labels())
        case nil:
            let known = Suffix.allCases.map { family + $0.rawValue }.joined(separator: ", ")
            throw config.error("architectures", "is \(name); \(known) are supported")
        }
    }

    /// What follows the name of the cell in `architectures`.
    private enum Suffix: String, CaseIterable {
        case encoding = "Model"
        case causalLanguageModel = "ForCausalLM"
        case sequenceClassification = "ForSequenceClassification"
        case tokenClassification = "ForTokenClassification"
    }

    static func architecture(_ task: ModelTask, modelType: String) -> String? {
        let suffix: Suffix
        switch task {
        case .encoding: suffix = .encoding
        case .causalLanguageModel: suffix = .causalLanguageModel
        case .sequenceClassification, .regression: suffix = .sequenceClassification
        case .tokenClassification: suffix = .tokenClassification
        case .maskedLanguageModel: return nil
        }
        return modelType.uppercased() + suffix.rawValue
    }

    static func headPrefixes(_ task: ModelTask) -> [String] { task == .encoding ? [] : headPrefixes }

    /// `rnn.weight_ih_l`, the layer, and perhaps `_reverse`.
    static func layer(of name: String) -> (front: Substring, layer: Int, back: Substring)? {
        guard name.hasPrefix(layerPrefix), let mark = name.firstRange(of: "_l") else { return nil }
        let rest = name[mark.upperBound...], digits = rest.prefix { $0.isASCII && $0.isNumber }
        return Int(digits).map { (name[..<mark.upperBound], $0, rest.dropFirst(digits.count)) }
    }

    static func build(_ config: ModelConfig, _ tensors: TensorCollector, pooling: SentencePooling?) throws -> ImportedModel {
        let task = try task(config), shape = try RecurrentConfig(config)
        if task == .causalLanguageModel, shape.isBidirectional {
            throw config.error("bidirectional", "is true; a model that sees the tokens to come cannot predict them")
        }
        var builder = RecurrentBuilder(config: shape, task: task, tensors: tensors, builder: GraphBuilder(name: shape.cell.rawValue))
        try builder.build(pooling)
        let ignored = try builder.tensors.finish { task == .causalLanguageModel && shape.isHeadTied && $0 == "head.weight" }
        return ImportedModel(
            graph: builder.builder.graph, architecture: shape.cell.rawValue, task: task, vocabularySize: shape.vocabularySize,
            maximumPositions: shape.positions, maximumInputTokens: min(shape.inputTokens, pooling?.maximumTokens ?? shape.inputTokens),
            layerCount: shape.layers, labels: task.labels.isEmpty ? [] : try config.labels(),
            labelsAreIndependent: task.labelsAreIndependent, ignoredTensors: ignored, collected: builder.tensors)
    }
}

private struct RecurrentBuilder {
    let config: RecurrentConfig
    let task: ModelTask
    var tensors: TensorCollector
    var builder: GraphBuilder

    mutating func build(_ pooling: SentencePooling?) throws {
        let tokens = try builder.input("tokens", ValueType(.int32, [.batch, .tokens]))
        let isTied = task == .causalLanguageModel && config.isHeadTied
        // A table that is the head's weight starts as such: logits of a normal one would be far too large.
        let table = try tensors.parameter(
            "embedding.weight", [config.vocabularySize, config.embeddingWidth], isTied ? uniform(config.stateWidth) : .normal(1), &builder)
        var hidden = try builder.add(.embedding(Embedding()), [tokens, table], origin: "embedding")
        var width = config.embeddingWidth, directions: [ValueID] = []
        for layer in 0..<config.layers {
            directions = [try addDirection(hidden, width, "l\(layer)", isReversed: false)]
            if config.isBidirectional { directions.append(try addDirection(hidden, width, "l\(layer)_reverse", isReversed: true)) }
            hidden = try joined(directions, "rnn.l\(layer)")
            try builder.rename(hidden, to: Graph.hiddenName(after: layer))
            width = config.stateWidth
        }
        try builder.output("hidden", hidden)
        switch task {
        case .encoding:
            var vector = try pooled(hidden, directions, pooling)
            if pooling?.normalizes == true { vector = try builder.add(.l2Normalize(L2Normalize()), [vector], origin: "pooling") }
            try builder.output("embedding", vector)
        case .causalLanguageModel: try builder.output("logits", try head(hidden, outer: config.vocabularySize, table: isTied ? table : nil))
        case .sequenceClassification, .regression:
            try builder.output("labels", try head(try pooled(hidden, directions, nil), outer: task.labels.count, table: nil))
        case .tokenClassification: try builder.output("token_labels", try head(hidden, outer: task.labels.count, table: nil))
        case .maskedLanguageModel: break
        }
    }

    /// What torch draws for layers with `inner` inputs (of a cell: states).
    private func uniform(_ inner: Int) -> InitialValues { InitialValues(distribution: .uniform(bound: 1 / Double(inner).squareRoot())) }

    /// One direction of one layer.
    private mutating func addDirection(_ x: ValueID, _ inner: Int, _ suffix: String, isReversed: Bool) throws -> ValueID {
        let gates = config.cell.gateCount * config.width, initially = uniform(config.width)
        var input = [x, try tensors.parameter("rnn.weight_ih_\(suffix)", [gates, inner], initially, &builder)]
        var recurrent = [try tensors.parameter("rnn.weight_hh_\(suffix)", [gates, config.width], initially, &builder)]
        if config.hasBias {
            input.append(try tensors.parameter("rnn.bias_ih_\(suffix)", [gates], initially, &builder))
            recurrent.append(try tensors.parameter("rnn.bias_hh_\(suffix)", [gates], initially, &builder))
        }
        let given = try builder.add(.linear(Linear()), input, origin: "rnn.\(suffix)")
        return try builder.add(.recurrent(Recurrent(config.cell, isReversed: isReversed)), [given] + recurrent, origin: "rnn.\(suffix)")
    }

    private mutating func joined(_ directions: [ValueID], _ origin: String) throws -> ValueID {
        directions.count == 1 ? directions[0] : try builder.add(.concatenate(Concatenate()), directions, origin: origin)
    }

    private mutating func pooled(_ hidden: ValueID, _ directions: [ValueID], _ pooling: SentencePooling?) throws -> ValueID {
        if config.pooling == .mean || pooling?.kind == .mean { return try builder.add(.meanTokens(MeanTokens()), [hidden], origin: "pooling") }
        var states: [ValueID] = []
        for (direction, position) in zip(directions, [SelectToken.Position.last, .first]) {
            states.append(try builder.add(.selectToken(SelectToken(position)), [direction], origin: "pooling"))
        }
        return try joined(states, "pooling")
    }

    private mutating func head(_ x: ValueID, outer: Int, table: ValueID?) throws -> ValueID {
        let inner = config.stateWidth
        var inputs = [x, try table ?? tensors.parameter("head.weight", [outer, inner], uniform(inner), &builder)]
        if config.hasHeadBias { inputs.append(try tensors.parameter("head.bias", [outer], uniform(inner), &builder)) }
        return try builder.add(.linear(Linear()), inputs, origin: "head")
    }
}
