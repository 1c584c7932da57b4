import ShrinkGraph

/// The shape of a BERT encoder (Devlin et al. 2018) from its `config.json`.
struct BERTConfig {
    var layers: Int
    var width: Int
    var feedForwardWidth: Int
    var heads: Int
    var vocabularySize: Int
    var positions: Int
    var segments: Int
    var epsilon: Double
    var activation: Unary.Function
    /// What the checkpoint was trained for, of `architectures`.
    var task: Task
    var labels: [String]
    /// One label alone, or `problem_type` multi_label_classification.
    var labelsAreIndependent: Bool

    /// What the runtime takes.
    private static let maximumLabelCount = 1 << 20

    enum Task { case encoder, sequenceClassification, tokenClassification }

    init(_ config: ModelConfig) throws {
        layers = try config.size("num_hidden_layers")
        width = try config.size("hidden_size")
        feedForwardWidth = try config.size("intermediate_size")
        heads = try config.size("num_attention_heads")
        vocabularySize = try config.size("vocab_size")
        positions = try config.size("max_position_embeddings")
        segments = try config.optionalSize("type_vocab_size") ?? 2
        epsilon = try config.optionalEpsilon("layer_norm_eps") ?? 1e-12
        guard width.isMultiple(of: heads) else { throw config.error("num_attention_heads", "is \(heads), which does not divide the width \(width)") }
        if let kind = try config.optionalWord("position_embedding_type"), kind != "absolute" {
            throw config.error("position_embedding_type", "is \(kind); only absolute is supported")
        }
        if try config.flag("is_decoder", default: false) {
            throw config.error("is_decoder", "is true; only encoders are supported in this architecture")
        }
        switch try config.optionalWord("hidden_act") ?? "gelu" {
        case "gelu": activation = .geluErf
        case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": activation = .geluTanh
        case "relu": activation = .relu
        case "silu", "swish": activation = .silu
        case let name: throw config.error("hidden_act", "is \(name); gelu, gelu_new, relu and silu are supported")
        }
        let architecture = config.json["architectures"]?.array?.first?.string ?? "BertModel"
        switch architecture {
        case "BertForSequenceClassification": task = .sequenceClassification
        case "BertForTokenClassification": task = .tokenClassification
        case "BertModel", "BertForMaskedLM", "BertForPreTraining": task = .encoder
        default:
            throw config.error(
                "architectures",
                "is \(architecture); BertModel, BertForMaskedLM, BertForPreTraining, BertForSequenceClassification and BertForTokenClassification are supported")
        }
        labels = task == .encoder ? [] : try BERTConfig.labels(config)
        let problem = try config.optionalWord("problem_type")
        labelsAreIndependent = task == .sequenceClassification && (labels.count == 1 || problem == "multi_label_classification")
        if let twin = Dictionary(grouping: labels, by: { Array($0.utf8) }).first(where: { $1.count > 1 }) {
            throw config.error("id2label", "has the name \(twin.value[0]) twice; give each label its own")
        }
    }

    /// `id2label` in order of its numbers; LABEL_0, LABEL_1 … of `num_labels` (2) without one.
    static func labels(_ config: ModelConfig) throws -> [String] {
        guard let table = try config.optionalObject("id2label")?.json.object else {
            let count = try config.optionalSize("num_labels") ?? 2
            guard count <= maximumLabelCount else { throw config.error("num_labels", "is \(count), more than the \(maximumLabelCount) supported") }
            return (0..<count).map { "LABEL_\($0)" }
        }
        guard !table.members.isEmpty else { throw config.error("id2label", "has no label") }
        return try table.members.indices.map { number in
            guard let label = table["\(number)"]?.string else { throw config.error("id2label", "has no name for label \(number)") }
            return label
        }
    }
}
