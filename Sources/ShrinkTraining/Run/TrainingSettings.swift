import ShrinkCompute
import ShrinkModels
import ShrinkPasses

/// What a recipe says about training, checked and complete.
public struct TrainingSettings: Sendable {
    /// The settings of `shrink train`, in the order in which they are recorded.
    public static let keys: [RecipeKey] = [
        RecipeKey("checkpoint", .text), RecipeKey("config", .text), RecipeKey("tokenizer", .text),
        RecipeKey("objective", .text), RecipeKey("next-sentence", .flag),
        RecipeKey("data", .texts), RecipeKey("validation-data", .texts), RecipeKey("validation-share", .number),
        RecipeKey("text-column", .text), RecipeKey("pair-column", .text), RecipeKey("label-column", .text), RecipeKey("documents", .text),
        RecipeKey("max-tokens", .integer), RecipeKey("max-bad-rows", .number), RecipeKey("mask-share", .number), RecipeKey("whole-words", .flag),
        RecipeKey("score-scale", .number),
        RecipeKey("steps", .integer), RecipeKey("epochs", .number), RecipeKey("batch-size", .integer), RecipeKey("micro-batch", .integer),
        RecipeKey("learning-rate", .number), RecipeKey("schedule", .text), RecipeKey("warmup", .integer),
        RecipeKey("optimizer", .text), RecipeKey("weight-decay", .number), RecipeKey("beta1", .number), RecipeKey("beta2", .number),
        RecipeKey("epsilon", .number), RecipeKey("momentum", .number), RecipeKey("clip", .number), RecipeKey("freeze", .texts),
        RecipeKey("recompute", .text), RecipeKey("validate-every", .integer), RecipeKey("checkpoint-every", .integer),
        RecipeKey("patience", .integer), RecipeKey("seed", .integer), RecipeKey("qat", .text), RecipeKey("dtype", .text),
    ]

    /// The recipe with every setting that has a default.
    public private(set) var recipe: Recipe
    public let checkpoint: String?
    public let configuration: String?
    public let tokenizer: String?
    public let objective: Objective
    public let nextSentence: Bool
    public let badRowShare: Double
    public let optimizer: Optimizer.Method
    public let weightDecay: Double
    public let frozen: [String]
    public let recomputation: Recomputation
    public let seed: UInt64
    /// How the model will be packed, when training computes as it will then.
    public let scheme: Scheme
    /// The numbers of the models that are written; training itself is in binary32.
    public let numbers: HuggingFaceWriter.Numbers

    /// - Throws: `TrainingError` `badRecipe` for what is missing, impossible, or contradicts itself.
    public init(_ recipe: Recipe) throws(TrainingError) {
        var reader = SettingsReader(recipe)
        checkpoint = reader.recipe.text("checkpoint")
        configuration = reader.recipe.text("config")
        guard (checkpoint == nil) != (configuration == nil) else {
            throw TrainingError(.badRecipe, "", "give a checkpoint to start from, or with --config the configuration of a fresh model, one of the two")
        }
        tokenizer = reader.recipe.text("tokenizer")
        guard reader.recipe.text("objective") != nil else {
            throw TrainingError(.badRecipe, "", "the objective is missing: \(Objective.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        objective = try reader.choice("objective", default: .causalLanguageModel)
        nextSentence = reader.flag("next-sentence", default: false)
        guard let files = reader.recipe.texts("data"), !files.isEmpty else { throw TrainingError(.badRecipe, "", "the data is missing: give files with --data") }
        _ = try reader.number("validation-share", default: 0.05, 0...0.9)
        _ = reader.text("text-column", default: "text")
        _ = reader.text("label-column", default: objective == .tokenClassification ? "labels" : objective.hasLabels ? "label" : "score")
        _ = try reader.choice("documents", default: DocumentBoundary.file)
        _ = try reader.optionalInteger("max-tokens", 2...1 << 20)
        badRowShare = try reader.number("max-bad-rows", default: 0.01, 0...1)
        _ = try reader.number("mask-share", default: 0.15, 0.01...0.9)
        if reader.flag("whole-words", default: false), objective != .maskedLanguageModel {
            throw TrainingError(.badRecipe, "", "whole-words is for the objective masked-lm")
        }
        _ = try reader.number("score-scale", default: 1, 1e-6...1e6)
        if reader.recipe.integer("steps") != nil, reader.recipe.number("epochs") != nil {
            throw TrainingError(.badRecipe, "", "steps and epochs contradict each other; give one of the two")
        }
        if try reader.optionalInteger("steps", 1...1 << 40) == nil { _ = try reader.number("epochs", default: 3, 1e-6...1e6) }
        let batch = try reader.integer("batch-size", default: 16, 1...1 << 20)
        _ = try reader.integer("micro-batch", default: batch, 1...batch)
        _ = try reader.number("learning-rate", default: checkpoint == nil ? 5e-4 : 5e-5, 1e-12...1e3)
        _ = try reader.choice("schedule", default: LearningRate.Schedule.linear)
        if let warmup = try reader.optionalInteger("warmup", 0...1 << 40), let steps = reader.recipe.integer("steps"), warmup > steps {
            throw TrainingError(.badRecipe, "", "warmup is \(warmup), more than all the \(steps) steps")
        }
        switch reader.text("optimizer", default: "adamw") {
        case "adamw":
            optimizer = .adamW(
                beta1: Float(try reader.number("beta1", default: 0.9, 0...0.999999)), beta2: Float(try reader.number("beta2", default: 0.999, 0...0.999999)),
                epsilon: Float(try reader.number("epsilon", default: 1e-8, 1e-30...1)))
            try reader.refuse(["momentum"], "is for the optimizer sgd")
        case "sgd":
            optimizer = .sgd(momentum: Float(try reader.number("momentum", default: 0.9, 0...0.999999)))
            try reader.refuse(["beta1", "beta2", "epsilon"], "is for the optimizer adamw")
        case let name: throw TrainingError(.badRecipe, "", "optimizer is \(name); adamw and sgd are there")
        }
        weightDecay = try reader.number("weight-decay", default: 0.01, 0...10)
        _ = try reader.number("clip", default: 1, 0...1e9)
        frozen = reader.recipe.texts("freeze") ?? []
        recomputation = try reader.choice("recompute", default: .nothing)
        _ = try reader.optionalInteger("validate-every", 1...1 << 40)
        _ = try reader.integer("checkpoint-every", default: 500, 1...1 << 40)
        _ = try reader.optionalInteger("patience", 1...1 << 40)
        seed = UInt64(try reader.integer("seed", default: 0, 0...Int.max))
        scheme = reader.recipe.text("qat") == nil ? .fp32 : try reader.choice("qat", default: Scheme.w8a8)
        numbers = try reader.choice("dtype", default: .float32)
        self.recipe = reader.recipe
    }

    /// The data of the task.
    /// - Parameter maximumTokens: the longest input of the model.
    /// - Throws: `TrainingError` when more is asked for than the model takes.
    public func data(maximumTokens: Int) throws(TrainingError) -> TaskData {
        let limit = recipe.integer("max-tokens") ?? min(maximumTokens, objective == .causalLanguageModel ? 256 : 128)
        guard limit <= maximumTokens else {
            throw TrainingError(.badRecipe, "", "max-tokens is \(limit), but the model takes \(maximumTokens) tokens at most")
        }
        func column(_ name: String) -> DataColumn? { recipe.text(name).map { DataColumn($0) } }
        var data = TaskData(objective, files: recipe.texts("data") ?? [], maximumTokens: limit)
        data.validationFiles = recipe.texts("validation-data") ?? []
        data.validationShare = recipe.number("validation-share") ?? data.validationShare
        data.text = column("text-column") ?? data.text
        data.pair = column("pair-column")
        data.label = column("label-column") ?? data.label
        data.boundary = recipe.text("documents").flatMap(DocumentBoundary.init) ?? data.boundary
        data.nextSentence = nextSentence
        data.maskedShare = recipe.number("mask-share") ?? data.maskedShare
        data.masksWholeWords = recipe.flag("whole-words") ?? false
        data.scoreScale = recipe.number("score-scale") ?? 1
        data.seed = seed
        return data
    }

    /// How the loop goes over so many examples.
    public func options(exampleCount: Int) -> LoopOptions {
        let batch = recipe.integer("batch-size") ?? 16
        let perEpoch = Double((exampleCount + batch - 1) / batch)
        let steps = recipe.integer("steps") ?? max(1, Int(min((recipe.number("epochs") ?? 3) * perEpoch, 0x1p40).rounded(.up)))
        let rate = LearningRate(
            recipe.text("schedule").flatMap(LearningRate.Schedule.init) ?? .linear, peak: recipe.number("learning-rate") ?? 5e-5,
            // Of a short run all steps could be warm-up.
            warmup: min(recipe.integer("warmup") ?? Int((Double(steps) * 0.06).rounded()), steps), steps: steps)
        let clip = recipe.number("clip") ?? 1
        var options = LoopOptions(rate: rate, batchSize: batch, microBatchSize: recipe.integer("micro-batch"), clip: clip > 0 ? clip : nil, seed: seed)
        options.validationInterval = recipe.integer("validate-every") ?? max(1, steps / 10)
        options.checkpointInterval = recipe.integer("checkpoint-every") ?? options.checkpointInterval
        options.patience = recipe.integer("patience")
        return options
    }
}

/// Takes settings out of a recipe, and puts defaults in.
struct SettingsReader {
    var recipe: Recipe

    init(_ recipe: Recipe) { self.recipe = recipe }

    mutating func text(_ name: String, default standard: String) -> String {
        if let text = recipe.text(name) { return text }
        recipe[name] = .text(standard)
        return standard
    }

    mutating func choice<T: RawRepresentable & CaseIterable>(_ name: String, default standard: T) throws(TrainingError) -> T where T.RawValue == String {
        let text = text(name, default: standard.rawValue)
        guard let choice = T(rawValue: text) else {
            throw TrainingError(.badRecipe, "", "\(name) is \(text.prefix(60)); there are \(T.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return choice
    }

    mutating func flag(_ name: String, default standard: Bool) -> Bool {
        if let flag = recipe.flag(name) { return flag }
        recipe[name] = .flag(standard)
        return standard
    }

    func optionalInteger(_ name: String, _ range: ClosedRange<Int>) throws(TrainingError) -> Int? {
        guard let number = recipe.integer(name) else { return nil }
        guard range ~= number else { throw outside(name, "\(number)", "\(range.lowerBound)", "\(range.upperBound)") }
        return number
    }

    mutating func integer(_ name: String, default standard: Int, _ range: ClosedRange<Int>) throws(TrainingError) -> Int {
        if let number = try optionalInteger(name, range) { return number }
        recipe[name] = .integer(standard)
        return standard
    }

    mutating func number(_ name: String, default standard: Double, _ range: ClosedRange<Double>) throws(TrainingError) -> Double {
        guard let number = recipe.number(name) else {
            recipe[name] = .number(standard)
            return standard
        }
        guard range ~= number else { throw outside(name, "\(number)", "\(range.lowerBound)", "\(range.upperBound)") }
        return number
    }

    func refuse(_ names: [String], _ reason: String) throws(TrainingError) {
        if let name = names.first(where: { recipe[$0] != nil }) { throw TrainingError(.badRecipe, "", "\(name) \(reason)") }
    }

    private func outside(_ name: String, _ value: String, _ low: String, _ high: String) -> TrainingError {
        TrainingError(.badRecipe, "", "\(name) is \(value); it must be from \(low) to \(high)")
    }
}
