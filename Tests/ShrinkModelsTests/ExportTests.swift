import Foundation
import GoldenModels
import ShrinkCheckpoints
import ShrinkCompute
import ShrinkGraph
import ShrinkJSON
@testable import ShrinkModels
import Testing

extension ImportedModel {
    /// All saved numbers by name.
    func savedFloats() throws -> [String: [Float]] {
        var result: [String: [Float]] = [:]
        for tensor in savedTensors {
            var floats = [Float](repeating: .nan, count: tensor.shape.reduce(1, *))
            let source = try #require(tensor.parameter.source)
            try floats.withUnsafeMutableBufferPointer { try source.readFloats(0..<$0.count, into: $0) }
            result[tensor.name] = floats
        }
        return result
    }
}

/// What is written is what was read.
@Suite struct ExportTests {
    static let directories = GoldenModel.all.filter { !$0.name.hasSuffix(".gguf") }

    @Test(arguments: directories)
    func importExportImportGivesTheSameTensorsAndTheSameOutputsBitForBit(_ golden: GoldenModel) throws {
        let scratch = try ScratchDirectory(), path = scratch.file("copy")
        let model = try golden.open()
        try HuggingFaceWriter(model).write(to: path)
        let copy = try ImportedModel.open(path)
        #expect(try copy.savedFloats() == model.savedFloats())
        #expect(copy.savedTensors.map(\.shape) == model.savedTensors.map(\.shape))
        #expect(copy.task == model.task && copy.labels == model.labels && copy.maximumInputTokens == model.maximumInputTokens)
        let before = try HostExecutor(model.graph).run(tokens: golden.tokens, segments: golden.segments)
        let after = try HostExecutor(copy.graph).run(tokens: golden.tokens, segments: golden.segments)
        #expect(before.mapValues(\.floats) == after.mapValues(\.floats))
        #expect(scratch.names == ["copy"], "nothing stays beside it")
    }

    @Test(arguments: directories)
    func everyTensorOfTheSourceIsWrittenUnderItsNameOrListed(_ golden: GoldenModel) throws {
        let scratch = try ScratchDirectory(), path = scratch.file("copy"), model = try golden.open()
        try HuggingFaceWriter(model).write(to: path)
        let source = try Checkpoint.openHuggingFace(golden.path), written = try SafetensorsFile(path: path + "/model.safetensors")
        let names = Set(written.checkpoint.tensors.map(\.name))
        #expect(names.isSubset(of: source.tensors.map(\.name)))
        #expect(Set(source.tensors.map(\.name)).subtracting(names).isSubset(of: model.ignoredTensors))
        #expect(written.metadata.map { "\($0.key)=\($0.value)" } == ["format=pt"])
        #expect(written.checkpoint.tensors.allSatisfy { $0.type == .f32 })
    }

    @Test(arguments: ["gpt2", "llama-linear-rope", "qwen2", "bert-classify"])
    func halfPrecisionOfModelsStoredSoIsExact(_ name: String) throws {
        let scratch = try ScratchDirectory(), model = try GoldenModel.named(name).open()
        try HuggingFaceWriter(model, numbers: .float16).write(to: scratch.file("copy"))
        let copy = try ImportedModel.open(scratch.file("copy"))
        #expect(try copy.savedFloats() == model.savedFloats())
        #expect(copy.savedTensors.allSatisfy { $0.parameter.storedType == "F16" })
        #expect(copy.configuration["dtype"]?.string == "float16")
    }

    @Test func numbersBeyondHalfPrecisionAreRefusedByName() throws {
        let scratch = try ScratchDirectory()
        var model = try GoldenModel.named("gpt2").open()
        let value = try #require(model.graph.usedParameters.first { model.graph[$0].name == "transformer.ln_f.weight" })
        model.graph.setSource(FloatArraySource([Float](repeating: 65520, count: 32)), of: value)
        let error = #expect(throws: ModelError.self) { try HuggingFaceWriter(model, numbers: .float16).write(to: scratch.file("copy")) }
        #expect(error?.code == .notExpressible && error?.reason.contains("transformer.ln_f.weight") == true)
        #expect(scratch.names.isEmpty, "nothing stays of a model that came to nothing")
    }

    @Test func trainedWeightsAreWrittenFromTheirTable() throws {
        let scratch = try ScratchDirectory()
        var model = try GoldenModel.named("bert-classify").open()
        let table = try ParameterTable(reading: model.graph.usedParameters, of: model.graph)
        let bias = try #require(table["classifier.bias"])
        bias.buffer.update(repeating: 0.25)
        model.graph = model.graph.reading(table)
        try HuggingFaceWriter(model).write(to: scratch.file("copy"))
        #expect(try ImportedModel.open(scratch.file("copy")).savedFloats()["classifier.bias"] == [0.25, 0.25, 0.25])
    }

    @Test func keysOfTheConfigurationThatNobodyKnowsSurvive() throws {
        let scratch = try ScratchDirectory(), copy = try ConfigurationErrorTests.Copy("gpt2")
        try copy.set("somebody_s_own", "{\"b\": [1, 2.5, null], \"a\": \"é\"}")
        try HuggingFaceWriter(ImportedModel.open(copy.path)).write(to: scratch.file("copy"))
        let written = try ImportedModel.open(scratch.file("copy")).configuration, source = try ImportedModel.open(copy.path).configuration
        #expect(written["somebody_s_own"] == source["somebody_s_own"])
        let keys = try #require(source.object).members.map(\.key)
        #expect(written.object?.members.map(\.key) == keys)
    }

    @Test func theTokenizersFilesGoAlongOrOthersInTheirPlace() throws {
        let scratch = try ScratchDirectory(), copy = try ConfigurationErrorTests.Copy("gpt2")
        try copy.write("{}", to: "tokenizer.json")
        try copy.write("MIT", to: "LICENSE")
        try copy.write("secret", to: "notes.txt")
        let model = try ImportedModel.open(copy.path)
        try HuggingFaceWriter(model).write(to: scratch.file("a"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.file("a")).sorted() == ["LICENSE", "config.json", "model.safetensors", "tokenizer.json"])
        try HuggingFaceWriter(model, tokenizer: [("vocab.txt", Array("a\n".utf8))]).write(to: scratch.file("b"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.file("b")).sorted() == ["LICENSE", "config.json", "model.safetensors", "vocab.txt"])
    }

    @Test func aSentenceEncodersFilesAreWrittenAndReadBack() throws {
        let scratch = try ScratchDirectory(), teacher = try GoldenModel.named("bert-sentence").open(), student = try teacher.keeping(layers: [1])
        try HuggingFaceWriter(student).write(to: scratch.file("student"))
        let copy = try ImportedModel.open(scratch.file("student"))
        #expect(copy.maximumInputTokens == 32 && copy.graph.text == student.graph.text, "mean, then normalised")
        // A fresh student in the manner of its teacher, from a configuration that says nothing of sentences.
        for (pooled, poolsAlike) in [(teacher, true), (nil, false)] as [(ImportedModel?, Bool)] {
            let fresh = try ImportedModel.create(configuration: teacher.directory! + "/config.json", seed: 1, poolingLike: pooled)
            try HuggingFaceWriter(fresh).write(to: scratch.file("fresh"))
            #expect(try (ImportedModel.open(scratch.file("fresh")).graph.text == teacher.graph.text) == poolsAlike)
        }
        try HuggingFaceWriter(copy.preparing(for: .regression, seed: 1)).write(to: scratch.file("regression"))
        #expect(!FileManager.default.fileExists(atPath: scratch.file("regression") + "/modules.json"))
    }

    @Test func anOlderModelIsReplacedAndAnythingElseIsNot() throws {
        let scratch = try ScratchDirectory(), path = scratch.file("model")
        let first = try GoldenModel.named("bert-sentence").open(), second = try GoldenModel.named("gpt2").open()
        try HuggingFaceWriter(first).write(to: path)
        try HuggingFaceWriter(second).write(to: path)
        #expect(try ImportedModel.open(path).architecture == "gpt2")
        #expect(try FileManager.default.contentsOfDirectory(atPath: path).sorted() == ["config.json", "model.safetensors"])
        try "mine".write(toFile: path + "/diary.txt", atomically: false, encoding: .utf8)
        let error = #expect(throws: CheckpointError.self) { try HuggingFaceWriter(first).write(to: path) }
        #expect(error?.code == .foreignContents && error?.message.contains("diary.txt") == true)
        #expect(try ImportedModel.open(path).architecture == "gpt2")
        try "file".write(toFile: scratch.file("file"), atomically: false, encoding: .utf8)
        #expect(throws: CheckpointError.self) { try HuggingFaceWriter(first).write(to: scratch.file("file")) }
        #expect(scratch.names == ["file", "model"])
    }

    @Test func aModelMayBeWrittenOverItsOwnSource() throws {
        let copy = try ConfigurationErrorTests.Copy("gpt2")
        try FileManager.default.removeItem(atPath: copy.path + "/expected.safetensors")
        let model = try ImportedModel.open(copy.path), floats = try model.savedFloats()
        try HuggingFaceWriter(model).write(to: copy.path)
        #expect(try ImportedModel.open(copy.path).savedFloats() == floats)
        #expect(try model.savedFloats() == floats)
    }

    @Test(arguments: ["mistral/model.gguf", "qwen2/model.gguf"])
    func aModelOfAGGUFFileIsWrittenWithTheNamesAndOrdersOfTransformers(_ name: String) throws {
        let scratch = try ScratchDirectory(), golden = GoldenModel.named(name)
        try HuggingFaceWriter(golden.open()).write(to: scratch.file("copy"))
        let copy = try ImportedModel.open(scratch.file("copy"))
        // The directory beside the file holds the same weights.
        let twin = try GoldenModel.named(name.replacingOccurrences(of: "/model.gguf", with: "")).open()
        #expect(try copy.savedFloats() == twin.savedFloats())
        let result = try HostExecutor(copy.graph).run(tokens: golden.tokens)
        #expect(largestDifference(try #require(result["logits"]).floats, try #require(golden.outputs["logits"])) <= 1e-4)
    }

    @Test func frequenciesThatTheConfigurationHasNoWordForAreRefused() throws {
        let error = #expect(throws: ModelError.self) { try HuggingFaceWriter(GoldenModel.named("llama-llama3-rope/model.gguf").open()) }
        #expect(error?.code == .notExpressible && error?.reason.contains("rope_freqs.weight") == true)
    }
}
