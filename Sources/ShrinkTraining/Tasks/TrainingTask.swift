import ShrinkCompute
import ShrinkGraph
import ShrinkModels
import ShrinkPasses

/// An objective with its examples: what goes into the graph of a model, which losses come out, and how good its answers are.
public struct TrainingTask: Sendable {
    public let objective: Objective
    public let training: ExampleSet
    /// Nil when no example is held back.
    public let validation: ExampleSet?
    /// Classes or tags, as the model names them.
    public let labels: [String]
    public let vocabularySize: Int
    /// Whether there is anything to learn but from a teacher.
    public let isUnlabelled: Bool
    private let nextSentence: Bool

    /// Reads and encodes the data, or opens what has been encoded before.
    ///
    /// - Parameters:
    ///   - tables: the tokenizer, `TokenizerDefinition.encodedTables()`.
    ///   - known: labels that a model has; its own order is kept when they are those of the data, by name or by number.
    ///   - directory: where encoded examples are kept.
    ///   - badRows: a counter for every pass over files.
    ///   - progress: gets bytes of files, done and in all; may throw to stop.
    /// - Throws: `DataError`, `CheckpointError`, `RuntimeError` for the tokenizer; `TrainingError` when the data cannot serve the objective.
    public init(
        _ data: TaskData, tokenizer tables: [UInt8], labels known: [String] = [], directory: String, badRows: @escaping () -> BadRows,
        progress: @escaping (Int, Int) throws -> Void = { _, _ in }
    ) throws {
        try data.check()
        let encoder = try ExampleEncoder(tables: tables)
        if data.objective == .maskedLanguageModel {
            // Known before the data is read, which may take long.
            _ = try Self.masking(data, encoder)
            guard data.maximumTokens > 2 else { throw TrainingError(.badRecipe, "", "\(data.maximumTokens) tokens leave no room for text") }
        }
        var labels: [String] = [], names: [String] = []
        if data.isUnlabelled {
            names = known
        } else if data.objective.hasLabels {
            // Bad rows are told of when they are encoded.
            let found = try encoder.labelNames(
                of: data.files, column: data.label, isByWord: data.objective == .tokenClassification,
                badRows: BadRows(maximumShare: badRows().maximumShare), progress: progress)
            (labels, names) = try Self.labels(found, known)
        }
        let encoding = TaskEncoding(
            data: data, tables: tables, encoder: encoder, labels: labels, directory: directory, badRows: badRows, progress: progress)
        func source(_ name: String, _ files: [String]) throws -> any BatchSource {
            let source = try Self.source(data, try encoding.store(name, of: files), encoder)
            guard source.count > 0 else {
                throw TrainingError(.mismatch, files.joined(separator: ", "), "is too short for one window of \(data.maximumTokens) tokens")
            }
            return source
        }
        let training = try source("training", data.files)
        if data.validationFiles.isEmpty {
            let split = DataSplit(count: training.count, validationShare: data.validationShare, seed: data.seed)
            guard !split.training.isEmpty else { throw TrainingError(.badRecipe, "", "a validation share of \(data.validationShare) leaves nothing to train on") }
            self.training = ExampleSet(training, examples: split.training)
            validation = split.validation.isEmpty ? nil : ExampleSet(training, examples: split.validation)
        } else {
            self.training = ExampleSet(training)
            validation = ExampleSet(try source("validation", data.validationFiles))
        }
        objective = data.objective
        nextSentence = data.nextSentence
        isUnlabelled = data.isUnlabelled && !data.objective.isLanguageModel
        self.labels = names
        vocabularySize = encoder.vocabularySize
    }

    /// The labels as the data spells them, in the order of the model's, and as the model names them.
    private static func labels(_ found: [String], _ known: [String]) throws(TrainingError) -> (data: [String], model: [String]) {
        if Set(found).isSubset(of: Set(known)) { return (known, known) }
        let numbers = known.indices.map(String.init)
        if Set(found).isSubset(of: Set(numbers)) { return (numbers, known) }
        guard found.count > 1 else { throw TrainingError(.mismatch, "", "all labels of the data are the same; there is nothing to learn") }
        return (found, found)
    }

    private static func masking(_ data: TaskData, _ encoder: ExampleEncoder) throws(TrainingError) -> (Masking, before: Int32, after: Int32) {
        guard let mask = encoder.token(.mask), let before = encoder.token(.classification), let after = encoder.token(.separator) else {
            throw TrainingError(.mismatch, "", "the tokenizer has no [MASK], [CLS] and [SEP], which the objective \(data.objective.rawValue) needs")
        }
        let special = Set([before, after, encoder.token(.padding), encoder.token(.unknown)].compactMap { $0 })
        var masking = Masking(mask: mask, special: special, continuesWord: encoder.continuesWord)
        masking.share = data.maskedShare
        masking.wholeWords = data.masksWholeWords
        return (masking, before, after)
    }

    private static func source(_ data: TaskData, _ store: ExampleStore, _ encoder: ExampleEncoder) throws -> any BatchSource {
        let padding = encoder.token(.padding) ?? encoder.token(.end) ?? 0
        func sequences(_ target: SequenceBatches.Target) -> SequenceBatches { SequenceBatches(store: store, target: target, padding: padding, limit: data.maximumTokens) }
        if data.isUnlabelled, !data.objective.isLanguageModel { return sequences(.none) }
        switch data.objective {
        case .causalLanguageModel: return WindowBatches(windows: TokenWindows(store, length: data.maximumTokens), target: .next)
        case .maskedLanguageModel:
            let (masking, before, after) = try masking(data, encoder)
            if data.nextSentence { return sequences(.hidden(masking, seed: data.seed)) }
            return WindowBatches(
                windows: TokenWindows(store, length: data.maximumTokens - 2), target: .hidden(masking, seed: data.seed, before: before, after: after))
        case .sequenceClassification: return sequences(.classes)
        case .tokenClassification: return sequences(.tags)
        case .regression: return sequences(.number)
        case .sentenceEmbedding: return sequences(.pairs)
        }
    }

    // MARK: The graph

    /// What a model must be able to answer for it.
    public var modelTask: ModelTask { objective.modelTask(labels: labels, nextSentence: nextSentence) }

    /// The graph of a model as it is trained: what the objective needs, with the losses as outputs `loss` and, where there are
    /// several, one for each.
    /// - Parameter distillation: what is learnt from a teacher; the objective's own loss is then the output `hard`, beside those.
    /// - Throws: `TrainingError` when the model has no head for the objective.
    public func trainingGraph(_ model: Graph, distillation: Distillation? = nil) throws -> Graph {
        var outputs = [objective.output]
        if nextSentence { outputs.append("next_sentence") }
        for output in outputs where model.output(named: output) == nil {
            throw TrainingError(.mismatch, "", "the model has no output \(output), which the objective \(objective.rawValue) needs")
        }
        var graph = model.extracting(outputs: outputs)
        // Before a pass that makes new values of those that losses look for.
        if let distillation { graph = try distillation.adding(to: graph, output: objective.output) }
        // Windows have no padding.
        if !(training.source is WindowBatches) { _ = try PassManager([.padSequences]).run(on: &graph) }
        guard let distillation else { return try addingObjective(to: graph, named: "loss") }
        if !isUnlabelled { graph = try addingObjective(to: graph, named: Distillation.hard) }
        return try distillation.addingSum(to: graph)
    }

    private func addingObjective(to graph: Graph, named name: String) throws -> Graph {
        switch objective {
        case .causalLanguageModel, .sequenceClassification, .tokenClassification:
            return try graph.adding(Loss(.crossEntropy), of: objective.output, named: name)
        case .maskedLanguageModel:
            guard nextSentence else { return try graph.adding(Loss(.crossEntropy), of: objective.output, named: name) }
            return try graph.adding(Loss(.crossEntropy), of: objective.output, named: "masked_tokens")
                .adding(Loss(.crossEntropy), of: "next_sentence", target: "next_sentence_labels", named: "next_sentences")
                .addingSum(of: [("masked_tokens", 1), ("next_sentences", 1)], named: name)
        case .regression: return try graph.adding(Loss(.squaredError), of: objective.output, target: "scores", named: name)
        case .sentenceEmbedding: return try graph.pairingEmbeddings().adding(Loss(.squaredError), of: "cosine", target: "scores", named: name)
        }
    }

    // MARK: Validation

    public var measure: any Measure { measure(ofLoss: "loss") }
    /// By which figure the best model is known.
    public var score: Score { score(ofLoss: .loss) }

    /// The same of a student, whose loss is the sum of several.
    public var studentMeasure: any Measure { isUnlabelled ? Measures(parts: []) : measure(ofLoss: Distillation.hard) }
    /// - Parameter learnsLabels: whether the objective's own loss is among them; else the sum tells which student is best, for it may
    ///   learn hidden states alone and answer nothing yet.
    public func studentScore(learnsLabels: Bool) -> Score { learnsLabels ? score(ofLoss: Score(Distillation.hard, isHigherBetter: false)) : .loss }

    private func measure(ofLoss loss: String) -> any Measure {
        switch objective {
        case .causalLanguageModel: PerplexityMeasure(loss)
        case .maskedLanguageModel:
            nextSentence
                ? Measures(parts: [
                    PerplexityMeasure("masked_tokens"), ClassMeasure("next_sentence", labels: "next_sentence_labels", prefix: "next_sentence_"),
                ]) : PerplexityMeasure(loss)
        case .sequenceClassification, .tokenClassification: ClassMeasure(objective.output)
        case .regression: CorrelationMeasure(objective.output)
        case .sentenceEmbedding: CorrelationMeasure("cosine")
        }
    }

    private func score(ofLoss loss: Score) -> Score {
        switch objective {
        case .causalLanguageModel, .maskedLanguageModel: loss
        case .sequenceClassification, .tokenClassification: Score("accuracy", isHigherBetter: true)
        case .regression, .sentenceEmbedding: Score("spearman", isHigherBetter: true)
        }
    }
}
