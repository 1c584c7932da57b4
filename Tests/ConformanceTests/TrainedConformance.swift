import GoldenModels
import ShrinkCompute
import ShrinkGraph
import ShrinkPasses
import ShrinkTraining
import Testing

/// Quantization-aware training computes what the runtime will.
@Suite struct TrainedConformance {
    static let models = ["lstm", "gru-tied", "lstm-tag", "gpt2", "llama-tied", "qwen2", "bert-classify", "bert-sentence", "bert-tag"]

    /// A few steps that pull the outputs to zero, computed as w8a8; then the outputs by the same graph, and by the artifact of the
    /// trained weights. They differ as far as float sums in another order let a number fall to the other side of a half (see
    /// `ArtifactConformance`).
    @Test(arguments: models) func theArtifactOfATrainedModelSaysWhatTrainingSaid(_ name: String) throws {
        let golden = GoldenModel.named(name), output = golden.mainOutput
        var graph = try golden.open().graph.extracting(outputs: [output])
        _ = try PassManager([.fuseResidualNorm, .fuseGate]).run(on: &graph)
        graph = try graph.adding(Loss(.squaredError), of: output, target: "target")
        _ = try PassManager.imitate(.w8a8).run(on: &graph)
        let table = try ParameterTable(reading: graph.trainableParameters, of: graph)
        let loss = graph.extracting(outputs: ["loss"]), gradients = ParameterTable(zerosLike: table), optimizer = Optimizer(.adamW(), table)
        let executor = try HostExecutor(try loss.reading(table).differentiated())
        var inputs = HostInputs(batch: 1, tokens: golden.tokens.count, integers: ["tokens": golden.tokens])
        inputs.integers["segments"] = golden.segments
        let width = try #require(graph.output(named: output).flatMap { graph[$0].type.width }), count = try #require(golden.outputs[output]).count
        let target = HostTensor([Float](repeating: 0, count: count), shape: [count / width, width])
        inputs.floats["target"] = target
        var losses: [Float] = []
        for _ in 0..<6 {
            losses.append(try #require(try executor.run(inputs, gradients: gradients)["loss"]).floats[0])
            optimizer.step(gradients, rate: 2e-3)
        }
        // Vectors of length one cannot come nearer to zero.
        if name != "bert-sentence" { #expect(losses[5] < losses[0]) }

        let answers = graph.extracting(outputs: [output]).reading(table)
        let expected = try #require(try HostExecutor(answers).run(inputs)[output]).floats
        let packed = try PackedGolden(golden, .w8a8, reading: table), result = try packed.run(packed.kinds[0])
        #expect(result.count == expected.count)
        let error = zip(result, expected).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        let power = expected.reduce(0.0) { $0 + Double($1) * Double($1) }
        let range = (expected.max() ?? 0) - (expected.min() ?? 0), largest = largestDifference(result, expected) / range
        print("\(name) trained as w8a8: relative error \((error / power).squareRoot()), largest \(largest) of the range")
        #expect((error / power).squareRoot() <= 2e-3 && largest <= 1e-2)
        let untrained = try PackedGolden(golden, .w8a8)
        #expect(largestDifference(try untrained.run(untrained.kinds[0]), result) > 10 * largestDifference(result, expected), "training changed the model")
    }
}
