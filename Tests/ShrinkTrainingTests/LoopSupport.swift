import Foundation
import ShrinkCompute
import ShrinkGraph
import Testing

@testable import ShrinkTraining

/// Random token sequences for a graph of the fixtures, of different lengths and with labels of which some do not count.
struct RandomSequences: BatchSource {
    var count = 40
    var vocabulary = 34
    var length = 12
    /// Labels for every token, or one of so many classes for a sequence.
    var classes: Int?
    var seed: UInt64 = 1

    var lengths: (@Sendable (Int) -> Int)? { { example in size(example) } }

    func size(_ example: Int) -> Int {
        var random = Random(seed: seed, 1, example)
        return 3 + random.next(below: length - 2)
    }

    func batch(_ examples: [Int], epoch: Int) -> TrainingBatch {
        let longest = examples.map(size).max()!
        var tokens: [Int32] = [], labels: [Int32] = []
        for example in examples {
            var random = Random(seed: seed, 2, example)
            let row = (0..<size(example)).map { _ in Int32(random.next(below: vocabulary)) }
            tokens += row + [Int32](repeating: 0, count: longest - row.count)
            if let classes {
                labels.append(row[0] % Int32(classes))
            } else {
                labels += row.map { $0 % 5 == 0 ? -1 : ($0 * 7 + 3) % Int32(vocabulary) } + [Int32](repeating: -1, count: longest - row.count)
            }
        }
        let inputs = HostInputs(
            batch: examples.count, tokens: longest,
            integers: ["tokens": tokens, "labels": labels, "lengths": examples.map { Int32(size($0)) }])
        return TrainingBatch(inputs, examples: examples, tokens: examples.map(size).reduce(0, +))
    }
}

extension ParameterTable {
    /// Bits of all numbers in order.
    var bits: [UInt32] { names.flatMap { name in self[name]!.buffer.map(\.bitPattern) } }
}

let gpt2 = TrainingGolden.all.first { $0.name == "gpt2" }!
let classifier = TrainingGolden.all.first { $0.name == "bert-classify" }!

/// A loop over a tiny GPT-2, in memory or in a directory.
func makeLoop(
    in directory: RunDirectory? = nil, steps: Int = 24, validates: Bool = true, group: any TrainingGroup = SingleProcess(),
    source: any BatchSource = RandomSequences(), change: (inout LoopOptions) -> Void = { _ in }
) throws -> TrainingLoop {
    let graph = try gpt2.graph(fused: true), threads = HostThreads(2)
    var options = LoopOptions(rate: LearningRate(.cosine, peak: 5e-3, warmup: 4, steps: steps), batchSize: 8, microBatchSize: 3, seed: 5)
    options.validationInterval = 5
    options.checkpointInterval = 4
    change(&options)
    let trainer = try Trainer(graph, weightDecay: 0.1, threads: threads, group: group)
    let evaluator = try Evaluator(
        graph, parameters: trainer.parameters, set: ExampleSet(RandomSequences(count: 10, seed: 9)), batchSize: 4, measure: PerplexityMeasure(),
        threads: threads)
    return TrainingLoop(
        trainer, training: ExampleSet(source), evaluator: validates ? evaluator : nil, options: options, directory: directory)
}
