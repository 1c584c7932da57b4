import Foundation
import ShrinkCompute
import ShrinkGraph
import ShrinkModels
import ShrinkTokenizers
import Testing

@testable import ShrinkTraining

@Suite struct TaskTests {
    /// A tokenizer of the kind, trained on the English fixture.
    func tables(_ kind: TokenizerRecipe.Kind) throws -> [UInt8] {
        var recipe = TokenizerRecipe(kind, vocabularySize: 600)
        recipe.minimumCount = 2
        let scratch = Scratch()
        for (name, contents) in try recipe.train(on: recipe.countWords(in: [Goldens.path("english.txt")], badRows: BadRows(maximumShare: 0))).files() {
            _ = scratch.file(name, contents)
        }
        return try TokenizerDefinition.load(directory: scratch.path).encodedTables()
    }

    func task(
        _ objective: Objective, _ name: String, _ text: String, in scratch: Scratch, kind: TokenizerRecipe.Kind = .wordPiece, labels: [String] = [],
        maximumTokens: Int = 12, change: (inout TaskData) -> Void = { _ in }
    ) throws -> TrainingTask {
        var data = TaskData(objective, files: [scratch.file(name, text)], maximumTokens: maximumTokens)
        data.validationShare = 0.25
        change(&data)
        return try TrainingTask(data, tokenizer: tables(kind), labels: labels, directory: scratch.path, badRows: { BadRows(maximumShare: 0) })
    }

    func batch(_ task: TrainingTask, _ examples: [Int], epoch: Int = 0) throws -> HostInputs { try task.training.source.batch(examples, epoch: epoch).inputs }

    let table = "text\tlabel\tscore\tother\n" + (0..<12).map { "the cat sat \($0)\t\(["b", "a", "c"][$0 % 3])\t\($0)\tthe dog\n" }.joined()

    @Test func windowsHaveTheNextTokensAsLabels() throws {
        let scratch = Scratch(), text = try String(contentsOfFile: Goldens.path("english.txt"), encoding: .utf8)
        let task = try task(.causalLanguageModel, "text.txt", text, in: scratch, kind: .bytePair)
        let inputs = try batch(task, [0, 1]), tokens = inputs.integers["tokens"]!, labels = inputs.integers["labels"]!
        #expect(inputs.batch == 2 && inputs.tokens == 12 && tokens.count == 24)
        #expect(Array(labels[..<23]) == Array(tokens[1...]))
        let count = task.training.examples.count + task.validation!.examples.count
        #expect(task.validation!.examples.count == Int((Double(count) / 4).rounded()) && Set(task.training.examples).isDisjoint(with: task.validation!.examples))
    }

    @Test func hiddenTokensAreOthersInEveryEpochAndTheSameInEveryValidation() throws {
        let scratch = Scratch(), text = try String(contentsOfFile: Goldens.path("english.txt"), encoding: .utf8)
        let task = try task(.maskedLanguageModel, "text.txt", text, in: scratch, maximumTokens: 32)
        let first = try batch(task, [3, 4]), again = try batch(task, [4, 3]), later = try batch(task, [3, 4], epoch: 1)
        #expect(first.tokens == 32)
        #expect(Array(first.integers["tokens"]![..<32]) == Array(again.integers["tokens"]![32...]))
        #expect(first.integers["labels"] != later.integers["labels"])
        let original = zip(first.integers["tokens"]!, first.integers["labels"]!).map { $1 >= 0 ? $1 : $0 }
        #expect(original == zip(later.integers["tokens"]!, later.integers["labels"]!).map { $1 >= 0 ? $1 : $0 })
        // 15 % of 32, which holds [CLS] and [SEP].
        #expect(first.integers["labels"]![..<32].count { $0 >= 0 } == 5)
    }

    @Test func nextSentencesArePairsWithALabel() throws {
        let scratch = Scratch()
        let text = (0..<8).map { document in (0..<5).map { "the cat \(document) sat on mat \($0) .\n" }.joined() + "\n" }.joined()
        let task = try task(.maskedLanguageModel, "text.txt", text, in: scratch, maximumTokens: 24) { $0.nextSentence = true }
        let inputs = try batch(task, Array(0..<8))
        #expect(Set(inputs.integers["next_sentence_labels"]!) == [0, 1] && inputs.integers["segments"]!.contains(1))
        #expect(!FileManager.default.fileExists(atPath: scratch.path + "/training.sentences"))
    }

    @Test func labelsAreTheModelsWhereTheyAgreeByNameOrNumber() throws {
        let scratch = Scratch()
        func labels(_ text: String, _ known: [String]) throws -> [String] {
            try FileManager.default.contentsOfDirectory(atPath: scratch.path).forEach { try FileManager.default.removeItem(atPath: scratch.path + "/" + $0) }
            return try task(.sequenceClassification, "table.tsv", text, in: scratch, labels: known).labels
        }
        #expect(try labels(table, []) == ["a", "b", "c"])
        #expect(try labels(table, ["c", "b", "a", "d"]) == ["c", "b", "a", "d"])
        #expect(try labels(table, ["x", "y", "z"]) == ["a", "b", "c"])
        let numbers = "text\tlabel\n" + (0..<8).map { "the cat \($0)\t\($0 % 2)\n" }.joined()
        #expect(try labels(numbers, ["bad", "good"]) == ["bad", "good"])
        #expect(message { _ = try labels("text\tlabel\nthe cat\tx\nthe dog\tx\n", []) }.contains("all labels of the data are the same"))
    }

    @Test func classesAreNumberedByTheirLabels() throws {
        let scratch = Scratch(), task = try task(.sequenceClassification, "table.tsv", table, in: scratch) { $0.pair = .name("other") }
        let inputs = try batch(task, [0, 1, 2, 3])
        #expect(inputs.integers["labels"] == [1, 0, 2, 1] && inputs.integers["segments"]!.contains(1))
    }

    @Test func paddingIsToAMultipleOfEightButNeverBeyondTheLimit() throws {
        for limit in [5, 7, 8, 9, 12, 16, 40] {
            let scratch = Scratch(), long = table + (1...4).map { String(repeating: "the cat sat ", count: $0 * 4) + "\ta\t1\tx\n" }.joined()
            let task = try task(.sequenceClassification, "table.tsv", long, in: scratch, maximumTokens: limit) { $0.validationShare = 0 }
            var lengths = Set<Int>()
            for example in task.training.examples {
                let inputs = try batch(task, [example]), length = Int(inputs.integers["lengths"]![0])
                #expect(inputs.tokens == min((length + 7) / 8 * 8, limit) && length <= limit)
                lengths.insert(length)
            }
            #expect(lengths.contains(limit) || limit == 40)
        }
    }

    @Test func tagsStandAtTheFirstTokensOfWords() throws {
        let scratch = Scratch()
        let task = try task(.tokenClassification, "tags.tsv", "text\tlabels\nthe cat sat\tA B A\nthe dog\tB B\nthe cat\tA A\nthe cat\tA A\n", in: scratch) {
            $0.label = .name("labels")
        }
        let labels = try batch(task, [0, 1]).integers["labels"]!
        #expect(labels.filter { $0 >= 0 } == [0, 1, 0, 1, 1] && labels.count == 16)
    }

    @Test func scoresAreScaled() throws {
        let scratch = Scratch()
        let regression = try task(.regression, "table.tsv", table, in: scratch) { $0.label = .name("score") }
        #expect(try batch(regression, [2, 5]).floats["scores"]!.floats == [2, 5])
        let other = Scratch()
        let pairs = try task(.sentenceEmbedding, "table.tsv", table, in: other) { $0.label = .name("score"); $0.pair = .name("other"); $0.scoreScale = 16 }
        let inputs = try batch(pairs, [2, 5])
        #expect(inputs.floats["scores"]!.floats == [0.125, 0.3125] && pairs.training.source.count == 12)
        #expect(inputs.batch == 2 && inputs.integers["tokens"]!.count == inputs.integers["second:tokens"]!.count)
        // "the dog" twice, and a longer text.
        let first = inputs.integers["lengths"]!, second = inputs.integers["second:lengths"]!
        #expect(second[0] == second[1] && zip(first, second).allSatisfy { $0 > $1 })
    }

    @Test func aScoreThatIsNoCosineIsABadRow() throws {
        #expect(message {
            _ = try task(.sentenceEmbedding, "a.tsv", "text\tother\tscore\nthe cat\tthe dog\t1\nthe cat\tthe dog\t-2.5\n", in: Scratch()) {
                $0.label = .name("score")
                $0.pair = .name("other")
                $0.scoreScale = 2
            }
        }.contains("line 3: the score -2.5, divided by 2.0, is no cosine"))
    }

    @Test func aLabelThatNoneLearnsIsABadRowOfTheValidation() throws {
        let scratch = Scratch(), validation = scratch.file("validation.tsv", "text\tlabel\nthe cat\tb\nthe dog\td\n")
        #expect(message { _ = try task(.sequenceClassification, "table.tsv", table, in: scratch) { $0.validationFiles = [validation] } }
            .contains("validation.tsv, line 3: the label \"d\" is not one of the 3 known ones"))
    }

    @Test func dataThatCannotServeTheObjectiveIsRefused() throws {
        let scratch = Scratch()
        #expect(message { _ = try task(.sequenceClassification, "a.txt", "text", in: scratch) }.contains("plain text has no labels"))
        #expect(message { _ = try task(.sentenceEmbedding, "a.tsv", table, in: scratch) }.contains("needs pairs"))
        #expect(message { _ = try task(.tokenClassification, "a.tsv", table, in: scratch) { $0.pair = .name("other") } }.contains("no pairs"))
        #expect(message { _ = try task(.regression, "a.tsv", table, in: scratch) { $0.nextSentence = true } }.contains("masked-lm"))
        #expect(message { _ = try task(.maskedLanguageModel, "a.txt", "the cat", in: scratch, kind: .bytePair) }.contains("[MASK]"))
        #expect(message { _ = try task(.causalLanguageModel, "b.txt", "the cat", in: Scratch(), kind: .bytePair) }.contains("too short for one window"))
        #expect(message { _ = try task(.causalLanguageModel, "c.txt", "", in: Scratch(), kind: .bytePair) }.contains("there is no text"))
    }

    @Test func encodedDataIsUsedAgainButNotThatOfOtherData() throws {
        let scratch = Scratch()
        _ = try task(.regression, "table.tsv", table, in: scratch) { $0.label = .name("score") }
        let store = scratch.path + "/training.tokens"
        let before = try FileManager.default.attributesOfItem(atPath: store)[.modificationDate] as? Date
        _ = try task(.regression, "table.tsv", table, in: scratch) { $0.label = .name("score") }
        #expect(try FileManager.default.attributesOfItem(atPath: store)[.modificationDate] as? Date == before)
        #expect(message { _ = try task(.regression, "table.tsv", table + "one more\ta\t1\tx\n", in: scratch) { $0.label = .name("score") } }
            .contains("was made from other data"))
    }

    // MARK: Losses and measures

    @Test func theLossOfPairsIsThatOfTheirCosines() throws {
        // Two tokens a text; an embedding of width 3 is the mean of theirs.
        let rows: [[Float]] = [[1, 0, 2], [0, 1, 0], [-1, 3, 1], [2, 2, -1]]
        var builder = GraphBuilder(name: "bag")
        let tokens = try builder.input("tokens", ValueType(.int32, [.batch, .tokens]))
        let embedding = try builder.parameter(
            "table", ValueType(.float32, [4, 3]), Parameter(storedType: "f32", storedByteCount: 48, source: FloatArraySource(rows.flatMap { $0 })))
        let hidden = try builder.add(.embedding(Embedding()), [tokens, embedding])
        try builder.output("embedding", try builder.add(.meanTokens(MeanTokens()), [hidden]))
        let graph = try builder.graph.pairingEmbeddings().adding(Loss(.squaredError), of: "cosine", target: "scores")
        let inputs = HostInputs(
            batch: 2, tokens: 2, integers: ["tokens": [0, 1, 2, 2], "second:tokens": [2, 3, 0, 3]],
            floats: ["scores": HostTensor([0.25, -0.5], shape: [2, 1])])
        func loss(_ rows: [[Double]]) -> Double {
            func mean(_ a: Int, _ b: Int) -> [Double] { zip(rows[a], rows[b]).map { ($0 + $1) / 2 } }
            func cosine(_ a: [Double], _ b: [Double]) -> Double {
                func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).map(*).reduce(0, +) }
                return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
            }
            return (pow(cosine(mean(0, 1), mean(2, 3)) - 0.25, 2) + pow(cosine(mean(2, 2), mean(0, 3)) + 0.5, 2)) / 2
        }
        let results = try HostExecutor(graph.differentiated(withRespectTo: graph.parameters(freezing: []))).run(inputs)
        let exact = rows.map { $0.map(Double.init) }
        #expect(abs(Double(results["loss"]!.floats[0]) - loss(exact)) <= 1e-6)
        let gradient = try #require(results["gradient:table"]).floats
        #expect(results.count == 2)
        for row in 0..<4 {
            for column in 0..<3 {
                var (up, down) = (exact, exact)
                up[row][column] += 1e-5
                down[row][column] -= 1e-5
                #expect(abs(Double(gradient[row * 3 + column]) - (loss(up) - loss(down)) / 2e-5) <= 1e-5)
            }
        }
    }

    @Test func accuracyAndF1AreTheirDefinitions() throws {
        var measure = ClassMeasure("labels")
        // Predictions 0, 1, 1, 2, 0; class 3 neither occurs nor is predicted; one label does not count.
        let logits: [Float] = [9, 0, 0, 0, 0, 2, 1, 0, 1, 3, 0, 0, 0, 0, 5, 4, 7, 1, 1, 1, 0, 0, 0, 1]
        let inputs = HostInputs(batch: 6, tokens: 1, integers: ["labels": [0, 1, 0, 2, 2, -1]])
        measure.add(["labels": HostTensor(logits, shape: [6, 4])], TrainingBatch(inputs, examples: Array(0..<6), tokens: 6))
        // Class 0: precision 1/2, recall 1/2; class 1: 1/2 and 1; class 2: 1 and 1/2.
        let f1 = (0.5 + 2.0 / 3 + 2.0 / 3) / 3
        let results = measure.results
        #expect(results.map(\.name) == ["accuracy", "f1"] && results[0].value == 0.6 && abs(results[1].value - f1) < 1e-12)
    }

    @Test(arguments: ["bert-classify", "gpt2"]) func theTrainingGraphHasTheLossOfTheModel(_ name: String) throws {
        let golden = TrainingGolden.all.first { $0.name == name }!
        let scratch = Scratch(), text = try String(contentsOfFile: Goldens.path("english.txt"), encoding: .utf8)
        let task = name == "gpt2"
            ? try task(.causalLanguageModel, "text.txt", text, in: scratch, kind: .bytePair) : try task(.sequenceClassification, "table.tsv", table, in: scratch)
        let model = try ImportedModel.open(Goldens.path(name)).graph
        var inputs = try golden.inputs()
        let expected = try golden.floats("loss", try golden.expected())[0]
        if name == "gpt2" {
            // Windows have no padding: whole sequences alone.
            inputs.integers["lengths"] = nil
            let whole = try HostExecutor(golden.graph(fused: false)).run(inputs)["loss"]!.floats[0]
            let loss = try HostExecutor(task.trainingGraph(model)).run(inputs)["loss"]!.floats[0]
            #expect(abs(loss - whole) <= 1e-5)
        } else {
            #expect(abs(try HostExecutor(task.trainingGraph(model)).run(inputs)["loss"]!.floats[0] - expected) <= 1e-5 * expected)
        }
        let other = try ImportedModel.open(Goldens.path(name == "gpt2" ? "bert-classify" : "gpt2")).graph
        #expect(message { _ = try task.trainingGraph(other) }.contains("the model has no output"))
    }
}
