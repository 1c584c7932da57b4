import ShrinkCheckpoints
import ShrinkGraph

/// Builds the graph of an embedding, a stack of recurrent layers and a head. The tensors have the names of a torch
/// module with the members `embedding`, `rnn` and `head`.
struct RecurrentImporter {
    /// What the head answers, of `architectures`: `LSTMForCausalLM` and the like; without a head, `LSTMModel`.
    enum Task: String, CaseIterable {
        case encoding = "Model"
        case causalLanguageModel = "ForCausalLM"
        case sequenceClassification = "ForSequenceClassification"
        case tokenClassification = "ForTokenClassification"
    }

    let config: RecurrentConfig
    let labels: Int
    var tensors: TensorCollector
    var builder: GraphBuilder

    static func importModel(_ shape: RecurrentConfig, _ config: ModelConfig, _ checkpoint: Checkpoint, file: String) throws -> ImportedModel {
        let family = shape.cell.rawValue.uppercased(), name = config.json["architectures"]?.array?.first?.string ?? family + Task.causalLanguageModel.rawValue
        guard let task = Task.allCases.first(where: { family + $0.rawValue == name }) else {
            let known = Task.allCases.map { family + $0.rawValue }.joined(separator: ", ")
            throw config.error("architectures", "is \(name); \(known) are supported")
        }
        if task == .causalLanguageModel, shape.isBidirectional {
            throw config.error("bidirectional", "is true; a model that sees the tokens to come cannot predict them")
        }
        let hasLabels = task == .sequenceClassification || task == .tokenClassification
        let labels = hasLabels ? try BERTConfig.labels(config) : []
        var importer = RecurrentImporter(
            config: shape, labels: labels.count, tensors: TensorCollector(checkpoint, file: file), builder: GraphBuilder(name: shape.cell.rawValue))
        try importer.build(task)
        let ignored = try importer.tensors.finish { shape.isHeadTied && $0 == "head.weight" }
        let problem = try config.optionalWord("problem_type")
        return ImportedModel(
            graph: importer.builder.graph, architecture: shape.cell.rawValue, vocabularySize: shape.vocabularySize,
            maximumPositions: shape.positions, maximumInputTokens: shape.inputTokens, labels: labels,
            labelsAreIndependent: task == .sequenceClassification && (labels.count == 1 || problem == "multi_label_classification"),
            ignoredTensors: ignored, files: checkpoint.files)
    }

    private mutating func build(_ task: Task) throws {
        let tokens = try builder.input("tokens", ValueType(.int32, [.batch, .tokens]))
        let table = try tensors.parameter("embedding.weight", [config.vocabularySize, config.embeddingWidth], &builder)
        var hidden = try builder.add(.embedding(Embedding()), [tokens, table], origin: "embedding")
        var width = config.embeddingWidth, directions: [ValueID] = []
        for layer in 0..<config.layers {
            directions = [try addDirection(hidden, width, "l\(layer)", isReversed: false)]
            if config.isBidirectional { directions.append(try addDirection(hidden, width, "l\(layer)_reverse", isReversed: true)) }
            hidden = try joined(directions, "rnn.l\(layer)")
            width = config.stateWidth
        }
        try builder.output("hidden", hidden)
        switch task {
        case .encoding: try builder.output("embedding", try pooled(hidden, directions))
        case .causalLanguageModel: try builder.output("logits", try head(hidden, outer: config.vocabularySize, table: config.isHeadTied ? table : nil))
        case .sequenceClassification: try builder.output("labels", try head(try pooled(hidden, directions), outer: labels, table: nil))
        case .tokenClassification: try builder.output("token_labels", try head(hidden, outer: labels, table: nil))
        }
    }

    /// One direction of one layer.
    private mutating func addDirection(_ x: ValueID, _ inner: Int, _ suffix: String, isReversed: Bool) throws -> ValueID {
        let gates = config.cell.gateCount * config.width
        var input = [x, try tensors.parameter("rnn.weight_ih_\(suffix)", [gates, inner], &builder)]
        var recurrent = [try tensors.parameter("rnn.weight_hh_\(suffix)", [gates, config.width], &builder)]
        if config.hasBias {
            input.append(try tensors.parameter("rnn.bias_ih_\(suffix)", [gates], &builder))
            recurrent.append(try tensors.parameter("rnn.bias_hh_\(suffix)", [gates], &builder))
        }
        let given = try builder.add(.linear(Linear()), input, origin: "rnn.\(suffix)")
        return try builder.add(.recurrent(Recurrent(config.cell, isReversed: isReversed)), [given] + recurrent, origin: "rnn.\(suffix)")
    }

    private mutating func joined(_ directions: [ValueID], _ origin: String) throws -> ValueID {
        directions.count == 1 ? directions[0] : try builder.add(.concatenate(Concatenate()), directions, origin: origin)
    }

    private mutating func pooled(_ hidden: ValueID, _ directions: [ValueID]) throws -> ValueID {
        guard config.pooling == .last else { return try builder.add(.meanTokens(MeanTokens()), [hidden], origin: "pooling") }
        var states: [ValueID] = []
        for (direction, position) in zip(directions, [SelectToken.Position.last, .first]) {
            states.append(try builder.add(.selectToken(SelectToken(position)), [direction], origin: "pooling"))
        }
        return try joined(states, "pooling")
    }

    private mutating func head(_ x: ValueID, outer: Int, table: ValueID?) throws -> ValueID {
        let inner = config.stateWidth
        var inputs = [x, try table ?? tensors.parameter("head.weight", [outer, inner], &builder)]
        if config.hasHeadBias { inputs.append(try tensors.parameter("head.bias", [outer], &builder)) }
        return try builder.add(.linear(Linear()), inputs, origin: "head")
    }
}
