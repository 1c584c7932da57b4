import ShrinkJSON

/// What a model answers: which head stands on it.
public enum ModelTask: Hashable, Sendable {
    /// Hidden states, and one vector for each sequence: outputs `hidden` and `embedding`.
    case encoding
    /// The next token: output `logits`.
    case causalLanguageModel
    /// Hidden tokens of a text, and perhaps whether one sentence follows the other: outputs `masked_logits` and
    /// `next_sentence`.
    case maskedLanguageModel(nextSentence: Bool)
    /// Labels of a sequence: output `labels`. Independent ones are true or not by themselves.
    case sequenceClassification(labels: [String], areIndependent: Bool = false)
    /// One number for a sequence: output `labels`, of width 1.
    case regression
    /// A label for each token: output `token_labels`.
    case tokenClassification(labels: [String])

    /// The name of the task in messages.
    public var name: String {
        switch self {
        case .encoding: "encoding"
        case .causalLanguageModel: "causal language modelling"
        case .maskedLanguageModel(nextSentence: false): "masked language modelling"
        case .maskedLanguageModel(nextSentence: true): "masked language modelling with next sentences"
        case .sequenceClassification: "sequence classification"
        case .regression: "regression"
        case .tokenClassification: "token classification"
        }
    }

    var labels: [String] {
        switch self {
        case .encoding, .causalLanguageModel, .maskedLanguageModel: []
        case .sequenceClassification(let labels, _), .tokenClassification(let labels): labels
        case .regression: ["LABEL_0"]
        }
    }

    var labelsAreIndependent: Bool {
        switch self {
        case .sequenceClassification(let labels, let areIndependent): areIndependent || labels.count == 1
        case .regression: true
        case .encoding, .causalLanguageModel, .maskedLanguageModel, .tokenClassification: false
        }
    }

    /// Whether a head for the other task answers this one: the same question about the same labels.
    func hasHead(of other: ModelTask) -> Bool {
        switch (self, other) {
        case (.maskedLanguageModel, .maskedLanguageModel): true
        case (.sequenceClassification, .sequenceClassification), (.tokenClassification, .tokenClassification): labels == other.labels
        case (.sequenceClassification, .regression), (.regression, .sequenceClassification): labels.count == other.labels.count
        default: self == other
        }
    }

    /// `problem_type` of transformers.
    private var problemType: String? {
        switch self {
        case .sequenceClassification(_, let areIndependent): areIndependent ? "multi_label_classification" : "single_label_classification"
        case .regression: "regression"
        case .encoding, .causalLanguageModel, .maskedLanguageModel, .tokenClassification: nil
        }
    }

    /// Writes labels and their kind as transformers reads them, in place of those that are there.
    func write(to object: inout JSON.Object) {
        for key in ["num_labels", "id2label", "label2id", "problem_type"] { object.remove(key) }
        guard !labels.isEmpty else { return }
        var names = JSON.Object(), numbers = JSON.Object()
        for (number, label) in labels.enumerated() {
            names.append("\(number)", .string(label))
            numbers.append(label, .integer(number))
        }
        object.set("id2label", .object(names))
        object.set("label2id", .object(numbers))
        if let problemType { object.set("problem_type", .string(problemType)) }
    }
}

extension ModelConfig {
    /// What the runtime takes.
    private static let maximumLabelCount = 1 << 20

    /// The task of a checkpoint with a head for labels of a sequence.
    func sequenceTask() throws -> ModelTask {
        let labels = try labels(), problem = try optionalWord("problem_type")
        if problem == "regression" {
            guard labels.count == 1 else { throw error("problem_type", "is regression, with \(labels.count) labels; only one number is supported") }
            return .regression
        }
        return .sequenceClassification(labels: labels, areIndependent: problem == "multi_label_classification")
    }

    /// `id2label` in order of its numbers; LABEL_0, LABEL_1 … of `num_labels` (2) without one.
    func labels() throws -> [String] {
        guard let table = try optionalObject("id2label")?.json.object else {
            let count = try optionalSize("num_labels") ?? 2
            guard count <= Self.maximumLabelCount else { throw error("num_labels", "is \(count), more than the \(Self.maximumLabelCount) supported") }
            return (0..<count).map { "LABEL_\($0)" }
        }
        guard !table.members.isEmpty else { throw error("id2label", "has no label") }
        let labels = try table.members.indices.map { number in
            guard let label = table["\(number)"]?.string else { throw error("id2label", "has no name for label \(number)") }
            return label
        }
        if let twin = Dictionary(grouping: labels, by: { Array($0.utf8) }).first(where: { $1.count > 1 }) {
            throw error("id2label", "has the name \(twin.value[0]) twice; give each label its own")
        }
        return labels
    }
}

extension ModelConfig {
    /// The same configuration for another task: `architectures`, the labels and what goes with them.
    func changed(to task: ModelTask, _ family: any ModelFamily.Type) throws -> ModelConfig {
        guard case .object(var object) = json else { return self }
        let type = try optionalWord("model_type") ?? ""
        guard let architecture = family.architecture(task, modelType: type) else {
            throw ModelError(.unsupportedTask, file, "a model of the type \(type) has no head for \(task.name)")
        }
        if case .sequenceClassification(let labels, areIndependent: false) = task, labels.count < 2 {
            throw ModelError(.unsupportedTask, file, "classification needs at least two labels, there are \(labels.count); one number is regression")
        }
        if case .tokenClassification(let labels) = task, labels.isEmpty {
            throw ModelError(.unsupportedTask, file, "token classification needs labels")
        }
        object.set("architectures", .array([.string(architecture)]))
        task.write(to: &object)
        // transformers finds the last token of a padded sequence by it.
        if family.scoresLastToken(task), json["pad_token_id"] == nil, let end = json["eos_token_id"]?.int {
            object.set("pad_token_id", .integer(end))
        }
        let changed = ModelConfig(json: .object(object), file: file)
        if !task.labels.isEmpty { _ = try changed.labels() }
        return changed
    }
}
