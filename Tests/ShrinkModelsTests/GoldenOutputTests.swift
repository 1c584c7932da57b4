import GoldenModels
import ShrinkCompute
import ShrinkModels
import Testing

/// Every model on the host against transformers (torch for recurrent ones), all outputs, each element within 1e-4.
@Suite struct GoldenOutputTests {
    @Test(arguments: GoldenModel.all)
    func everyOutputEqualsThatOfTransformers(_ golden: GoldenModel) throws {
        let model = try golden.open()
        let results = try HostExecutor(model.graph).run(tokens: golden.tokens, segments: golden.segments)
        for (name, expected) in golden.outputs {
            let result = try #require(results[name], "\(name) is missing")
            let difference = largestDifference(result.floats, expected)
            print("\(golden.name) \(name): largest difference \(difference), largest value \(expected.map(abs).max() ?? 0)")
            #expect(difference <= 1e-4, "\(name)")
        }
    }

    @Test(arguments: GoldenModel.all)
    func aBatchGivesWhatEachSequenceGivesAlone(_ golden: GoldenModel) throws {
        let model = try golden.open()
        let executor = try HostExecutor(model.graph)
        let name = golden.mainOutput
        let second = Array(golden.tokens.reversed())
        let both = try executor.run(tokens: golden.tokens + second, segments: golden.segments.map { $0 + $0 }, batch: 2)
        let alone = try executor.run(tokens: second, segments: golden.segments)
        let result = try #require(both[name]), expected = try #require(alone[name])
        #expect(result.floats.count == 2 * expected.floats.count)
        #expect(largestDifference(result.floats.prefix(expected.floats.count), try #require(golden.outputs[name])) <= 1e-4)
        #expect(largestDifference(result.floats.suffix(expected.floats.count), expected.floats) <= 1e-4, "another shape of product has another order of sums")
    }

    @Test func whatTheModelIsComesFromItsFiles() throws {
        let sentence = try GoldenModel.named("bert-sentence").open()
        #expect(sentence.architecture == "bert" && sentence.vocabularySize == 64 && sentence.labels.isEmpty)
        #expect(sentence.maximumPositions == 40 && sentence.maximumInputTokens == 32)
        #expect(sentence.ignoredTensors.sorted() == ["embeddings.position_ids", "pooler.dense.bias", "pooler.dense.weight"])
        #expect(try GoldenModel.named("bert-classify").open().labels == ["bad", "so so", "good"])
        let classifier = try GoldenModel.named("gru-classify").open()
        #expect(classifier.architecture == "gru" && classifier.labels == ["bad", "so so", "good"] && classifier.vocabularySize == 64)
        #expect(try GoldenModel.named("bert-tag").open().labels == ["L0", "L1", "L2", "L3", "L4"])
        #expect(try GoldenModel.named("llama-llama3-rope/model.gguf").open().ignoredTensors == ["rope_freqs.weight"])
        #expect(try GoldenModel.named("llama-yarn-sharded").open().files.count == 4)
    }
}
