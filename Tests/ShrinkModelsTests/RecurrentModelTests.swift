import Foundation
import GoldenModels
import ShrinkCheckpoints
import ShrinkCompute
@testable import ShrinkModels
import Testing

@Suite struct RecurrentModelTests {
    @Test func settingsThatCannotBeAreRefused() throws {
        let errors = ConfigurationErrorTests()
        for (key, value, words) in [
            ("bidirectional", "true", "cannot predict"), ("architectures", "[\"GRUForCausalLM\"]", "LSTMForCausalLM"), ("num_layers", "0", "positive integer"),
            ("pooling", "\"max\"", "last and mean"), ("proj_size", "8", "projected"), ("tie_word_embeddings", "true", "24 wide"),
            ("hidden_size", "null", "is missing"), ("bias", "1", "true or false"),
        ] {
            let copy = try ConfigurationErrorTests.Copy("lstm")
            try copy.set(key, value)
            errors.expectError(.invalidConfig, words, from: copy)
        }
        let copy = try ConfigurationErrorTests.Copy("rnn")
        try copy.set("nonlinearity", "\"relu\"")
        errors.expectError(.invalidConfig, "tanh", from: copy)
    }

    @Test func tensorsThatDoNotFitTheConfigurationAreNamed() throws {
        let errors = ConfigurationErrorTests()
        for (key, value, code, words) in [
            ("hidden_size", "25", ModelError.Code.wrongShape, "rnn.weight_ih_l0"), ("hidden_size", "2147483647", .wrongShape, "rnn.weight_ih_l0"),
            ("num_layers", "3", .missingTensor, "rnn.weight_ih_l2"), ("num_layers", "1", .unknownTensor, "_l1"),
            ("bias", "false", .unknownTensor, "rnn.bias_"), ("head_bias", "false", .unknownTensor, "head.bias"),
        ] {
            let copy = try ConfigurationErrorTests.Copy("lstm")
            try copy.set(key, value)
            errors.expectError(code, words, at: "model", from: copy)
        }
    }

    /// torch: ±1/√width for layers, ±1/√inputs for the head, the standard normal distribution for the table. Of n
    /// uniform values the largest is above 1 − 20/n of the bound but for one time in 2·10⁸.
    @Test func freshWeightsAreThoseOfTorch() throws {
        let scratch = try ScratchDirectory(), path = scratch.file("config.json")
        try """
            {"model_type": "gru", "architectures": ["GRUForTokenClassification"], "vocab_size": 50, "embedding_size": 40, "hidden_size": 25,
             "num_layers": 2, "bidirectional": true, "num_labels": 7}
            """.write(toFile: path, atomically: false, encoding: .utf8)
        let model = try ImportedModel.create(configuration: path, seed: 5), floats = try model.savedFloats()
        #expect(model.createdTensors.count == 1 + 2 * 2 * 4 + 2 && model.layerCount == 2 && model.labels.count == 7)
        for (name, values) in floats {
            let bound = Float(name.hasPrefix("head.") ? 1 / 50.0.squareRoot() : 1 / 5.0), largest = values.map(abs).max() ?? 0
            if name == "embedding.weight" {
                let variance = values.reduce(0) { $0 + $1 * $1 } / Float(values.count)
                #expect(abs(variance - 1) < 5 * (2 / Float(values.count)).squareRoot() && largest > 2)
            } else {
                #expect(largest <= bound && largest > bound * (1 - 20 / Float(values.count)), "\(name): \(largest) of \(bound)")
            }
        }
        #expect(try ImportedModel.create(configuration: path, seed: 5).savedFloats() == floats)
        #expect(try ImportedModel.create(configuration: path, seed: 6).savedFloats() != floats)
    }

    @Test func aFreshModelIsWhatItIsWhenItWasSaved() throws {
        let scratch = try ScratchDirectory(), path = scratch.file("config.json"), tokens: [Int32] = [1, 2, 3, 4, 5]
        try """
            {"model_type": "lstm", "vocab_size": 50, "hidden_size": 25, "num_layers": 1, "tie_word_embeddings": true}
            """.write(toFile: path, atomically: false, encoding: .utf8)
        let model = try ImportedModel.create(configuration: path, seed: 1)
        #expect(model.task == .causalLanguageModel && model.createdTensors.count == 6)
        try HuggingFaceWriter(model, tokenizer: []).write(to: scratch.file("copy"))
        let copy = try ImportedModel.open(scratch.file("copy"))
        let before = try HostExecutor(model.graph).run(tokens: tokens)["logits"]?.floats
        #expect(try HostExecutor(copy.graph).run(tokens: tokens)["logits"]?.floats == before)
        #expect(before?.allSatisfy { abs($0) < 5 } == true, "a tied table starts small")
    }

    @Test func anotherTaskGetsAHeadOfItsOwn() throws {
        let tagger = try GoldenModel.named("lstm-tag").open()
        let classifier = try tagger.preparing(for: .sequenceClassification(labels: ["no", "yes"]), seed: 1)
        #expect(classifier.createdTensors == ["head.weight", "head.bias"] && classifier.ignoredTensors == ["head.weight", "head.bias"])
        #expect(classifier.configuration["architectures"]?.array?.map(\.string) == ["LSTMForSequenceClassification"])
        #expect(try classifier.savedFloats()["rnn.weight_hh_l1_reverse"] == tagger.savedFloats()["rnn.weight_hh_l1_reverse"])
        let encoder = try tagger.preparing(for: .encoding, seed: 1)
        #expect(try HostExecutor(encoder.graph).run(tokens: [1, 2, 3, 4], batch: 2)["embedding"]?.shape == [2, 48])
        #expect(throws: ModelError.self) { try tagger.preparing(for: .maskedLanguageModel(nextSentence: false), seed: 1) }
        #expect(throws: ModelError.self, "it sees the tokens to come") { try tagger.preparing(for: .causalLanguageModel, seed: 1) }
    }

    /// Layers after the first have inputs of one width, so that they can be chosen freely.
    @Test func aStudentKeepsTheLayersThatWereChosen() throws {
        let teacher = try GoldenModel.named("gru-tied").open(), student = try teacher.keeping(layers: [1])
        #expect(student.layerCount == 1)
        #expect(try student.savedFloats()["rnn.weight_hh_l0"] == teacher.savedFloats()["rnn.weight_hh_l1"])
        let narrow = try GoldenModel.named("lstm").open()
        #expect(try narrow.keeping(layers: [0]).savedFloats()["rnn.bias_ih_l0"] == narrow.savedFloats()["rnn.bias_ih_l0"])
        let error = #expect(throws: ModelError.self) { try narrow.keeping(layers: [1]) }
        #expect(error?.code == .invalidLayers, "its layer 1 reads states of 24, the embeddings are 20 wide")
    }

    @Test func anEncoderPoolsLikeItsTeacher() throws {
        let scratch = try ScratchDirectory(), path = scratch.file("config.json")
        try """
            {"model_type": "rnn", "architectures": ["RNNModel"], "vocab_size": 64, "hidden_size": 12, "num_layers": 1, "bidirectional": true}
            """.write(toFile: path, atomically: false, encoding: .utf8)
        let student = try ImportedModel.create(configuration: path, seed: 1, poolingLike: try GoldenModel.named("bert-sentence").open())
        try HuggingFaceWriter(student, tokenizer: []).write(to: scratch.file("copy"))
        for model in [student, try ImportedModel.open(scratch.file("copy"))] {
            let results = try HostExecutor(model.graph).run(tokens: [1, 2, 3])
            let hidden = try #require(results["hidden"]).floats, embedding = try #require(results["embedding"]).floats
            let mean = (0..<24).map { (column: Int) -> Float in (hidden[column] + hidden[column + 24] + hidden[column + 48]) / 3 }
            let length: Float = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
            #expect(zip(embedding, mean).allSatisfy { abs($0 - $1 / length) < 1e-6 })
            #expect(model.maximumInputTokens == 32)
        }
    }
}
