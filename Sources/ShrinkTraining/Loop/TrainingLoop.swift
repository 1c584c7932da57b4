import Glibc
import ShrinkCheckpoints
import ShrinkCompute
import ShrinkJSON

/// Trains for a number of steps: schedule, validation, the best model, early stopping, metrics and checkpoints.
///
/// With the same graph, data and options the same parameters come out to the bit, whether or not the run was interrupted on the way,
/// with any number of threads.
public final class TrainingLoop {
    public let trainer: Trainer
    public let options: LoopOptions
    public private(set) var state: TrainingState
    private let training: ExampleSet
    private let evaluator: Evaluator?
    private let score: Score
    private let directory: RunDirectory?
    private var order: BatchOrder
    private var metrics: MetricsLog?
    /// What the last checkpoint holds.
    private var saved: TrainingState?
    private var clock = 0.0

    /// Writes the model as it is to a directory.
    public var export: ((_ path: String) throws -> Void)?
    /// Is told of what happens.
    public var observer: (Event) throws -> Void = { _ in }
    /// Asked between steps and during validation; when true in any process of the trainer's group, `run` writes a checkpoint and returns.
    public var isCancelled: () -> Bool = { false }

    public enum Event {
        /// The step is done, `epoch` epochs in all.
        case step(Int, epoch: Double, Trainer.Result, rate: Double)
        /// Examples of a validation done, and all.
        case validating(Int, Int)
        case validated(step: Int, [(name: String, value: Double)], isBest: Bool)
        case saved(step: Int)
        /// Something a person should know.
        case note(String)
    }

    public enum Ending: String, Sendable { case finished, stoppedEarly = "stopped_early", interrupted }

    /// - Parameters:
    ///   - evaluator: nil for no validation.
    ///   - directory: nil to keep everything in memory; only the first process of a group has one.
    public init(
        _ trainer: Trainer, training: ExampleSet, evaluator: Evaluator? = nil, score: Score = .loss, options: LoopOptions,
        directory: RunDirectory? = nil
    ) {
        self.trainer = trainer
        self.training = training
        self.evaluator = evaluator
        self.score = score
        self.options = options
        self.directory = directory
        state = TrainingState(seed: options.seed)
        order = BatchOrder(training.examples, batchSize: options.batchSize, seed: options.seed, lengths: training.source.lengths)
    }

    /// Goes to where the last checkpoint of the directory was made; false when there is none.
    /// - Throws: `TrainingError` when no checkpoint is whole or they are of another run.
    public func restore() throws -> Bool {
        var notes: [String] = []
        defer { for note in notes { try? observer(.note(note)) } }
        let found = try group.fromFirst {
            guard let directory, let state = try directory.checkpoints.restore(trainer.parameters, trainer.optimizer, report: { notes.append($0) })
            else { return .null }
            guard state.seed == options.seed, state.step <= options.rate.steps else {
                throw TrainingError(.mismatch, directory.path, "the checkpoint of step \(state.step) is of a run with other options")
            }
            var object = JSON.Object()
            for (key, value) in state.json + [("optimizer_steps", .integer(trainer.optimizer.stepCount))] { object.append(key, value) }
            return .object(object)
        }
        guard let state = TrainingState(found), let optimizerSteps = found["optimizer_steps"]?.int else { return false }
        try group.broadcast([trainer.parameters] + trainer.optimizer.state)
        trainer.optimizer.stepCount = optimizerSteps
        self.state = state
        order.restore(state.position)
        saved = state
        return true
    }

    /// Trains to the end, or until early stopping or cancellation.
    /// - Throws: `TrainingError` `diverged`, naming the step; what data, graph and files throw. Checkpoints stay.
    public func run() throws -> Ending {
        if let directory, metrics == nil { metrics = try MetricsLog(path: directory.metricsPath, byteCount: state.metricsByteCount) }
        clock = Self.now()
        while true {
            if isValidationDue, try !validate() { return try end(.interrupted) }
            if let patience = options.patience, state.unimproved >= patience { return try end(.stoppedEarly) }
            if state.step >= options.rate.steps { return try end(.finished) }
            if try group.any(isCancelled()) { return try end(.interrupted) }
            if state.step > 0, state.step.isMultiple(of: options.checkpointInterval) { try save() }
            try step()
        }
    }

    public var epoch: Double { Double(state.position.epoch) + Double(state.position.batch) / Double(order.batchesPerEpoch) }
    public var stepsPerEpoch: Int { order.batchesPerEpoch }

    // MARK: Parts

    private var group: any TrainingGroup { trainer.group }

    private func step() throws {
        let number = state.step + 1, rate = options.rate.rate(step: number), epoch = order.position.epoch
        let examples = group.share(of: order.next())
        let batches = try group.agree {
            try stride(from: examples.startIndex, to: examples.endIndex, by: options.microBatchSize).map { start in
                try training.source.batch(Array(examples[start..<min(start + options.microBatchSize, examples.endIndex)]), epoch: epoch)
            }
        }
        let result: Trainer.Result
        do { result = try trainer.step(batches, rate: rate, clip: options.clip) } catch var error as TrainingError {
            if error.code == .diverged { error.place = "step \(number)" }
            throw error
        }
        state.step = number
        state.position = order.position
        state.tokens += result.tokens
        measureTime()
        var losses = JSON.Object()
        for (name, value) in result.terms { losses.append(name, .number(value)) }
        try metrics?.append([
            ("step", .integer(number)), ("epoch", .number(self.epoch)), ("loss", .number(result.loss)), ("losses", .object(losses)),
            ("learning_rate", .number(rate)), ("gradient_norm", .number(result.gradientNorm)), ("tokens", .integer(state.tokens)),
            ("seconds", .number(state.seconds)),
        ])
        try observer(.step(number, epoch: self.epoch, result, rate: rate))
    }

    private var isValidationDue: Bool {
        evaluator != nil && state.validated != state.step
            && (state.step.isMultiple(of: options.validationInterval) || state.step == options.rate.steps)
    }

    private struct Cancelled: Error {}

    /// False when it was cancelled; nothing has changed then.
    private func validate() throws -> Bool {
        guard let evaluator else { return true }
        let found = try group.fromFirst {
            do {
                let figures = try evaluator.run { done, count in
                    if isCancelled() { throw Cancelled() }
                    try observer(.validating(done, count))
                }
                return .array(figures.map { .array([.string($0.name), .number($0.value)]) })
            } catch is Cancelled { return .null }
        }
        guard let pairs = found.array else { return false }
        // What is no number is null in JSON.
        let figures = pairs.map { (name: $0.array?.first?.string ?? "", value: $0.array?.last?.double ?? .nan) }
        guard let value = figures.first(where: { $0.name == score.name })?.value else {
            throw TrainingError(.mismatch, "", "the validation has no figure \(score.name)")
        }
        let loss = figures.first { $0.name == Score.loss.name }?.value ?? .infinity
        let isBest = score.isBetter(value, than: state.best?.score) || state.best.map { value == $0.score && loss < $0.loss } ?? false
        state.validated = state.step
        if isBest {
            state.best = TrainingState.Best(step: state.step, score: value, loss: loss)
            state.unimproved = 0
            try group.agree { if let directory { try export?(directory.bestPath) } }
        } else {
            state.unimproved += 1
        }
        measureTime()
        var object = JSON.Object()
        for (name, value) in figures { object.append(name, .number(value)) }
        try metrics?.append([("step", .integer(state.step)), ("validation", .object(object)), ("seconds", .number(state.seconds))])
        try observer(.validated(step: state.step, figures, isBest: isBest))
        return true
    }

    private func end(_ ending: Ending) throws -> Ending {
        try save()
        try group.agree { if let directory { try export?(directory.lastPath) } }
        return ending
    }

    /// Writes a checkpoint unless there is one of this step and validation.
    private func save() throws { try group.agree(write) }

    private func write() throws {
        guard let directory, saved?.step != state.step || saved?.validated != state.validated else { return }
        try metrics?.synchronize()
        state.metricsByteCount = metrics?.byteCount ?? 0
        measureTime()
        try directory.checkpoints.write(state, trainer.parameters, trainer.optimizer)
        saved = state
        try observer(.saved(step: state.step))
    }

    private func measureTime() {
        let now = Self.now()
        state.seconds += now - clock
        clock = now
    }

    private static func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
