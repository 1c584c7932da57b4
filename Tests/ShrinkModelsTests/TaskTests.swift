import Foundation
import GoldenModels
import ShrinkCheckpoints
import ShrinkCompute
import ShrinkGraph
@testable import ShrinkModels
import Testing

/// A checkpoint opened for a task that it was not trained for.
@Suite struct TaskTests {
    private func open(_ name: String, _ task: ModelTask, seed: UInt64 = 1) throws -> ImportedModel {
        try ImportedModel.open(GoldenModel.named(name).path, for: task, seed: seed)
    }

    @Test func anEncoderGetsAClassificationHead() throws {
        let encoder = try GoldenModel.named("bert-sentence").open()
        let model = try open("bert-sentence", .sequenceClassification(labels: ["no", "yes", "perhaps"]))
        #expect(model.createdTensors == ["classifier.weight", "classifier.bias"], "the pooler is the checkpoint's")
        #expect(model.labels == ["no", "yes", "perhaps"] && !model.labelsAreIndependent)
        let floats = try model.savedFloats(), old = try encoder.savedFloats()
        #expect(floats["bert.pooler.dense.weight"] == old["pooler.dense.weight"])
        #expect(floats["bert.encoder.layer.1.output.dense.weight"] == old["encoder.layer.1.output.dense.weight"])
        #expect(floats["classifier.weight"]?.count == 3 * 32 && floats["classifier.bias"] == [0, 0, 0])
        let labels = try #require(HostExecutor(model.graph).run(tokens: [1, 2, 3, 4, 5, 6], batch: 2)["labels"])
        #expect(labels.shape == [2, 3])
    }

    @Test func theConfigurationSaysTheTaskAsTransformersReadsIt() throws {
        let config = try open("bert-sentence", .sequenceClassification(labels: ["no", "yes"])).configuration
        #expect(config["architectures"]?.array?.map(\.string) == ["BertForSequenceClassification"])
        #expect(config["id2label"]?["1"]?.string == "yes" && config["label2id"]?["yes"]?.int == 1)
        #expect(config["problem_type"]?.string == "single_label_classification")
        let several = try open("bert-sentence", .sequenceClassification(labels: ["a"], areIndependent: true))
        #expect(several.configuration["problem_type"]?.string == "multi_label_classification" && several.labelsAreIndependent)
        let regression = try open("bert-classify", .regression)
        #expect(regression.configuration["problem_type"]?.string == "regression" && regression.configuration["id2label"]?.object?.members.count == 1)
        let encoder = try open("bert-classify", .encoding).configuration
        #expect(encoder["architectures"]?.array?.map(\.string) == ["BertModel"] && encoder["id2label"] == nil && encoder["problem_type"] == nil)
        let gpt2 = try open("gpt2", .sequenceClassification(labels: ["no", "yes"])).configuration
        #expect(gpt2["pad_token_id"]?.int == 0, "the end of the text, where the configuration names no padding")
    }

    @Test func aHeadServesAgainForTheSameLabelsOnly() throws {
        let source = try GoldenModel.named("bert-classify").open().savedFloats()
        let same = try open("bert-classify", .sequenceClassification(labels: ["bad", "so so", "good"]))
        #expect(same.createdTensors.isEmpty && same.ignoredTensors.isEmpty)
        #expect(try same.savedFloats() == source)
        let other = try open("bert-classify", .sequenceClassification(labels: ["good", "so so", "bad"]))
        #expect(other.createdTensors == ["classifier.weight", "classifier.bias"])
        #expect(other.ignoredTensors == ["classifier.weight", "classifier.bias"])
        #expect(try other.savedFloats()["classifier.weight"] != source["classifier.weight"])
        let tags = try open("bert-classify", .tokenClassification(labels: ["bad", "so so", "good"]))
        #expect(tags.createdTensors == ["classifier.weight", "classifier.bias"])
        #expect(Set(tags.ignoredTensors) == ["classifier.weight", "classifier.bias", "bert.pooler.dense.weight", "bert.pooler.dense.bias"])
        #expect(try #require(HostExecutor(tags.graph).run(tokens: [1, 2, 3, 4])["token_labels"]).shape == [1, 4, 3])
    }

    @Test func pretrainingHeadsAreMadeAndDropped() throws {
        let model = try open("bert-sentence", .maskedLanguageModel(nextSentence: true))
        #expect(Set(model.createdTensors) == [
            "cls.predictions.transform.dense.weight", "cls.predictions.transform.dense.bias", "cls.predictions.transform.LayerNorm.weight",
            "cls.predictions.transform.LayerNorm.bias", "cls.predictions.bias", "cls.seq_relationship.weight", "cls.seq_relationship.bias",
        ])
        let results = try HostExecutor(model.graph).run(tokens: [1, 2, 3, 4])
        #expect(results["masked_logits"]?.shape == [1, 4, 64] && results["next_sentence"]?.shape == [1, 2])
        let masked = try model.preparing(for: .maskedLanguageModel(nextSentence: false), seed: 1)
        #expect(masked.createdTensors.isEmpty && masked.graph.output(named: "next_sentence") == nil)
        #expect(masked.ignoredTensors.contains("cls.seq_relationship.weight") && masked.ignoredTensors.contains("bert.pooler.dense.weight"))
        #expect(try masked.savedFloats()["cls.predictions.bias"] == model.savedFloats()["cls.predictions.bias"])
        let encoder = try model.preparing(for: .encoding, seed: 1)
        #expect(try encoder.savedFloats() == GoldenModel.named("bert-sentence").open().savedFloats())
        #expect(encoder.maximumInputTokens == 32, "what sentence-transformers' files say stays")
    }

    @Test(arguments: ["gpt2", "llama-tied", "qwen2", "mistral", "llama-llama3-rope"])
    func aDecoderScoresItsLastToken(_ name: String) throws {
        let model = try open(name, .sequenceClassification(labels: ["no", "yes"]))
        #expect(model.createdTensors == ["score.weight"])
        let hidden = try #require(HostExecutor(model.graph).run(tokens: [1, 2, 3, 4])["hidden"])
        let labels = try #require(HostExecutor(model.graph).run(tokens: [1, 2, 3, 4])["labels"]).floats
        let score = try #require(model.savedFloats()["score.weight"]), last = Array(hidden.row(3))
        for label in 0..<2 {
            let expected = zip(last, score[label * last.count..<(label + 1) * last.count]).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
            #expect(abs(Double(labels[label]) - expected) <= 1e-5)
        }
        #expect(model.graph.output(named: "logits") == nil)
        let back = try model.preparing(for: .causalLanguageModel, seed: 1)
        #expect(back.ignoredTensors.contains("score.weight"))
        #expect(back.createdTensors == (name == "gpt2" || name == "llama-tied" || name == "qwen2" ? [] : ["lm_head.weight"]))
    }

    @Test func aModelOfAGGUFFileCanBeTrainedForATask() throws {
        let model = try open("mistral/model.gguf", .regression), twin = try open("mistral", .regression)
        #expect(try model.savedFloats() == twin.savedFloats(), "the head too is drawn from seed and name")
        #expect(model.createdTensors == ["score.weight"])
    }

    @Test func oldNamesBecomeThoseOfToday() throws {
        let model = try open("bert-old-names", .encoding)
        #expect(model.savedTensors.allSatisfy { !$0.name.hasSuffix("gamma") && !$0.name.hasSuffix("beta") })
        let golden = GoldenModel.named("bert-old-names")
        let result = try HostExecutor(model.graph).run(tokens: golden.tokens, segments: golden.segments)
        #expect(largestDifference(try #require(result["hidden"]).floats, try #require(golden.outputs["hidden"])) <= 1e-4)
    }

    @Test func tasksThatAFamilyLacksAreRefused() throws {
        for (name, task, words) in [
            ("bert-sentence", ModelTask.causalLanguageModel, "causal"), ("gpt2", .encoding, "encoding"),
            ("llama-tied", .maskedLanguageModel(nextSentence: false), "masked"), ("gpt2", .tokenClassification(labels: ["a"]), "token"),
            ("bert-sentence", .sequenceClassification(labels: ["a"]), "two labels"), ("bert-sentence", .tokenClassification(labels: []), "labels"),
        ] {
            let error = #expect(throws: ModelError.self) { try open(name, task) }
            #expect(error?.code == .unsupportedTask && error?.reason.contains(words) == true, "\(String(describing: error))")
        }
        #expect(throws: ModelError.self) { try open("bert-sentence", .sequenceClassification(labels: ["a", "a"])) }
    }

    @Test func anythingElseThatIsMissingStaysAnError() throws {
        let copy = try ConfigurationErrorTests.Copy("bert-sentence")
        try copy.set("num_hidden_layers", "3")
        #expect(throws: ModelError.self) { try ImportedModel.open(copy.path, for: .regression, seed: 1) }
    }
}

@Suite struct LayerChoiceTests {
    /// The choices of published students: DistilBERT, every second layer, and thirds of twelve.
    @Test func choicesAreThoseOfPublishedStudents() throws {
        #expect(try LayerChoice.spread.layers(6, of: 12) == [0, 2, 4, 7, 9, 11])
        #expect(try LayerChoice.blockEnds.layers(6, of: 12) == [1, 3, 5, 7, 9, 11])
        #expect(try LayerChoice.blockEnds.layers(3, of: 12) == [3, 7, 11])
        #expect(try LayerChoice.spread.layers(1, of: 12) == [0] && LayerChoice.blockEnds.layers(1, of: 12) == [11])
        for choice in LayerChoice.allCases {
            for total in 1...24 {
                #expect(try choice.layers(total, of: total) == Array(0..<total))
                for count in 1...total {
                    let layers = try choice.layers(count, of: total)
                    #expect(layers.count == count && zip(layers, layers.dropFirst()).allSatisfy(<) && layers.allSatisfy { 0..<total ~= $0 })
                }
            }
            #expect(throws: ModelError.self) { try choice.layers(13, of: 12) }
            #expect(throws: ModelError.self) { try choice.layers(0, of: 12) }
        }
    }

    @Test(arguments: GoldenModel.all) func aStudentHasTheChosenLayersAndAllElse(_ golden: GoldenModel) throws {
        guard golden.name != "llama-llama3-rope/model.gguf" else { return }
        let teacher = try golden.open().preparing(for: golden.open().task, seed: 1), family = try ModelFamilies.family(ModelConfig(json: teacher.configuration, file: ""))
        let old = try teacher.savedFloats()
        // The first layer of a recurrent model reads embeddings: no other may be in its place.
        let kept = GoldenModel.recurrent.contains { $0.name == golden.name } ? 0 : 1
        let student = try teacher.keeping(layers: [kept])
        #expect(student.layerCount == 1)
        let new = try student.savedFloats()
        for (name, floats) in new {
            if let (front, _, back) = family.layer(of: name) {
                #expect(floats == old["\(front)\(kept)\(back)"], "\(name)")
            } else {
                #expect(floats == old[name], "\(name)")
            }
        }
        #expect(Set(old.keys.filter { (family.layer(of: $0)?.layer ?? 0) == 0 }) == Set(new.keys))
        let scratch = try ScratchDirectory()
        try HuggingFaceWriter(student).write(to: scratch.file("student"))
        #expect(try ImportedModel.open(scratch.file("student")).savedFloats() == new)
    }

    @Test(arguments: ["gpt2", "bert-sentence", "llama-tied", "mistral/model.gguf"])
    func allLayersInTheirOrderAreTheTeacher(_ name: String) throws {
        let golden = GoldenModel.named(name), student = try golden.open().keeping(layers: [0, 1])
        let result = try HostExecutor(student.graph).run(tokens: golden.tokens, segments: golden.segments)
        #expect(largestDifference(try #require(result[golden.mainOutput]).floats, try #require(golden.outputs[golden.mainOutput])) <= 1e-4)
    }

    @Test func theConfigurationFollows() throws {
        let copy = try ConfigurationErrorTests.Copy("qwen2")
        try copy.set("layer_types", "[\"a\", \"b\"]")
        let student = try ImportedModel.open(copy.path).keeping(layers: [1, 0, 1])
        #expect(student.configuration["num_hidden_layers"]?.int == 3)
        #expect(student.configuration["layer_types"]?.array?.map(\.string) == ["b", "a", "b"])
        #expect(try GoldenModel.named("gpt2").open().keeping(layers: [0]).configuration["n_layer"]?.int == 1)
    }

    /// The first recurrent layer reads embeddings, the second hidden states, here of another width.
    @Test func layersThatDoNotFitOnEachOtherAreRefused() throws {
        let error = #expect(throws: ModelError.self) { try GoldenModel.named("lstm").open().keeping(layers: [1]) }
        #expect(error?.code == .invalidLayers)
    }

    @Test func layersThatAreNotThereAreRefused() throws {
        for layers in [[], [2], [-1], [0, 5]] {
            let error = #expect(throws: ModelError.self) { try GoldenModel.named("gpt2").open().keeping(layers: layers) }
            #expect(error?.code == .invalidLayers)
        }
    }
}
