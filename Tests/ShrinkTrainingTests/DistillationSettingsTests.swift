import ShrinkGraph
import ShrinkTokenizers
import Testing

@testable import ShrinkTraining

@Suite struct DistillationSettingsTests {
    func recipe(_ values: [String: Recipe.Value] = [:]) -> Recipe {
        var recipe = Recipe(keys: DistillationSettings.keys)
        recipe["teacher"] = .text("teacher")
        recipe["student-layers"] = .text("2")
        recipe["objective"] = .text("causal-lm")
        recipe["data"] = .texts(["book.txt"])
        for (name, value) in values { recipe[name] = value }
        return recipe
    }

    @Test func whatIsMissingGetsItsDefaultAndIsRecorded() throws {
        let settings = try DistillationSettings(recipe())
        #expect(settings.losses.map { "\($0.name)=\($0.weight)" } == ["soft=0.5", "hard=0.5"])
        #expect(settings.recipe.number("temperature") == 2 && settings.recipe.text("teacher-runtime") == "fp32" && settings.recipe.text("layer-choice") == "spread")
        #expect(settings.student == .layers(count: 2) && settings.runtime == .fp32 && !settings.isUnlabelled)
        #expect(try DistillationSettings(settings.recipe).recipe == settings.recipe)
        let sentences = try DistillationSettings(recipe(["objective": .text("sentence-embedding")]))
        #expect(sentences.losses.map(\.name) == [.cosine] && sentences.isUnlabelled && sentences.recipe["temperature"] == nil)
    }

    @Test func studentsAreOfThreeKinds() throws {
        #expect(try DistillationSettings(recipe(["student-layers": .text("0,2,5")])).student == .chosenLayers([0, 2, 5]))
        var other = recipe(["student-config": .text("config.json")])
        #expect(throws: TrainingError.self) { try DistillationSettings(other) }
        other["student-layers"] = nil
        #expect(try DistillationSettings(other).student == .configuration("config.json"))
        other["student-config"] = nil
        #expect(throws: TrainingError.self) { try DistillationSettings(other) }
        other["student"] = .text("small")
        #expect(try DistillationSettings(other).student == .checkpoint("small"))
    }

    @Test(arguments: [
        ("losses", "dreams=1", "there is no loss dreams"), ("losses", "soft=0", "no positive weight"), ("losses", "soft=1,soft=2", "occurs twice"), ("losses", "", "there is no loss"),
        ("losses", "hard=1", "temperature is for the loss soft"), ("layer-map", "0:0", "layer-map is for losses of hidden states"), ("student-layers", "0", "give a number of layers"),
        ("student-layers", "1,x", "give a number of layers"), ("teacher-runtime", "gpu", "fp32, int8, cache"), ("cache", "here", "for the teacher-runtime cache"),
        ("objective", "regression", "no classes for soft targets"),
    ]) func contradictionsAreNamed(_ name: String, _ value: String, _ words: String) {
        var recipe = recipe([name: .text(value)])
        if name == "losses", value == "hard=1" { recipe["temperature"] = .number(3) }
        if name == "objective" { recipe["losses"] = .text("soft=1") }
        if name == "layer-map" { recipe["losses"] = .text("soft=1") }
        do {
            _ = try DistillationSettings(recipe)
            Issue.record("\(name) \(value) was accepted")
        } catch { #expect("\(error)".contains(words), "\(error)") }
    }

    // MARK: Vocabularies

    static let pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat"]

    func tokenizer(_ pieces: [String] = pieces, lowercases: Bool = true) throws -> TokenizerDefinition {
        let scratch = Scratch()
        _ = scratch.file("vocab.txt", pieces.map { $0 + "\n" }.joined())
        _ = scratch.file("tokenizer_config.json", #"{"tokenizer_class": "BertTokenizer", "do_lower_case": \#(lowercases)}"#)
        return try TokenizerDefinition.load(directory: scratch.path)
    }

    func message(_ student: TokenizerDefinition, rows: Int = 9, teacherRows: Int = 9) throws -> String? {
        do {
            try VocabularyCheck.run(
                teacher: .init(name: "teacher", tokenizer: try tokenizer(), rows: teacherRows), student: .init(name: "student", tokenizer: student, rows: rows))
            return nil
        } catch let error as TrainingError { return "\(error)" }
    }

    @Test func theFirstDifferenceOfVocabulariesIsNamed() throws {
        #expect(try message(tokenizer()) == nil)
        var swapped = Self.pieces
        swapped.swapAt(5, 6)
        #expect(try message(tokenizer(swapped))?.contains("the token 5 is \"cat\" in one and \"the\" in the other") == true)
        #expect(try message(tokenizer(Self.pieces + ["mat"]), rows: 10)?.contains("the token 9 is \"mat\" in one and missing in the other") == true)
        #expect(try message(tokenizer(Array(Self.pieces.dropLast())))?.contains("the token 8 is missing in one and \"sat\" in the other") == true)
        #expect(try message(tokenizer(lowercases: false))?.contains("normalizes text otherwise") == true)
    }

    /// Tables may have rows that no token uses; rows that tokens need may not be missing.
    @Test func rowsThatFillUpATableMayDiffer() throws {
        #expect(try message(tokenizer(), rows: 16) == nil)
        #expect(try message(tokenizer(), teacherRows: 64) == nil)
        #expect(try message(tokenizer(), rows: 8)?.contains("the tokenizer has 9 tokens, the model only 8") == true)
    }
}
