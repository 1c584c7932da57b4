import Foundation
import ShrinkCompute
import ShrinkJSON
import Testing

@testable import ShrinkTraining

@Suite struct TrainingLoopTests {
    func directory(_ scratch: Scratch, _ name: String = "run") throws -> RunDirectory {
        try RunDirectory.create(scratch.path + "/" + name, recipe: "# nothing\n")
    }

    /// Lines without the time.
    func metrics(_ path: String) throws -> [String] {
        let text = try String(contentsOfFile: path + "/metrics.jsonl", encoding: .utf8)
        #expect(text.hasSuffix("\n"))
        return text.split(separator: "\n").map { line in
            String(line[..<line.range(of: ",\"seconds\":")!.lowerBound])
        }
    }

    @Test(arguments: [[1], [3, 3, 4], [7, 12], [4, 20], [23]]) func interruptionsAnywhereChangeNoBit(_ stops: [Int]) throws {
        let scratch = Scratch()
        let whole = try makeLoop(in: directory(scratch, "whole"))
        #expect(try whole.run() == .finished)
        let expected = try metrics(scratch.path + "/whole")

        let parts = try directory(scratch, "parts")
        for stop in stops {
            let loop = try makeLoop(in: parts)
            #expect(try loop.restore() == (loop.state.step > 0))
            loop.isCancelled = { [unowned loop] in loop.state.step >= stop }
            #expect(try loop.run() == .interrupted && loop.state.step == stop)
        }
        let last = try makeLoop(in: parts)
        #expect(try last.restore() && last.state.step == stops.last)
        #expect(try last.run() == .finished)
        #expect(last.trainer.parameters.bits == whole.trainer.parameters.bits)
        #expect(zip(last.trainer.optimizer.state, whole.trainer.optimizer.state).allSatisfy { $0.bits == $1.bits })
        #expect(last.state.best == whole.state.best && last.state.tokens == whole.state.tokens && last.state.position == whole.state.position)
        #expect(try metrics(scratch.path + "/parts") == expected)
    }

    /// As after kill -9: the loop is gone in the middle, the last checkpoint is some steps behind, and the metrics are ahead of it.
    @Test(arguments: [5, 11, 18]) func aCrashCostsTheStepsSinceTheLastCheckpoint(_ crash: Int) throws {
        struct Crash: Error {}
        let scratch = Scratch()
        let whole = try makeLoop(in: directory(scratch, "whole"))
        _ = try whole.run()
        let run = try directory(scratch, "crashed"), crashed = try makeLoop(in: run)
        crashed.observer = { if case .step(crash, _, _, _) = $0 { throw Crash() } }
        #expect(throws: Crash.self) { try crashed.run() }
        // What is left of a checkpoint that was being written.
        let half = scratch.path + "/crashed/checkpoints/.step-000000012.tmp-1"
        try FileManager.default.createDirectory(atPath: half, withIntermediateDirectories: true)
        #expect(FileManager.default.createFile(atPath: half + "/weights.safetensors", contents: Data([1, 2, 3])))
        let handle = try #require(FileHandle(forWritingAtPath: scratch.path + "/crashed/metrics.jsonl"))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data("{\"step\":".utf8))
        try handle.close()

        let loop = try makeLoop(in: run)
        #expect(try loop.restore() && loop.state.step == crash / 4 * 4)
        #expect(!FileManager.default.fileExists(atPath: half))
        #expect(try loop.run() == .finished)
        #expect(loop.trainer.parameters.bits == whole.trainer.parameters.bits)
        #expect(try metrics(scratch.path + "/crashed") == metrics(scratch.path + "/whole"))
    }

    @Test func aValidationThatWasInterruptedIsMadeAfterwards() throws {
        let scratch = Scratch(), whole = try makeLoop(in: directory(scratch, "whole"))
        _ = try whole.run()
        let run = try directory(scratch, "parts"), loop = try makeLoop(in: run)
        var isValidating = false
        loop.observer = { [unowned loop] in if case .validating(let done, _) = $0 { isValidating = loop.state.step == 10 && done > 0 } }
        loop.isCancelled = { isValidating }
        #expect(try loop.run() == .interrupted && loop.state.step == 10 && loop.state.validated == 5)
        let last = try makeLoop(in: run)
        #expect(try last.restore() && last.run() == .finished)
        #expect(last.trainer.parameters.bits == whole.trainer.parameters.bits)
        #expect(try metrics(scratch.path + "/parts") == metrics(scratch.path + "/whole"))
    }

    @Test func twoCheckpointsAreKeptAndNothingElse() throws {
        let scratch = Scratch(), loop = try makeLoop(in: directory(scratch))
        _ = try loop.run()
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/run/checkpoints").sorted()
        #expect(names == ["step-000000020", "step-000000024"])
        for name in names {
            let files = try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/run/checkpoints/" + name).sorted()
            #expect(files == ["optimizer.safetensors", "state.json", "weights.safetensors"])
        }
    }

    enum Damage: CaseIterable {
        case flippedWeight, flippedMoment, changedState, cutWeights, emptyState, missingOptimizer
    }

    @Test(arguments: Damage.allCases) func ofADamagedCheckpointTheOneBeforeIsTaken(_ damage: Damage) throws {
        let scratch = Scratch(), run = try directory(scratch), whole = try makeLoop(in: run)
        _ = try whole.run()
        let last = scratch.path + "/run/checkpoints/step-000000024"
        func change(_ name: String, _ edit: (inout Data) -> Void) throws {
            var data = try Data(contentsOf: URL(fileURLWithPath: last + "/" + name))
            edit(&data)
            try data.write(to: URL(fileURLWithPath: last + "/" + name))
        }
        switch damage {
        case .flippedWeight: try change("weights.safetensors") { $0[$0.count - 5] ^= 1 }
        case .flippedMoment: try change("optimizer.safetensors") { $0[$0.count / 2] ^= 1 }
        case .changedState: try change("state.json") { $0 = Data(String(decoding: $0, as: UTF8.self).replacingOccurrences(of: "\"batch\":", with: "\"batch\":1").utf8) }
        case .cutWeights: try change("weights.safetensors") { $0.removeLast(9) }
        case .emptyState: try change("state.json") { $0 = Data() }
        case .missingOptimizer: try FileManager.default.removeItem(atPath: last + "/optimizer.safetensors")
        }
        let loop = try makeLoop(in: run)
        var notes: [String] = []
        loop.observer = { if case .note(let note) = $0 { notes.append(note) } }
        #expect(try loop.restore() && loop.state.step == 20)
        #expect(notes.count == 1 && notes[0].contains("step-000000024") && notes[0].contains("the one before it is taken"), "\(notes)")
        #expect(try loop.run() == .finished)
        #expect(loop.trainer.parameters.bits == whole.trainer.parameters.bits)
    }

    @Test func withoutAnyWholeCheckpointTheRunIsRefused() throws {
        let scratch = Scratch(), run = try directory(scratch)
        _ = try makeLoop(in: run, steps: 4).run()
        let state = scratch.path + "/run/checkpoints/step-000000004/state.json"
        try Data("{}".utf8).write(to: URL(fileURLWithPath: state))
        let loop = try makeLoop(in: run, steps: 4)
        #expect(message { _ = try loop.restore() }.contains("no checkpoint is whole"))
    }

    @Test func aCheckpointOfAnotherRunIsRefused() throws {
        let scratch = Scratch(), run = try directory(scratch)
        _ = try makeLoop(in: run, steps: 4).run()
        let other = try makeLoop(in: run, steps: 4) { $0.seed = 6 }
        #expect(message { _ = try other.restore() }.contains("other options"))
        let shorter = try makeLoop(in: run, steps: 2)
        #expect(message { _ = try shorter.restore() }.contains("other options"))
    }

    @Test func oneProcessAtATimeWorksInARun() throws {
        let scratch = Scratch(), first = try directory(scratch)
        #expect(message { _ = try RunDirectory(first.path) }.contains("another process"))
        #expect(message { _ = try directory(scratch) }.contains("another process"))
        _ = try directory(scratch, "released")
        #expect(message { _ = try directory(scratch, "released") }.contains("--resume"))
        #expect(message { _ = try RunDirectory(scratch.path) }.contains("is no run"))
        withExtendedLifetime(first) {}
    }

    // MARK: Validation

    /// Validates as a script says.
    struct Scripted: Measure {
        let figure: () -> Double
        var outputs: [String] { [] }
        mutating func add(_ outputs: [String: HostTensor], _ batch: TrainingBatch) {}
        var results: [(name: String, value: Double)] { [("quality", figure())] }
    }

    func scripted(_ figures: [Double], patience: Int?, isHigherBetter: Bool = true) throws -> (TrainingLoop, () -> [Int]) {
        let graph = try gpt2.graph(fused: true)
        let trainer = try Trainer(graph)
        var validations: [Int] = [], best: [Int] = []
        let evaluator = try Evaluator(
            graph, parameters: trainer.parameters, set: ExampleSet(RandomSequences(count: 2)), batchSize: 2,
            measure: Scripted { figures[min(validations.count, figures.count - 1)] })
        var options = LoopOptions(rate: LearningRate(.constant, peak: 1e-3, steps: 20), batchSize: 2)
        options.validationInterval = 2
        options.patience = patience
        let loop = TrainingLoop(
            trainer, training: ExampleSet(RandomSequences()), evaluator: evaluator, score: Score("quality", isHigherBetter: isHigherBetter), options: options)
        loop.observer = { event in
            guard case .validated(let step, _, let isBest) = event else { return }
            validations.append(step)
            if isBest { best.append(step) }
        }
        return (loop, { best })
    }

    @Test func trainingStopsAfterValidationsWithoutABetterOne() throws {
        let (loop, best) = try scripted([1, 3, 2, 2.95, 2.9, 5], patience: 3)
        #expect(try loop.run() == .stoppedEarly)
        // Validations at 0, 2, 4, 6, 8: those at 4, 6 and 8 are no better than that at 2.
        #expect(loop.state.step == 8 && best() == [0, 2] && loop.state.best?.step == 2 && loop.state.best?.score == 3)
    }

    @Test func ofEqualScoresTheLowestLossIsTheBest() throws {
        let (loop, best) = try scripted([1], patience: nil)
        var losses: [(step: Int, loss: Double)] = []
        let observer = loop.observer
        loop.observer = { event in
            try observer(event)
            if case .validated(let step, let figures, _) = event { losses.append((step, figures.first { $0.name == "loss" }?.value ?? .nan)) }
        }
        #expect(try loop.run() == .finished)
        let records = losses.indices.filter { place in losses[..<place].allSatisfy { losses[place].loss < $0.loss } }.map { losses[$0].step }
        #expect(losses.count == 11 && best() == records && loop.state.best?.loss == losses.map(\.loss).min())
    }

    @Test func aBetterValidationBeginsTheCountAnew() throws {
        let (loop, best) = try scripted([5, 6, 6, 4, 5, 5, 3, 7, 7, 7], patience: 3, isHigherBetter: false)
        #expect(try loop.run() == .stoppedEarly)
        #expect(loop.state.step == 18 && best() == [0, 6, 12])
    }

    @Test func aFigureThatIsNoNumberIsNeverTheBest() throws {
        let (loop, best) = try scripted([.nan, 1, .infinity, 2, .nan, .nan], patience: nil)
        #expect(try loop.run() == .finished)
        #expect(loop.state.step == 20 && best() == [2, 6])
    }

    @Test func lossesOfAValidationAreMeansOverAllThatCounts() throws {
        let graph = try gpt2.graph(fused: true), set = ExampleSet(RandomSequences(count: 10, seed: 9))
        let parameters = try ParameterTable(reading: graph.trainableParameters, of: graph)
        let whole = try HostExecutor(graph.extracting(outputs: ["loss"])).run(set.source.batch(set.examples, epoch: 0).inputs)["loss"]!.floats[0]
        for size in [1, 3, 10, 64] {
            let figures = try Evaluator(graph, parameters: parameters, set: set, batchSize: size, measure: PerplexityMeasure()).run()
            #expect(figures.map(\.name) == ["loss", "perplexity"])
            #expect(abs(figures[0].value - Double(whole)) <= 1e-5 && abs(figures[1].value - exp(Double(whole))) <= 1e-4 * figures[1].value)
        }
    }

    @Test func metricsHaveALineForEveryStepAndValidation() throws {
        let scratch = Scratch(), run = try directory(scratch), loop = try makeLoop(in: run, steps: 6)
        _ = try loop.run()
        let lines = try String(contentsOfFile: run.metricsPath, encoding: .utf8).split(separator: "\n").map { try JSON(parsing: Array($0.utf8)) }
        #expect(lines.map { $0["step"]!.int! } == [0, 1, 2, 3, 4, 5, 5, 6, 6])
        let step = lines[1].object!.members.map(\.key)
        #expect(step == ["step", "epoch", "loss", "losses", "learning_rate", "gradient_norm", "tokens", "seconds"])
        #expect(lines[0]["validation"]?["loss"]?.double != nil && lines[0]["validation"]?["perplexity"]?.double != nil)
        #expect(abs(lines[8]["epoch"]?.double ?? lines[7]["epoch"]!.double! - 1.2) < 1e-12)
        #expect(lines[7]["tokens"]!.int == loop.state.tokens)
    }

    @Test func divergenceNamesTheStep() throws {
        let scratch = Scratch(), run = try directory(scratch)
        let loop = try makeLoop(in: run) { $0.clip = nil; $0.rate = LearningRate(.constant, peak: 1e30, steps: 24) }
        let problem = message { _ = try loop.run() }
        #expect(problem.hasPrefix("step 2: the loss is"), "\(problem)")
    }
}
