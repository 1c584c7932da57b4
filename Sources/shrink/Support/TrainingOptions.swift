import ArgumentParser
import ShrinkCompute
import ShrinkModels
import ShrinkPasses
import ShrinkTraining

extension Objective: ExpressibleByArgument {}
extension LearningRate.Schedule: ExpressibleByArgument {}
extension DocumentBoundary: ExpressibleByArgument {}
extension Recomputation: ExpressibleByArgument {}
extension HuggingFaceWriter.Numbers: ExpressibleByArgument {}

/// What `train` and `distill` share: data, loop, and optimizer. Every option is a setting of a recipe by its name without dashes.
struct TrainingOptions: ParsableArguments {
    @Option(help: "causal-lm, masked-lm, sequence-classification, token-classification, regression, or sentence-embedding.")
    var objective: Objective?
    @Flag(help: "masked-lm: also learn whether one text follows the other; lines are sentences, empty lines are between documents.")
    var nextSentence = false

    @Option(parsing: .upToNextOption, help: "Files to learn from.") var data: [String] = []
    @Option(parsing: .upToNextOption, help: "Files to validate with (default: a share of the data).") var validationData: [String] = []
    @Option(help: "The share of the examples that is held back for validation (default: 0.05).") var validationShare: Double?
    @Option(help: "The column of the text, by name or, where there is no row of names, by number (default: text).") var textColumn: String?
    @Option(help: "The column of the second text of pairs.") var pairColumn: String?
    @Option(help: "The column of the label, the tags or the score (default: label, labels, score).") var labelColumn: String?
    @Option(help: "Where documents of .txt end: file or empty-lines (default: file).") var documents: DocumentBoundary?
    @Option(help: "Tokens of an example, with special ones (default: 256 for causal-lm, else 128, at most the model's).") var maxTokens: Int?
    @Option(help: "The share of rows that may be bad (default: 0.01).") var maxBadRows: Double?
    @Option(help: "masked-lm: the share of tokens to hide (default: 0.15).") var maskShare: Double?
    @Flag(help: "masked-lm: hide whole words.") var wholeWords = false
    @Option(help: "sentence-embedding: scores are divided by it, to be cosines (default: 1).") var scoreScale: Double?

    @Option(help: "Steps to train.") var steps: Int?
    @Option(help: "Passes over the data, instead of steps (default: 3).") var epochs: Double?
    @Option(help: "Examples of a step (default: 16).") var batchSize: Int?
    @Option(help: "Examples that are computed at once; a step's gradients are added up (default: all of a step).") var microBatch: Int?
    @Option(help: "The highest learning rate (default: 5e-5, of a fresh model 5e-4).") var learningRate: Double?
    @Option(help: "How it falls after the warm-up: constant, linear or cosine (default: linear).") var schedule: LearningRate.Schedule?
    @Option(help: "Steps in which it rises from zero (default: 6 % of all).") var warmup: Int?
    @Option(help: "adamw or sgd (default: adamw).") var optimizer: String?
    @Option(help: "Decay of weights, apart from the gradient; norms and biases have none (default: 0.01).") var weightDecay: Double?
    @Option(help: "adamw: decay of the mean of gradients (default: 0.9).") var beta1: Double?
    @Option(help: "adamw: decay of the mean of their squares (default: 0.999).") var beta2: Double?
    @Option(help: "adamw: what keeps the division from zero (default: 1e-8).") var epsilon: Double?
    @Option(help: "sgd: the share of the last velocity that remains (default: 0.9).") var momentum: Double?
    @Option(help: "The greatest norm of all gradients together; 0 for any (default: 1).") var clip: Double?
    @Option(parsing: .upToNextOption, help: "Parameters to leave as they are, by patterns of their names such as '*.embeddings.*'.") var freeze: [String] = []
    @Option(help: "Save memory by computing again in the backward pass: nothing, elementwise or blocks (default: nothing).") var recompute: Recomputation?
    @Option(help: "Steps between validations (default: a tenth of all).") var validateEvery: Int?
    @Option(help: "Steps between checkpoints (default: 500).") var checkpointEvery: Int?
    @Option(help: "Stop after so many validations in a row without a better one.") var patience: Int?
    @Option(help: "The seed of all that is random (default: 0).") var seed: Int?

    @Option(help: "Train with the numbers as a packed model has them, to finish one that is trained already: w8a8.") var qat: Scheme?
    @Option(help: "The numbers of the models that are written: float32 or float16 (default: float32).") var dtype: HuggingFaceWriter.Numbers?

    /// Options that are given go before what is in the recipe.
    func apply(to recipe: inout Recipe) {
        func text(_ name: String, _ value: String?) { if let value { recipe[name] = .text(value) } }
        func texts(_ name: String, _ value: [String]) { if !value.isEmpty { recipe[name] = .texts(value) } }
        func integer(_ name: String, _ value: Int?) { if let value { recipe[name] = .integer(value) } }
        func number(_ name: String, _ value: Double?) { if let value { recipe[name] = .number(value) } }
        func flag(_ name: String, _ value: Bool) { if value { recipe[name] = .flag(true) } }
        text("objective", objective?.rawValue)
        flag("next-sentence", nextSentence)
        texts("data", data)
        texts("validation-data", validationData)
        number("validation-share", validationShare)
        text("text-column", textColumn)
        text("pair-column", pairColumn)
        text("label-column", labelColumn)
        text("documents", documents?.rawValue)
        integer("max-tokens", maxTokens)
        number("max-bad-rows", maxBadRows)
        number("mask-share", maskShare)
        flag("whole-words", wholeWords)
        number("score-scale", scoreScale)
        // The command line's choice of the two replaces the recipe's.
        if steps != nil { recipe["epochs"] = nil }
        if epochs != nil { recipe["steps"] = nil }
        integer("steps", steps)
        number("epochs", epochs)
        integer("batch-size", batchSize)
        integer("micro-batch", microBatch)
        number("learning-rate", learningRate)
        text("schedule", schedule?.rawValue)
        integer("warmup", warmup)
        text("optimizer", optimizer)
        number("weight-decay", weightDecay)
        number("beta1", beta1)
        number("beta2", beta2)
        number("epsilon", epsilon)
        number("momentum", momentum)
        number("clip", clip)
        texts("freeze", freeze)
        text("recompute", recompute?.rawValue)
        integer("validate-every", validateEvery)
        integer("checkpoint-every", checkpointEvery)
        integer("patience", patience)
        integer("seed", seed)
        text("qat", qat?.rawValue)
        text("dtype", dtype?.rawValue)
    }
}
