import ShrinkCheckpoints
import ShrinkJSON

extension ImportedModel {
    /// A fresh model with initial weights as the family's implementation in transformers draws them. The weights
    /// follow from `seed` and their names alone.
    /// - Parameters:
    ///   - path: a `config.json`, or a directory that holds one.
    ///   - task: what it shall answer; nil: what the configuration says.
    ///   - teacher: a model whose way to make one vector of a sequence is taken over.
    /// - Throws: `ModelError` for a configuration that is missing, unknown, broken, or larger than the memory.
    public static func create(
        configuration path: String, task: ModelTask? = nil, seed: UInt64, poolingLike teacher: ImportedModel? = nil
    ) throws -> ImportedModel {
        let isDirectory = ModelDirectory.isDirectory(path), directory = ModelDirectory(root: path)
        let file = isDirectory ? directory.path("config.json") : path
        guard let json = try ModelDirectory.json(file: file) else {
            throw ModelError(.missingFile, path, "there is no configuration; give a config.json, or a directory that holds one")
        }
        var config = ModelConfig(json: json, file: file)
        let family = try ModelFamilies.family(config)
        let wanted = try task ?? family.task(config), architecture = family.architecture(wanted, modelType: try config.optionalWord("model_type") ?? "")
        if try config.architecture != architecture || family.task(config) != wanted { config = try config.changed(to: wanted, family) }
        let layers = try config.optionalSize(family.layerCountKey) ?? 1
        guard layers <= maximumFreshLayers else {
            throw config.error(family.layerCountKey, "is \(layers); a fresh model may have \(maximumFreshLayers) layers")
        }
        let pooling = try teacher?.pooling ?? (isDirectory && family.poolsSentences ? SentencePooling(directory: directory) : nil)
        var model = try build(config, TensorCollector(TensorStore(), file: file, creation: .init(seed: seed)), pooling: pooling)
        model.directory = isDirectory ? path : nil
        return model
    }

    /// Opens a checkpoint for a task; see `preparing(for:seed:)`.
    public static func open(_ path: String, for task: ModelTask, seed: UInt64) throws -> ImportedModel {
        try open(path).preparing(for: task, seed: seed)
    }

    /// The same model with the head of a task, its tensors named as transformers names them.
    ///
    /// A head that the checkpoint has serves again if it is for the same task and the same labels. Otherwise its
    /// tensors are left out, and listed in `ignoredTensors`; those that are missing are drawn like the weights of a
    /// fresh model, and listed in `createdTensors`.
    /// - Throws: `ModelError` for a task that the family does not know.
    public func preparing(for task: ModelTask, seed: UInt64) throws -> ImportedModel {
        let model = try inHuggingFaceForm()
        let config = ModelConfig(json: model.configuration, file: model.place), family = try ModelFamilies.family(config)
        let isNew = model.task != task || config.architecture != family.architecture(task, modelType: model.architecture)
        let changed = isNew ? try config.changed(to: task, family) : config
        let kept = family.headPrefixes(task).filter { family.sharedHeadPrefixes.contains($0) || model.task.hasHead(of: task) }
        var dropped: [String] = []
        let renamed = TensorStore(model).renamed { name in
            let canonical = family.canonicalName(name)
            if let head = family.headPrefixes.first(where: canonical.hasPrefix), !kept.contains(head) {
                dropped.append(name)
                return []
            }
            return [family.name(canonical, task)]
        }
        let creation = TensorCollector.Creation(seed: seed, prefixes: family.headPrefixes(task).map { family.name($0, task) })
        var result = try Self.build(changed, TensorCollector(renamed, file: model.place, creation: creation), pooling: model.pooling)
        result.takeOver(model)
        result.ignoredTensors = model.ignoredTensors.filter { !result.ignoredTensors.contains($0) } + dropped + result.ignoredTensors
        return result
    }

    /// Builds the graph of a configuration.
    static func build(_ config: ModelConfig, _ tensors: TensorCollector, pooling: SentencePooling?) throws -> ImportedModel {
        var model = try ModelFamilies.family(config).build(config, tensors, pooling: pooling)
        model.configuration = config.json
        model.pooling = pooling
        return model
    }

    /// What a model that was made of another has of it.
    mutating func takeOver(_ other: ImportedModel) {
        files = other.files
        directory = other.directory
    }

    /// What messages about the model name.
    public var place: String { directory ?? files.first?.path ?? architecture }

    static let maximumFreshLayers = 4096
}
