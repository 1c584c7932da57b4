import ShrinkGraph

/// What a family of models says of itself. Opening, fresh models, tasks, choice of layers and export are made of
/// this and common to all.
protocol ModelFamily: SendableMetatype {
    /// The values of `model_type`.
    static var modelTypes: [String] { get }
    /// The keys of `config.json` with the number of layers, and with lists of one entry for each layer.
    static var layerCountKey: String { get }
    static var layerListKeys: [String] { get }
    /// What the names of the tensors of layer n start with, before `n.` and perhaps behind the prefix of the base
    /// model. A family that names its layers otherwise says so by `layer(of:)`.
    static var layerPrefix: String { get }
    /// What models with a head put in front of the names of the base model's tensors.
    static var basePrefix: String { get }

    /// What the configuration says that the model is for.
    static func task(_ config: ModelConfig) throws -> ModelTask
    /// What `architectures` calls a model for a task; nil when the family has none.
    static func architecture(_ task: ModelTask, modelType: String) -> String?
    /// Whether the tensors of the base model have their prefix in a model for a task.
    static func hasPrefix(_ task: ModelTask) -> Bool
    /// What the names of the tensors of all heads start with.
    static var headPrefixes: [String] { get }
    /// Those of `headPrefixes` that a model for a task has or may keep.
    static func headPrefixes(_ task: ModelTask) -> [String]
    /// Those of `headPrefixes` that are the same whatever the task and its labels.
    static var sharedHeadPrefixes: [String] { get }

    /// The layer of a tensor, and its name in front of the number and behind it; nil for tensors of no layer.
    static func layer(of name: String) -> (front: Substring, layer: Int, back: Substring)?

    /// Whether sentence-transformers' files beside the configuration mean something.
    static var poolsSentences: Bool { get }
    /// Whether the head reads the last token of a sequence that is no padding.
    static func scoresLastToken(_ task: ModelTask) -> Bool

    /// Builds the graph: operations over parameters, each asked for with its name, its shape and what it holds
    /// before training. `pooling` makes one vector of a sequence, where the family has that.
    static func build(_ config: ModelConfig, _ tensors: TensorCollector, pooling: SentencePooling?) throws -> ImportedModel
}

extension ModelFamily {
    static var layerListKeys: [String] { [] }

    static var poolsSentences: Bool { false }

    static func hasPrefix(_ task: ModelTask) -> Bool { task != .encoding }

    static func scoresLastToken(_ task: ModelTask) -> Bool { headPrefixes(task).contains("score.") }

    static func layer(of name: String) -> (front: Substring, layer: Int, back: Substring)? {
        for start in [basePrefix + layerPrefix, layerPrefix] where name.hasPrefix(start) {
            let rest = name.dropFirst(start.count), digits = rest.prefix { $0.isASCII && $0.isNumber }
            if let layer = Int(digits), rest.dropFirst(digits.count).first == "." {
                return (name.prefix(start.count), layer, rest.dropFirst(digits.count))
            }
        }
        return nil
    }

    /// The name of a tensor in a model with a head, in today's spelling.
    static func canonicalName(_ name: String) -> String {
        let isBase = name.hasPrefix(basePrefix) || headPrefixes.contains(where: name.hasPrefix)
        let full = isBase ? name : basePrefix + name
        for (old, new) in [("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")] where full.hasSuffix(old) {
            return full.dropLast(old.count) + new
        }
        return full
    }

    /// The name that a model for a task has for a canonical name.
    static func name(_ canonical: String, _ task: ModelTask) -> String {
        !hasPrefix(task) && canonical.hasPrefix(basePrefix) ? String(canonical.dropFirst(basePrefix.count)) : canonical
    }
}

enum ModelFamilies {
    static let all: [any ModelFamily.Type] = [LlamaFamily.self, BERTFamily.self, GPT2Family.self, RecurrentFamily.self]

    /// The family of `model_type`.
    static func family(_ config: ModelConfig) throws -> any ModelFamily.Type {
        guard let type = try config.optionalWord("model_type") else { throw config.error("model_type", "is missing") }
        guard let family = all.first(where: { $0.modelTypes.contains(type) }) else { throw unsupported(type, config.file) }
        return family
    }

    static func unsupported(_ architecture: String, _ file: String) -> ModelError {
        ModelError(
            .unsupportedArchitecture, file,
            "the architecture \(architecture) is not supported; \(ImportedModel.supportedArchitectures.joined(separator: ", ")) are")
    }
}
