import Testing

@testable import ShrinkTraining

@Suite struct RecipeTests {
    let keys = [
        RecipeKey("learning-rate", .number), RecipeKey("steps", .integer), RecipeKey("data", .texts), RecipeKey("text-column", .text),
        RecipeKey("whole-words", .flag),
    ]

    func problem(_ text: String) -> String {
        let scratch = Scratch(), path = scratch.file("recipe.yaml", text)
        return message { _ = try Recipe(path: path, keys: keys) }.replacingOccurrences(of: scratch.path + "/", with: "")
    }

    func recipe(_ text: String) throws -> Recipe {
        let scratch = Scratch()
        return try Recipe(path: scratch.file("recipe.yaml", text), keys: keys)
    }

    @Test func everyKindOfSettingIsRead() throws {
        let recipe = try recipe("# words\nlearning-rate: 3e-4\nsteps: 20\ndata: [a.txt, 'b c.txt']\ntext-column: \"2\"\nwhole-words: true\n")
        #expect(recipe.number("learning-rate") == 3e-4 && recipe.integer("steps") == 20 && recipe.texts("data") == ["a.txt", "b c.txt"])
        #expect(recipe.text("text-column") == "2" && recipe.flag("whole-words") == true)
        #expect(try self.recipe("data: a.txt").texts("data") == ["a.txt"])
        #expect(try self.recipe("") == Recipe(keys: keys))
    }

    @Test func whatIsRecordedIsReadAgain() throws {
        var recipe = Recipe(keys: keys)
        recipe["learning-rate"] = .number(1.0 / 3)
        recipe["steps"] = .integer(7)
        recipe["data"] = .texts(["true", "x: y", "- z", "é\n#", "12", ""])
        recipe["text-column"] = .text("null")
        recipe["whole-words"] = .flag(false)
        let text = try recipe.yaml(heading: "one\ntwo")
        #expect(text.hasPrefix("# one\n# two\nlearning-rate: "))
        #expect(try self.recipe(text) == recipe)
    }

    @Test func anUnknownSettingIsNamedWithItsLine() {
        #expect(problem("steps: 3\nlearningrate: 1\n") == "recipe.yaml, line 2: there is no setting learningrate; do you mean learning-rate?")
        #expect(problem("\n\nfoo: 1\n") == "recipe.yaml, line 3: there is no setting foo")
        #expect(problem("? [a]\n: 1\n").contains("there is no setting that is no word"))
    }

    @Test func aValueOfAnotherKindIsRefusedWithItsLine() {
        #expect(problem("whole-words: true\nsteps: many\n") == "recipe.yaml, line 2: steps must be a whole number")
        #expect(problem("steps: 1.5\n").contains("whole number"))
        #expect(problem("learning-rate: .inf\n").contains("must be a number"))
        #expect(problem("learning-rate: [1]\n").contains("must be a number"))
        #expect(problem("whole-words: 1\n").contains("true or false"))
        #expect(problem("data: {a: b}\n").contains("list of texts"))
        #expect(problem("data: [[a]]\n").contains("list of texts"))
        #expect(problem("steps:\n").contains("whole number"))
    }

    @Test func whatIsNoRecipeIsRefused() {
        #expect(problem("steps: 1\nsteps: 2\n").contains("occurs twice: steps"))
        #expect(problem("- a\n- b\n").contains("must consist of lines"))
        #expect(problem("a: [\n").contains("line"))
        #expect(problem("steps: 1\n\tdata: x\n").contains("line 2"))
        let deep = problem(String(repeating: "[", count: 500_000))
        #expect(deep.contains("not valid YAML"))
        let nested = problem(String(repeating: "- ", count: 500_000))
        #expect(nested.contains("not valid YAML"))
        #expect(problem("steps: " + String(repeating: "1", count: 2_000_000)).contains("no recipe"))
        let scratch = Scratch()
        let binary = scratch.file("binary.yaml", [0xFF, 0xFE, 0x00])
        #expect(message { _ = try Recipe(path: binary, keys: keys) }.contains("no recipe"))
    }

    @Test func anchorsThatMultiplyAreNoHarm() {
        let bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + zip("bcdefghijk", "abcdefghij").map { new, old in
            "\(new): &\(new) [\((0..<9).map { _ in "*\(old)" }.joined(separator: ", "))]\n"
        }.joined()
        #expect(problem(bomb).contains("there is no setting a"))
    }
}

@Suite struct TrainingSettingsTests {
    func settings(_ change: (inout Recipe) -> Void) throws -> TrainingSettings {
        var recipe = Recipe(keys: TrainingSettings.keys)
        recipe["checkpoint"] = .text("model")
        recipe["objective"] = .text("causal-lm")
        recipe["data"] = .texts(["a.txt"])
        change(&recipe)
        return try TrainingSettings(recipe)
    }

    func problem(_ change: (inout Recipe) -> Void) -> String { message { _ = try settings(change) } }

    @Test func aCompleteRecipeGivesTheSameSettingsAgain() throws {
        let once = try settings { $0["steps"] = .integer(9) }
        #expect(try TrainingSettings(once.recipe).recipe == once.recipe)
        #expect(once.recipe["learning-rate"] == .number(5e-5) && once.recipe["epochs"] == nil)
    }

    @Test func contradictionsAreRefused() {
        #expect(problem { $0["config"] = .text("x") }.contains("one of the two"))
        #expect(problem { $0["checkpoint"] = nil }.contains("give a checkpoint"))
        #expect(problem { $0["steps"] = .integer(1); $0["epochs"] = .number(1) }.contains("contradict"))
        #expect(problem { $0["momentum"] = .number(0.5) }.contains("momentum is for the optimizer sgd"))
        #expect(problem { $0["optimizer"] = .text("sgd"); $0["beta1"] = .number(0.5) }.contains("beta1 is for the optimizer adamw"))
        #expect(problem { $0["batch-size"] = .integer(4); $0["micro-batch"] = .integer(8) }.contains("micro-batch is 8; it must be from 1 to 4"))
        #expect(problem { $0["objective"] = .text("dreams") }.contains("causal-lm, masked-lm"))
        #expect(problem { $0["data"] = nil }.contains("--data"))
        #expect(problem { $0["seed"] = .integer(-1) }.contains("seed"))
        #expect(problem { $0["steps"] = .integer(5); $0["warmup"] = .integer(6) }.contains("warmup is 6, more than all the 5 steps"))
        #expect(problem { $0["whole-words"] = .flag(true) }.contains("masked-lm"))
        #expect(problem { $0["dtype"] = .text("float8") }.contains("dtype is float8; there are float32, float16"))
    }

    @Test func stepsFollowFromEpochsAndExamples() throws {
        let options = try settings { $0["epochs"] = .number(2.5); $0["batch-size"] = .integer(8) }.options(exampleCount: 81)
        // Eleven batches an epoch.
        #expect(options.rate.steps == 28 && options.rate.warmup == 2 && options.validationInterval == 2)
    }
}
