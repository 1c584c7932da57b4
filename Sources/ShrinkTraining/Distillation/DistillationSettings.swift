import ShrinkGraph

/// What a recipe says about a student and its teacher, checked and complete.
public struct DistillationSettings: Sendable {
    /// The settings of `shrink distill`: its own before those it shares with `shrink train`.
    public static let keys: [RecipeKey] = [
        RecipeKey("teacher", .text), RecipeKey("student-layers", .text), RecipeKey("layer-choice", .text), RecipeKey("student-config", .text),
        RecipeKey("student", .text), RecipeKey("losses", .text), RecipeKey("temperature", .number), RecipeKey("skew", .number),
        RecipeKey("layer-map", .text), RecipeKey("relation-heads", .integer), RecipeKey("teacher-runtime", .text), RecipeKey("top", .integer),
        RecipeKey("cache", .text), RecipeKey("cache-numbers", .text), RecipeKey("unlabelled", .flag),
    ] + shared

    private static let shared = TrainingSettings.keys.filter { !["checkpoint", "config", "tokenizer"].contains($0.name) }

    public enum Student: Sendable, Equatable {
        /// Layers of the teacher, copied: so many of them, or these.
        case layers(count: Int)
        case chosenLayers([Int])
        case configuration(String)
        case checkpoint(String)
    }

    public enum Runtime: String, Sendable, CaseIterable {
        case fp32, int8
        /// Runs once in binary32, into a file.
        case cache
    }

    /// A loss by its name on the command line.
    public enum LossName: String, Sendable, CaseIterable {
        case hard, soft, cosine, output, hidden, hiddenCosine = "hidden-cosine", attention, attentionProbabilities = "attention-probabilities"
        case attentionScores = "attention-scores", relations
    }

    /// The recipe with every setting that has a default.
    public private(set) var recipe: Recipe
    public let training: TrainingSettings
    public let teacher: String
    public let student: Student
    /// In the order given, each once.
    public let losses: [(name: LossName, weight: Double)]
    /// Whether the objective's own loss is among them.
    public var learnsLabels: Bool { losses.contains { $0.name == .hard } }
    public let temperature: Double
    public let skew: Double
    public let layerMap: LayerMap?
    public let relationHeads: Int?
    public let runtime: Runtime
    public let top: Int?
    /// The directory of caches; nil for the run's own.
    public let cache: String?
    public let cacheNumbers: CachedTeacher.Numbers
    public let isUnlabelled: Bool

    /// - Throws: `TrainingError` `badRecipe` for what is missing, impossible, or contradicts itself.
    public init(_ given: Recipe) throws(TrainingError) {
        func refuse(_ message: String) -> TrainingError { TrainingError(.badRecipe, "", message) }
        guard let teacher = given.text("teacher") else { throw refuse("the teacher is missing: give its checkpoint") }
        self.teacher = teacher
        student = try Self.student(given)
        var inner = Recipe(keys: TrainingSettings.keys)
        for key in Self.shared { inner[key.name] = given[key.name] }
        if case .configuration(let path) = student { inner["config"] = .text(path) } else { inner["checkpoint"] = .text(teacher) }
        let training = try TrainingSettings(inner)
        self.training = training
        var reader = SettingsReader(given)
        for key in Self.shared { reader.recipe[key.name] = training.recipe[key.name] }
        if case .layers = student { _ = reader.text("layer-choice", default: "spread") } else { try reader.refuse(["layer-choice"], "is for a number of student-layers") }

        isUnlabelled = reader.flag("unlabelled", default: training.objective == .sentenceEmbedding)
        let standard = isUnlabelled && training.objective != .sentenceEmbedding ? "soft=1" : Self.standardLosses(training.objective)
        let losses = try Self.losses(reader.text("losses", default: standard), training.objective)
        self.losses = losses
        func has(_ names: LossName...) -> Bool { losses.contains { names.contains($0.name) } }
        if has(.soft) {
            temperature = try reader.number("temperature", default: 2, 0.01...1000)
            skew = try reader.number("skew", default: 0, 0...0.99)
            top = try reader.optionalInteger("top", 1...1 << 20)
        } else {
            (temperature, skew, top) = (1, 0, nil)
            try reader.refuse(["temperature", "skew", "top"], "is for the loss soft")
        }
        if has(.hidden, .hiddenCosine, .attention, .attentionProbabilities, .attentionScores, .relations) {
            layerMap = try reader.recipe.text("layer-map").map { text throws(TrainingError) in try LayerMap(parsing: text) }
        } else {
            layerMap = nil
            try reader.refuse(["layer-map"], "is for losses of hidden states, attention and relations")
        }
        if has(.relations) {
            relationHeads = try reader.optionalInteger("relation-heads", 1...4096)
        } else {
            relationHeads = nil
            try reader.refuse(["relation-heads"], "is for the loss relations")
        }
        runtime = try reader.choice("teacher-runtime", default: .fp32)
        if runtime == .cache {
            cacheNumbers = try reader.choice("cache-numbers", default: .float16)
            cache = reader.recipe.text("cache")
        } else {
            (cacheNumbers, cache) = (.float16, nil)
            try reader.refuse(["cache", "cache-numbers"], "is for the teacher-runtime cache")
        }
        if isUnlabelled, has(.hard) { throw refuse("the loss hard needs labels, which unlabelled says are not there") }
        if !isUnlabelled, training.objective == .sentenceEmbedding { throw refuse("students of the objective sentence-embedding learn from texts alone: unlabelled cannot be false") }
        recipe = reader.recipe
    }

    private static func student(_ recipe: Recipe) throws(TrainingError) -> Student {
        let choices = [recipe.text("student-layers"), recipe.text("student-config"), recipe.text("student")]
        guard choices.filter({ $0 != nil }).count == 1 else {
            throw TrainingError(.badRecipe, "", "give one of student-layers (copied from the teacher), student-config (a fresh student) and student (a checkpoint)")
        }
        if let path = choices[1] { return .configuration(path) }
        if let path = choices[2] { return .checkpoint(path) }
        let text = choices[0] ?? "", numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        let layers = numbers.compactMap { $0 }
        guard layers.count == numbers.count, layers.allSatisfy({ $0 >= 0 }), layers != [0] else {
            throw TrainingError(.badRecipe, "", "student-layers is \(text.prefix(60)); give a number of layers, or layers of the teacher as in 0,2,5")
        }
        return layers.count == 1 ? .layers(count: layers[0]) : .chosenLayers(layers)
    }

    private static func standardLosses(_ objective: Objective) -> String {
        switch objective {
        case .causalLanguageModel, .maskedLanguageModel, .sequenceClassification, .tokenClassification: "soft=0.5,hard=0.5"
        case .regression: "output=0.5,hard=0.5"
        case .sentenceEmbedding: "cosine=1"
        }
    }

    private static func losses(_ text: String, _ objective: Objective) throws(TrainingError) -> [(name: LossName, weight: Double)] {
        var losses: [(name: LossName, weight: Double)] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", omittingEmptySubsequences: false).map(String.init)
            guard let name = LossName(rawValue: sides[0]) else {
                throw TrainingError(.badRecipe, "", "there is no loss \(sides[0].prefix(60)); there are \(LossName.allCases.map(\.rawValue).joined(separator: ", "))")
            }
            guard sides.count <= 2, let weight = sides.count == 2 ? Double(sides[1]) : 1, weight > 0, weight <= 1e9 else {
                throw TrainingError(.badRecipe, "", "the loss \(name.rawValue) has no positive weight; write it as in \(name.rawValue)=0.5")
            }
            guard !losses.contains(where: { $0.name == name }) else { throw TrainingError(.badRecipe, "", "the loss \(name.rawValue) occurs twice") }
            let isOfClasses = objective != .sentenceEmbedding && objective != .regression
            guard name != .soft || isOfClasses else {
                throw TrainingError(.badRecipe, "", "the objective \(objective.rawValue) has no classes for soft targets; output and cosine compare its numbers")
            }
            losses.append((name, weight))
        }
        return losses
    }

    /// The losses for two models.
    ///
    /// Hidden states and attention are mapped evenly where there is no map, relations are those of the last layers. Relation heads are
    /// the teacher's or the student's heads, whichever fit both. A cache holds the 64 most probable classes unless told otherwise.
    /// - Throws: `TrainingError` when relation heads are needed and none fit.
    public func distillation(student: Graph, teacher: Graph) throws(TrainingError) -> Distillation {
        let layers = (max(student.layerCount, 1), max(teacher.layerCount, 1))
        let even = layerMap ?? .uniform(student: layers.0, teacher: layers.1), last = layerMap ?? .last(student: layers.0, teacher: layers.1)
        let classes = teacher.output(named: training.objective.output).flatMap { teacher[$0].type.width } ?? 0
        let top = top ?? (runtime == .cache && classes > 64 ? 64 : nil)
        var terms: [(loss: DistillationLoss, weight: Double)] = [], hard = 0.0
        for (name, weight) in losses {
            let kind: DistillationLoss.Kind
            switch name {
            case .hard: hard = weight; continue
            case .soft: kind = .softTargets(temperature: temperature, skew: skew, top: top)
            case .cosine: kind = .output(.cosine)
            case .output: kind = .output(.squaredError)
            case .hidden: kind = .hidden(.squaredError, even)
            case .hiddenCosine: kind = .hidden(.cosine, even)
            case .attention: kind = .attention(.divergence, even)
            case .attentionProbabilities: kind = .attention(.probabilities, even)
            case .attentionScores: kind = .attention(.scores, even)
            case .relations: 
                let heads: Int
                if let relationHeads { heads = relationHeads } else { heads = try Self.relationHeads(student, teacher) }
                kind = .relations(heads: heads, last)
            }
            terms.append((DistillationLoss(name == .cosine ? "cosine_distance" : name.rawValue, kind), weight))
        }
        return Distillation(terms, hardWeight: hard, teacher: teacher, seed: training.seed)
    }

    private static func relationHeads(_ student: Graph, _ teacher: Graph) throws(TrainingError) -> Int {
        let all = [teacher, student].compactMap { graph -> Attention? in
            if case .attention(let attention)? = graph.attentions.first?.operation { attention } else { nil }
        }
        let widths = all.flatMap { attention in Attention.Role.allCases.map { attention.place(of: $0).heads * attention.headSize } }
        // Where a model has no attention, the loss itself says so.
        guard all.count == 2 else { return 1 }
        guard let heads = all.map(\.heads).first(where: { heads in widths.allSatisfy { $0.isMultiple(of: heads) } }) else {
            throw TrainingError(.badRecipe, "", "neither the teacher's \(all[0].heads) nor the student's \(all[1].heads) heads divide the rows of both; give relation-heads")
        }
        return heads
    }
}
