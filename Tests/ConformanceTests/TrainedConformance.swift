import GoldenModels
import ShrinkCompute
import ShrinkGraph
import ShrinkPasses
import ShrinkTraining
import Testing

/// Quantization-aware training computes what the runtime will.
@Suite struct TrainedConformance {
    static let models = ["lstm", "gru-tied", "lstm-tag", "gpt2", "llama-tied", "qwen2", "bert-classify", "bert-sentence", "bert-tag"]

    /// Steps that pull the outputs to zero, computed as w8a8; then the outputs by the same graph, and by the artifact of the
    /// trained weights. They are equal but for the order of float sums, which at times lets a number fall to the other side of a
    /// half: so one of three states of training may differ by about a code, the others must not.
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
        let answers = try HostExecutor(graph.extracting(outputs: [output]).reading(table))
        let untrained = try PackedGolden(golden, .w8a8), before = try untrained.run(untrained.kinds[0])
        var losses: [Float] = [], errors: [Double] = []
        for step in 1...6 {
            losses.append(try #require(try executor.run(inputs, gradients: gradients)["loss"]).floats[0])
            optimizer.step(gradients, rate: 2e-3)
            guard step > 3 else { continue }
            let expected = try #require(try answers.run(inputs)[output]).floats
            let packed = try PackedGolden(golden, .w8a8, reading: table), result = try packed.run(packed.kinds[0])
            try #require(result.count == expected.count)
            let error = zip(result, expected).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
            let power = expected.reduce(0.0) { $0 + Double($1) * Double($1) }
            let range = (expected.max() ?? 0) - (expected.min() ?? 0), largest = largestDifference(result, expected)
            errors.append((error / power).squareRoot())
            print("\(name) trained as w8a8, \(step) steps: relative error \(errors[errors.count - 1]), largest \(largest / range) of the range")
            #expect(largest / range <= 1e-2)
            #expect(largestDifference(before, result) > 10 * largest, "training changed the model")
        }
        #expect(errors.count { $0 <= 1e-6 } >= 2, "\(errors)")
        // Vectors of length one cannot come nearer to zero.
        if name != "bert-sentence" { #expect(losses[5] < losses[0]) }
    }
}
