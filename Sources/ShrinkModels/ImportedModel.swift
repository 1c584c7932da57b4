import ShrinkCheckpoints
import ShrinkGraph

/// A checkpoint as a graph, with what an artifact needs to know beside it.
///
/// Graph inputs are `tokens`, and `segments` and `positions` where the family has them. Outputs, as far
/// as the checkpoint has their weights: `logits` (next token), `embedding` (one vector for each
/// sequence), `labels` (sequence classification), `token_labels` (token classification), `hidden`
/// (the last hidden states).
public struct ImportedModel: Sendable {
    public var graph: Graph
    /// `model_type` of the configuration, or `general.architecture` of a GGUF file.
    public var architecture: String
    public var vocabularySize: Int
    public var maximumPositions: Int
    /// The longest input that the model's own pipeline feeds it; at most `maximumPositions`.
    public var maximumInputTokens: Int
    public var labels: [String] = []
    /// Whether each label is true or not by itself (sigmoid), instead of one of them (softmax).
    public var labelsAreIndependent = false
    /// Tensors of the checkpoint that no output needs, by the rule that names them.
    public var ignoredTensors: [String] = []
    /// The files that hold the numbers.
    public var files: [MappedFile]
}
