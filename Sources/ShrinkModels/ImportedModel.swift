import ShrinkCheckpoints
import ShrinkGraph
import ShrinkJSON

/// A model as a graph, with what an artifact needs to know beside it.
///
/// Graph inputs are `tokens`, and `segments` and `positions` where the family has them. Outputs, as far
/// as there are weights for them: `logits` (next token), `embedding` (one vector for each sequence), `labels`
/// (sequence classification), `token_labels` (token classification), `masked_logits` and `next_sentence`
/// (pre-training of encoders), `hidden` (the last hidden states).
public struct ImportedModel: Sendable {
    public var graph: Graph
    /// `model_type` of the configuration, or `general.architecture` of a GGUF file.
    public let architecture: String
    public internal(set) var task: ModelTask
    public var vocabularySize: Int
    public var maximumPositions: Int
    /// The longest input that the model's own pipeline feeds it; at most `maximumPositions`.
    public var maximumInputTokens: Int
    public let layerCount: Int
    public var labels: [String]
    /// Whether each label is true or not by itself (sigmoid), instead of one of them (softmax).
    public var labelsAreIndependent: Bool
    /// Tensors of the checkpoint that no output needs, by the rule that names them.
    public var ignoredTensors: [String]
    /// Tensors that were made because the checkpoint has none of them: heads of a new task, or all of a fresh model.
    public let createdTensors: [String]
    /// The files that hold the numbers.
    public internal(set) var files: [MappedFile] = []

    /// `config.json`; null for a GGUF file.
    public internal(set) var configuration = JSON.null
    /// The Hugging Face directory whose tokenizer and other small files belong to the model.
    public internal(set) var directory: String?
    /// How hidden states become a vector, where files say so.
    var pooling: SentencePooling?
    /// `pooling` in words, for those who must know whether it is the same.
    public var poolingDescription: String { pooling.map { "\($0.kind) \($0.normalizes)" } ?? "" }
    /// The shape of a model that was read from a GGUF file, whose tensors have other names and orders.
    var ggufConfiguration: LlamaConfig?
    /// Tensors that no output needs, but that are saved with the others.
    let carriedTensors: [ModelTensor]

    init(
        graph: Graph, architecture: String, task: ModelTask, vocabularySize: Int, maximumPositions: Int, maximumInputTokens: Int,
        layerCount: Int, labels: [String] = [], labelsAreIndependent: Bool, ignoredTensors: [String], collected: TensorCollector
    ) {
        self.graph = graph
        self.architecture = architecture
        self.task = task
        self.vocabularySize = vocabularySize
        self.maximumPositions = maximumPositions
        self.maximumInputTokens = maximumInputTokens
        self.layerCount = layerCount
        self.labels = labels
        self.labelsAreIndependent = labelsAreIndependent
        self.ignoredTensors = ignoredTensors
        createdTensors = collected.created
        carriedTensors = collected.carried
    }

    /// What a checkpoint of the model holds: the parameters that the graph reads, in its order, and those that go
    /// along unread. Tables that the graph computes are not among them.
    public var savedTensors: [ModelTensor] {
        let read = graph.usedParameters.compactMap { value -> ModelTensor? in
            guard let parameter = graph.parameter(value), !(parameter.source is RotaryAngles) else { return nil }
            return ModelTensor(name: graph[value].name, shape: graph[value].type.shape.compactMap(\.fixedValue), parameter: parameter)
        }
        return read + carriedTensors
    }
}
