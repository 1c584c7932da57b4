import ShrinkCompute
import ShrinkGraph
import Testing

@testable import ShrinkTraining

@Suite struct TrainerTests {
    @Test func theLoopIsAHandWrittenSequenceOfSteps() throws {
        let loop = try makeLoop(steps: 7, validates: false) { $0.microBatchSize = 8 }
        #expect(try loop.run() == .finished)

        let graph = try gpt2.graph(fused: true), threads = HostThreads(1), source = RandomSequences()
        let parameters = try ParameterTable(reading: graph.trainableParameters, of: graph), gradients = ParameterTable(zerosLike: parameters)
        let executor = try HostExecutor(try graph.reading(parameters).differentiated(), threads: threads)
        let optimizer = Optimizer(.adamW(), parameters, weightDecay: 0.1, threads: threads)
        var order = BatchOrder(Array(0..<source.count), batchSize: 8, seed: 5, lengths: source.lengths)
        for step in 1...7 {
            let epoch = order.position.epoch
            _ = try executor.run(source.batch(order.next(), epoch: epoch).inputs, gradients: gradients)
            optimizer.step(
                gradients, rate: Float(loop.options.rate.rate(step: step)), gradientScale: clippingScale(norm: gradients.globalNorm(), maximum: 1))
        }
        #expect(loop.trainer.parameters.bits == parameters.bits)
        #expect(loop.state.position == order.position)
    }

    /// ‖a − b‖ / ‖b‖ of every parameter after three steps.
    @Test(arguments: [gpt2, classifier]) func accumulatedPartsCountAsOneBatch(_ golden: TrainingGolden) throws {
        let graph = try golden.graph(fused: true)
        let source = RandomSequences(classes: golden.output == "labels" ? 3 : nil)
        func train(_ parts: [[Int]]) throws -> (Trainer, [Trainer.Result]) {
            // Without moments, whose division by their root would make much of little.
            let trainer = try Trainer(graph, optimizer: .sgd(momentum: 0.9), threads: HostThreads(2))
            return (trainer, try (0..<3).map { _ in try trainer.step(parts.map { source.batch($0, epoch: 0) }, rate: 0.1, clip: 1) })
        }
        let (whole, results) = try train([Array(0..<12)])
        for parts in [[Array(0..<5), Array(5..<6), Array(6..<12)], (0..<12).map { [$0] }] {
            let (accumulated, others) = try train(parts)
            for (a, b) in zip(others, results) {
                #expect(abs(a.loss - b.loss) <= 1e-5 && abs(a.gradientNorm - b.gradientNorm) <= 1e-4 * b.gradientNorm && a.tokens == b.tokens)
            }
            for name in whole.parameters.names {
                let a = accumulated.parameters[name]!.floats, b = whole.parameters[name]!.floats
                let difference = zip(a, b).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }.squareRoot()
                let size = b.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
                #expect(difference <= 1e-5 * max(size, 1e-2), "\(name)")
            }
        }
    }

    /// A mean of means would be another number: the parts have unlike numbers of counted labels.
    @Test func everyLossHasItsOwnWeight() throws {
        let graph = try gpt2.graph(fused: true)
            .adding(Loss(.squaredError), of: "logits", target: "wanted", marks: "rows", named: "distance")
        let source = RandomSequences()
        var parts = [source.batch([0, 1, 2], epoch: 0), source.batch([3], epoch: 0)], counted: [(losses: Int, distances: Int)] = []
        for index in parts.indices {
            let rows = parts[index].inputs.batch * parts[index].inputs.tokens
            parts[index].inputs.floats["wanted"] = HostTensor([Float](repeating: Float(index), count: rows * 34), shape: [rows, 34])
            parts[index].inputs.integers["rows"] = (0..<rows).map { $0 % (index + 2) == 0 ? 0 : -1 }
            counted.append((parts[index].inputs.integers["labels"]!.count { $0 >= 0 }, parts[index].inputs.integers["rows"]!.count { $0 >= 0 }))
        }
        let alone = try parts.map { try HostExecutor(graph.extracting(outputs: ["loss", "distance"])).run($0.inputs) }
        let result = try Trainer(graph).step(parts, rate: 0)
        func mean(_ name: String, _ a: Int, _ b: Int) -> Double {
            (Double(alone[0][name]!.floats[0]) * Double(a) + Double(alone[1][name]!.floats[0]) * Double(b)) / Double(a + b)
        }
        #expect(abs(result.loss - mean("loss", counted[0].losses, counted[1].losses)) <= 1e-6 * result.loss)
        let distance = try #require(result.terms.first { $0.name == "distance" }).value
        #expect(abs(distance - mean("distance", counted[0].distances, counted[1].distances)) <= 1e-6 * distance)
    }

    @Test func frozenParametersStayAsTheyAre() throws {
        let graph = try gpt2.graph(fused: true)
        let trained = try graph.parameters(freezing: ["*.h.0.*", "*wpe*"]).map { graph[$0].name }
        #expect(trained.contains { $0.contains("h.1.") } && !trained.contains { $0.contains("h.0.") || $0.contains("wpe") })
        let before = try ParameterTable(reading: graph.trainableParameters, of: graph)
        let trainer = try Trainer(graph, parameters: ParameterTable(reading: graph.parameters(freezing: ["*.h.0.*", "*wpe*"]), of: graph))
        _ = try trainer.step([RandomSequences().batch([0, 1], epoch: 0)], rate: 0.1)
        #expect(trainer.parameters.names == trained)
        for name in trained { #expect(trainer.parameters[name]!.floats != before[name]!.floats, "\(name)") }
        #expect(message { _ = try graph.parameters(freezing: ["*.h.0.*", "no.such*"]) }.contains("no.such* to freeze matches no parameter"))
        #expect(message { _ = try graph.parameters(freezing: ["*"]) }.contains("nothing to train"))
    }

    @Test func aParameterThatIsNoNumberIsNamed() throws {
        let trainer = try Trainer(gpt2.graph(fused: true))
        let name = trainer.parameters.names[5], batch = RandomSequences().batch([0, 1], epoch: 0)
        trainer.parameters[name]!.buffer[0] = .nan
        let before = trainer.parameters.bits
        #expect(message { _ = try trainer.step([batch], rate: 0.1) }.contains("the parameter \(name) holds numbers that are not finite"))
        #expect(trainer.parameters.bits == before)
    }

    @Test func theFirstResultThatIsNoNumberIsNamed() throws {
        let trainer = try Trainer(gpt2.graph(fused: true))
        let weight = trainer.parameters["transformer.h.1.mlp.c_fc.weight"] ?? trainer.parameters["h.1.mlp.c_fc.weight"]!
        weight.buffer.update(repeating: 3e38)
        let problem = message { _ = try trainer.step([RandomSequences().batch([0, 1], epoch: 0)], rate: 0.1) }
        #expect(problem.contains("the first result that is not finite is that of linear of") && problem.contains("h.1.mlp.c_fc"), "\(problem)")
    }

    @Test func aGradientThatIsNoNumberIsNamed() throws {
        // The loss of a huge prediction is finite as long as its label is the one; the gradient of a sum of squares is not.
        var builder = GraphBuilder(name: "steep")
        let x = try builder.input("x", ValueType(.float32, [.batch, 2]))
        let weight = try builder.parameter(
            "steep.weight", ValueType(.float32, [1, 2]), Parameter(storedType: "f32", storedByteCount: 8, source: FloatArraySource([1e-30, 1e-30])))
        try builder.output("y", try builder.add(.linear(Linear()), [x, weight]))
        let graph = try builder.graph.adding(Loss(.squaredError), of: "y", target: "t")
        let inputs = HostInputs(
            batch: 1, tokens: 1, floats: ["x": HostTensor([3e38, 3e38], shape: [1, 2]), "t": HostTensor([1e3], shape: [1, 1])])
        let problem = message { _ = try Trainer(graph).step([TrainingBatch(inputs, examples: [0], tokens: 1)], rate: 1) }
        #expect(problem.contains("the gradient of steep.weight is not finite"), "\(problem)")
    }
}
