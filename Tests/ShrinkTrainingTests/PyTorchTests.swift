import Foundation
import ShrinkCheckpoints
import ShrinkCompute
import ShrinkGraph
import ShrinkModels
import ShrinkPasses
import Testing

@testable import ShrinkTraining

/// Whole tiny models against PyTorch; `Tools/goldens/training.py` makes the fixtures.
struct TrainingGolden: CustomStringConvertible, Sendable {
    let name: String
    let output: String
    var description: String { name }

    static let all = [
        TrainingGolden(name: "bert-masked", output: "masked_logits"), TrainingGolden(name: "bert-classify", output: "labels"),
        TrainingGolden(name: "gpt2", output: "logits"), TrainingGolden(name: "llama", output: "logits"),
        TrainingGolden(name: "lstm", output: "logits"), TrainingGolden(name: "gru", output: "logits"), TrainingGolden(name: "rnn", output: "logits"),
        TrainingGolden(name: "lstm-tags", output: "token_labels"), TrainingGolden(name: "lstm-classify", output: "labels"),
        TrainingGolden(name: "gru-classify", output: "labels"),
    ]

    private var path: String { URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Fixtures/" + name }

    func expected() throws -> Checkpoint { try SafetensorsFile(path: path + "/expected.safetensors").checkpoint }

    func inputs() throws -> HostInputs {
        let file = try expected()
        func integers(_ name: String) throws -> [Int32] {
            let tensor = try #require(file[name])
            return (0..<tensor.elementCount).map { tensor.bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self) }
        }
        let tokens = try integers("tokens"), lengths = try integers("lengths")
        return HostInputs(
            batch: lengths.count, tokens: tokens.count / lengths.count,
            integers: ["tokens": tokens, "lengths": lengths, "labels": try integers("labels")])
    }

    /// The model with its loss, as trained: fused or as imported.
    func graph(fused: Bool) throws -> Graph {
        var graph = try ImportedModel.open(path).graph.extracting(outputs: [output])
        let passes: [Pass] = fused ? [.fuseResidualNorm, .fuseGate, .padSequences] : [.padSequences]
        _ = try PassManager(passes).run(on: &graph)
        return try graph.adding(Loss(.crossEntropy), of: output)
    }

    func floats(_ name: String, _ file: Checkpoint) throws -> [Float] {
        let tensor = try #require(file[name], "\(name) is in the golden")
        var floats = [Float](repeating: .nan, count: tensor.elementCount)
        try floats.withUnsafeMutableBufferPointer { try tensor.readFloats(0..<tensor.elementCount, into: $0) }
        return floats
    }
}

@Suite struct PyTorchTests {
    /// ‖a − b‖ / ‖b‖ for each tensor.
    @Test(arguments: TrainingGolden.all, [true, false]) func theGradientOfEveryParameterIsPyTorchs(_ golden: TrainingGolden, _ fused: Bool) throws {
        let file = try golden.expected(), inputs = try golden.inputs(), graph = try golden.graph(fused: fused)
        for recompute in Recomputation.allCases {
            let results = try HostExecutor(try graph.differentiated(recompute: recompute)).run(inputs)
            let loss = try #require(results["loss"]).floats[0], wanted = try golden.floats("loss", file)[0]
            #expect(abs(loss - wanted) <= 1e-5 * wanted)
            var compared = 0, worst = 0.0
            for tensor in file.tensors where tensor.name.hasPrefix("gradient:") {
                let expected = try golden.floats(tensor.name, file), result = try #require(results[tensor.name], "\(tensor.name)").floats
                let size = expected.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
                let error = zip(result, expected).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }.squareRoot()
                // The bias of a key shifts all scores of a query alike: its gradient is zero but for roundings.
                let floor = tensor.name.hasSuffix("key.bias") ? 1e-3 : 0
                worst = max(worst, error / max(size, floor))
                #expect(result.count == expected.count && error <= 1e-4 * max(size, floor), "\(tensor.name): \(error) of \(size)")
                compared += 1
            }
            print("\(golden) \(recompute): \(compared) gradients, largest relative error \(worst)")
            #expect(compared == results.count - 1, "every gradient is in the golden")
        }
    }

    @Test(arguments: TrainingGolden.all) func tenStepsOfAdamWHaveTheLossesOfPyTorch(_ golden: TrainingGolden) throws {
        let inputs = try golden.inputs(), graph = try golden.graph(fused: true), threads = HostThreads(2)
        let parameters = try ParameterTable(reading: graph.trainableParameters, of: graph), gradients = ParameterTable(zerosLike: parameters)
        let executor = try HostExecutor(try graph.reading(parameters).differentiated(), threads: threads)
        let optimizer = Optimizer(.adamW(), parameters, weightDecay: 0.1, threads: threads)
        let expected = try golden.floats("losses", try golden.expected())
        var losses: [Float] = []
        for _ in 0..<10 {
            losses.append(try #require(try executor.run(inputs, gradients: gradients)["loss"]).floats[0])
            let norm = gradients.globalNorm(threads: threads)
            optimizer.step(gradients, rate: 5e-3, gradientScale: clippingScale(norm: norm, maximum: 1))
        }
        let worst = zip(losses, expected).map { abs($0 - $1) }.max() ?? .infinity
        print("\(golden): ten losses, largest difference \(worst)")
        #expect(losses.count == expected.count && worst <= 1e-4)
        #expect(losses[9] < losses[0])
    }

    @Test(arguments: TrainingGolden.all) func gradientsAreTheSameBitsForEveryNumberOfThreads(_ golden: TrainingGolden) throws {
        let inputs = try golden.inputs(), graph = try golden.graph(fused: true).differentiated()
        let runs = try [1, 2, 3, 5].map { try HostExecutor(graph, threads: HostThreads($0)).run(inputs) }
        for run in runs.dropFirst() {
            for (name, tensor) in run { #expect(tensor.floats.map(\.bitPattern) == runs[0][name]?.floats.map(\.bitPattern), "\(name)") }
        }
    }

    /// What stands behind the end of a sequence must not matter.
    @Test(arguments: TrainingGolden.all) func paddingHasNoPartInTheGradients(_ golden: TrainingGolden) throws {
        var inputs = try golden.inputs()
        let executor = try HostExecutor(try golden.graph(fused: true).differentiated())
        let before = try executor.run(inputs)
        let lengths = try #require(inputs.integers["lengths"])
        for (sequence, length) in lengths.enumerated() {
            for token in Int(length)..<inputs.tokens { inputs.integers["tokens"]![sequence * inputs.tokens + token] = 1 }
        }
        let after = try executor.run(inputs)
        for (name, tensor) in before {
            let scale = tensor.floats.map(abs).max() ?? 0
            let difference = zip(tensor.floats, try #require(after[name]).floats).map { abs($0 - $1) }.max() ?? .infinity
            #expect(difference <= 1e-6 * scale, "\(name)")
        }
    }

    @Test(arguments: TrainingGolden.all) func recomputationTakesLessMemory(_ golden: TrainingGolden) throws {
        let graph = try golden.graph(fused: true)
        let bytes = try Recomputation.allCases.map {
            try HostExecutor(try graph.differentiated(recompute: $0)).arenaByteCount(batch: 8, tokens: 12)
        }
        print("\(golden): arena of \(bytes) bytes without recomputation, elementwise, and of blocks")
        // Recurrences keep their states, whatever is wanted.
        #expect(bytes[1] <= bytes[0] && (bytes[2] < bytes[0] || graph.text.contains("recurrent(")))
    }
}
