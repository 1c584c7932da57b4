import ShrinkModels

/// What a model learns.
public enum Objective: String, Sendable, CaseIterable {
    /// The next token, in windows of the text.
    case causalLanguageModel = "causal-lm"
    /// Hidden tokens (Devlin et al. 2019, §3.1), perhaps with next sentences.
    case maskedLanguageModel = "masked-lm"
    /// A label of a text or a pair.
    case sequenceClassification = "sequence-classification"
    /// A label of each word.
    case tokenClassification = "token-classification"
    /// A number for a text or a pair.
    case regression
    /// A vector of a text, such that the cosines of pairs are their scores (Reimers & Gurevych 2019, §3).
    case sentenceEmbedding = "sentence-embedding"

    /// The output of a model that is trained.
    public var output: String {
        switch self {
        case .causalLanguageModel: "logits"
        case .maskedLanguageModel: "masked_logits"
        case .sequenceClassification, .regression: "labels"
        case .tokenClassification: "token_labels"
        case .sentenceEmbedding: "embedding"
        }
    }

    public var hasLabels: Bool { self == .sequenceClassification || self == .tokenClassification }
    /// Whether texts are cut into windows, instead of one example for each row.
    public var isLanguageModel: Bool { self == .causalLanguageModel || self == .maskedLanguageModel }

    /// What a model must be able to answer for it.
    public func modelTask(labels: [String], nextSentence: Bool = false) -> ModelTask {
        switch self {
        case .causalLanguageModel: .causalLanguageModel
        case .maskedLanguageModel: .maskedLanguageModel(nextSentence: nextSentence)
        case .sequenceClassification: .sequenceClassification(labels: labels)
        case .tokenClassification: .tokenClassification(labels: labels)
        case .regression: .regression
        case .sentenceEmbedding: .encoding
        }
    }
}
