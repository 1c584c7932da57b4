import Foundation
import ShrinkCompute
import Testing

@testable import ShrinkTraining

@Suite struct TrainingGroupTests {
    /// What a run of the tiny GPT-2 comes to.
    struct Outcome: Sendable {
        var losses: [Double] = []
        var norms: [Double] = []
        var tokens: [Int] = []
        var validations: [Double] = []
        var bits: [UInt32] = []
        var begunEarly: [Int] = []
        var begunLengths: [[Int]] = []
        var ending: TrainingLoop.Ending?
    }

    static func train(
        _ group: any TrainingGroup, in directory: RunDirectory? = nil, steps: Int = 20, source: any BatchSource = RandomSequences(),
        change: (TrainingLoop) throws -> Void = { _ in }, options: (inout LoopOptions) -> Void = { _ in }
    ) throws -> Outcome {
        var outcome = Outcome()
        let loop = try makeLoop(in: directory, steps: steps, group: group, source: source, change: options)
        loop.observer = { event in
            if case .step(_, _, let result, _) = event {
                outcome.losses.append(result.loss)
                outcome.norms.append(result.gradientNorm)
                outcome.tokens.append(result.tokens)
            }
            if case .validated(_, let figures, _) = event { outcome.validations.append(figures[0].value) }
        }
        try change(loop)
        outcome.ending = try loop.run()
        outcome.bits = loop.trainer.parameters.bits
        if let group = group as? ThreadGroup { (outcome.begunEarly, outcome.begunLengths) = (group.begunEarly, group.begunLengths) }
        return outcome
    }

    /// Weights are not compared: AdamW makes whole steps of gradients that are nothing but rounding, such as those of key biases.
    /// Batches of 8 and of what is left over; with 11 members some have nothing to do.
    @Test(arguments: [2, 3, 11]) func aGroupTrainsAsOneProcessWithTheSameBatches(_ size: Int) throws {
        let alone = try Self.train(SingleProcess())
        let together = try ThreadGroup.run(size) { try Self.train($0) }.map { try $0.get() }
        for outcome in together {
            #expect(outcome.ending == .finished && outcome.losses.count == 20 && outcome.tokens == alone.tokens)
            for (loss, expected) in zip(outcome.losses, alone.losses) { #expect(abs(loss - expected) < 1e-4 * expected) }
            for (norm, expected) in zip(outcome.norms, alone.norms) { #expect(abs(norm - expected) < 1e-3 * expected) }
            for (loss, expected) in zip(outcome.validations, alone.validations) { #expect(abs(loss - expected) < 1e-4 * expected) }
            #expect(outcome.validations.count == alone.validations.count)
            #expect(outcome.bits == together[0].bits)
        }
    }

    @Test func allMembersBeginTheSameSums() throws {
        let outcomes = try ThreadGroup.run(11) { try Self.train($0, steps: 3) }.map { try $0.get() }
        for outcome in outcomes { #expect(outcome.begunLengths == outcomes[0].begunLengths) }
    }

    @Test(arguments: [[1], [300_000], [16, 400_000, 400_016, 3_000_000, 3_000_016], (1...100).map { $0 * 10_000 }])
    func partsCoverAllInOrder(_ ends: [Int]) {
        let parts = GradientExchange.parts(ends)
        #expect(parts.first?.lowerBound == 0 && parts.last?.upperBound == ends.last)
        for (part, next) in zip(parts, parts.dropFirst()) { #expect(part.upperBound == next.lowerBound) }
        #expect(parts.allSatisfy { !$0.isEmpty && $0.count <= max(GradientExchange.largest, 410_000) })
        // Only what is divided ends within a gradient, and only the last part is small.
        #expect(parts.allSatisfy { ends.contains($0.upperBound) || $0.count == GradientExchange.largest })
        let small = parts.dropLast().filter { $0.count < GradientExchange.smallest }
        #expect(small.allSatisfy { part in parts.contains { $0.upperBound == part.lowerBound && $0.count == GradientExchange.largest } })
    }

    /// Whoever is told that a gradient is complete may give it away at once.
    @Test(arguments: TrainingGolden.all) func completeGradientsDoNotChangeAnyMore(_ golden: TrainingGolden) throws {
        let graph = try golden.graph(fused: true), losses = try WeighedLosses(graph)
        let table = try ParameterTable(reading: losses.graph.parameters(freezing: []), of: losses.graph)
        let executor = try HostExecutor(losses.graph.reading(table).differentiated(), threads: HostThreads(1))
        let gradients = ParameterTable(zerosLike: table)
        var inputs = try golden.inputs()
        losses.weigh(&inputs, losses.counts(inputs), of: losses.counts(inputs))
        for isSecond in [false, true] {
            var order: [String] = [], copies: [String: [Float]] = [:], calls = 0
            _ = try executor.run(inputs, gradients: gradients, accumulating: isSecond) { names in
                calls += 1
                order += names
                for name in names { copies[name] = gradients[name]?.floats }
            }
            #expect(order == executor.gradientOrder && Set(order) == Set(table.names) && calls > order.count)
            for name in order { #expect(copies[name] == gradients[name]?.floats) }
        }
    }

    @Test func aGroupGoesOnWhereOneProcessStopped() throws {
        let scratch = Scratch()
        func directory(_ name: String) throws -> RunDirectory { try RunDirectory.create(scratch.path + "/" + name, recipe: "# nothing\n") }
        let whole = try ThreadGroup.run(2) { try Self.train($0) }.map { try $0.get() }[0]
        let run = try directory("run")
        nonisolated(unsafe) let shared = run
        for stop in [7, 20] {
            let outcomes = try ThreadGroup.run(2) { group in
                try Self.train(group, in: group.isFirst ? shared : nil) { loop in
                    let isRestored = try loop.restore()
                    #expect(isRestored == (stop == 20))
                    // Only the last process hears of it.
                    if group.rank == 1 { loop.isCancelled = { [unowned loop] in loop.state.step >= stop } }
                }
            }.map { try $0.get() }
            #expect(outcomes.allSatisfy { $0.ending == (stop == 7 ? .interrupted : .finished) && $0.bits == outcomes[0].bits })
            if stop == 20 { #expect(outcomes[0].bits == whole.bits) }
        }
        let text = try String(contentsOfFile: run.metricsPath, encoding: .utf8)
        #expect(text.components(separatedBy: "\"gradient_norm\"").count == 21)
    }

    /// Fails when it meets a certain example.
    struct Failing: BatchSource {
        struct Failure: Error {}
        var base = RandomSequences()
        var count: Int { base.count }
        var lengths: (@Sendable (Int) -> Int)? { base.lengths }

        func batch(_ examples: [Int], epoch: Int) throws -> TrainingBatch {
            if examples.contains(17) { throw Failure() }
            return base.batch(examples, epoch: epoch)
        }
    }

    @Test func whatFailsInOneEndsAllAndIsToldOnce() {
        let results = ThreadGroup.run(3) { try Self.train($0, source: Failing()) }
        let errors = results.compactMap { result -> (any Error)? in if case .failure(let error) = result { error } else { nil } }
        #expect(errors.count == 3 && errors.count { $0 is Failing.Failure } == 1 && errors.count { $0 is GroupFailure } == 2)
    }

    @Test func aLossThatIsNoNumberEndsAllWithTheSameParameters() throws {
        let results = ThreadGroup.run(2) { group in
            try Self.train(group) { loop in
                let name = loop.trainer.parameters.names[0]
                loop.trainer.parameters[name]?.buffer[0] = .nan
            }
        }
        var told = 0
        for case .failure(let error) in results {
            if let error = error as? TrainingError {
                told += 1
                #expect(error.code == .diverged && error.place == "step 1" && error.message.contains("parameter"))
            } else {
                #expect(error is GroupFailure)
            }
        }
        #expect(told == 1 && results.count == 2)
    }

    @Test func sharesAreAllExamplesOnce() {
        for count in [0, 1, 7, 8, 100] {
            let examples = (0..<count).map { $0 * 3 }
            for size in [1, 2, 3, 16] {
                let shares = (0..<size).map { ThreadGroup(ThreadGroup.Table(size), rank: $0).share(of: examples) }
                #expect(shares.flatMap { $0 } == examples)
                #expect((shares.map(\.count).max() ?? 0) - (shares.map(\.count).min() ?? 0) <= 1)
            }
        }
    }

    @Test func launchersTellHowManyProcessesThereAre() {
        func processes(_ environment: [String: String]) -> LaunchedProcesses { LaunchedProcesses { environment[$0] } }
        #expect(processes([:]) == processes(["OMPI_COMM_WORLD_SIZE": "x"]) && processes([:]).count == 1)
        let openMPI = processes(["OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"])
        #expect(openMPI.count == 4 && openMPI.rank == 3 && openMPI.localCount == 2)
        #expect(processes(["PMI_SIZE": "2", "PMI_RANK": "1"]).count == 2 && processes(["PMI_SIZE": "0"]).count == 1)
    }

    @Test func threadsOfAllProcessesFitTheMachine() {
        let alone = SingleProcess(), four = ThreadGroup(ThreadGroup.Table(4), rank: 0)
        #expect(alone.threadCount(cores: 8, usable: 4) == 8)
        #expect(four.threadCount(cores: 8, usable: 8) == 2 && four.threadCount(cores: 8, usable: 1) == 1 && four.threadCount(cores: 2, usable: 2) == 1)
    }
}
