import Glibc
import ShrinkCompute
import ShrinkGraph
import ShrinkModels
import ShrinkTokenizers
import ShrinkTraining

/// The model that is trained, with its tokenizer: a checkpoint, or a fresh one.
struct TrainedModel {
    private(set) var model: ImportedModel
    let tokenizer: TokenizerDefinition
    private let tokenizerFiles: [HuggingFaceWriter.File]

    init(_ settings: TrainingSettings) throws {
        let source: String
        if let path = settings.checkpoint {
            model = try ImportedModel.open(path)
            source = settings.tokenizer ?? path
        } else {
            guard let path = settings.configuration else { throw CommandFailure("there is neither a checkpoint nor a configuration") }
            model = try Self.create(path, settings)
            guard let place = settings.tokenizer ?? model.directory else {
                throw CommandFailure("\(path) says nothing of a tokenizer; name its directory with --tokenizer", exitCode: CommandFailure.usage)
            }
            source = place
        }
        tokenizer = try TokenizerFiles.load(source)
        tokenizerFiles = try TokenizerFiles.files(source)
        guard tokenizer.vocabularySize <= model.vocabularySize else {
            throw CommandFailure(
                "\(source): the tokenizer has \(tokenizer.vocabularySize) tokens, the model only \(model.vocabularySize); they do not belong together")
        }
    }

    /// A configuration may be for another task, and then make no sense: its head is replaced when the labels of the data are known.
    private static func create(_ path: String, _ settings: TrainingSettings, poolingLike pooled: ImportedModel? = nil) throws -> ImportedModel {
        do { return try ImportedModel.create(configuration: path, seed: settings.seed, poolingLike: pooled) } catch is ModelError {
            let task = settings.objective.modelTask(labels: ["0", "1"], nextSentence: settings.nextSentence)
            return try ImportedModel.create(configuration: path, task: task, seed: settings.seed, poolingLike: pooled)
        }
    }

    /// A student with the tokenizer of its teacher.
    /// - Throws: `TrainingError` when the student has another.
    init(_ settings: DistillationSettings, teacher: ImportedModel, tokenizer: TokenizerDefinition) throws {
        var own: String?
        switch settings.student {
        case .layers(let count):
            let choice = settings.recipe.text("layer-choice") ?? ""
            guard let choice = LayerChoice(rawValue: choice) else {
                throw TrainingError(.badRecipe, "", "layer-choice is \(choice.prefix(60)); there are \(LayerChoice.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            model = try teacher.keeping(layers: choice.layers(count, of: teacher.layerCount))
        case .chosenLayers(let layers): model = try teacher.keeping(layers: layers)
        case .configuration(let path):
            model = try Self.create(path, settings.training, poolingLike: teacher)
            own = model.directory.flatMap { access($0 + "/tokenizer.json", F_OK) == 0 || access($0 + "/vocab.txt", F_OK) == 0 ? $0 : nil }
        case .checkpoint(let path):
            model = try ImportedModel.open(path)
            own = path
        }
        try VocabularyCheck.run(
            teacher: .init(name: settings.teacher, tokenizer: tokenizer, rows: teacher.vocabularySize),
            student: .init(name: own ?? settings.teacher, tokenizer: try own.map(TokenizerFiles.load) ?? tokenizer, rows: model.vocabularySize))
        self.tokenizer = tokenizer
        tokenizerFiles = try TokenizerFiles.files(own ?? settings.teacher)
    }

    var graph: Graph { model.graph }
    /// Where it comes from, for messages.
    var place: String { model.place }
    var maximumTokens: Int { model.maximumInputTokens }

    /// The labels of a model that has a head for this objective.
    func labels(for objective: Objective) -> [String] {
        switch (objective, model.task) {
        case (.sequenceClassification, .sequenceClassification(let labels, _)), (.tokenClassification, .tokenClassification(let labels)): labels
        default: []
        }
    }

    /// Puts the head on it that the task needs, as far as it has none.
    func prepared(for task: TrainingTask, seed: UInt64, quiet: Bool) throws -> TrainedModel {
        var result = self
        result.model = try model.preparing(for: task.modelTask, seed: seed)
        if !quiet, case .sequenceClassification(_, areIndependent: true) = model.task, result.model.task != model.task {
            Output.message("note: the model's labels were independent (multi_label_classification); from now on one of them is right")
        }
        let heads = result.model.createdTensors.filter { !model.createdTensors.contains($0) }
        if !quiet, !heads.isEmpty {
            let own = labels(for: task.objective)
            let reason = own.isEmpty ? "the model has no head for \(task.modelTask.name) yet" : "the model's own head is for the labels \(Self.listed(own))"
            let purpose = task.labels.isEmpty ? "" : " for the labels \(Self.listed(task.labels)) of the data"
            Output.message("note: \(reason); made \(heads.joined(separator: ", "))\(purpose)".onOneLine)
        }
        return result
    }

    private static func listed(_ labels: [String]) -> String {
        labels.prefix(10).map { "\"\($0.prefix(40))\"" }.joined(separator: ", ") + (labels.count > 10 ? ", … (\(labels.count))" : "")
    }

    /// Writes it as a Hugging Face directory with trained weights.
    func write(_ parameters: ParameterTable, as numbers: HuggingFaceWriter.Numbers, to path: String) throws {
        var trained = model
        trained.graph = model.graph.reading(parameters)
        try HuggingFaceWriter(trained, numbers: numbers, tokenizer: tokenizerFiles).write(to: path)
    }
}
