import ShrinkTraining

/// Shows how a run goes: a bar with loss, speed and time left on a terminal, a line now and then in a log.
final class TrainingProgress {
    private let progress: Progress
    private let quiet: Bool
    private let steps: Int
    private var tokens = 0
    /// What steps took, without validation and checkpoints.
    private var stepSeconds = 0.0
    private var lastEvent = Progress.now()
    private var firstStep: Int?
    private let start = Progress.now()
    private var loss: Double?

    init(_ title: String, steps: Int, quiet: Bool) {
        progress = Progress(title, quiet: quiet)
        self.steps = steps
        self.quiet = quiet
    }

    func show(_ event: TrainingLoop.Event) {
        let now = Progress.now()
        defer { lastEvent = now }
        switch event {
        case .step(let step, let epoch, let result, _):
            if firstStep == nil { firstStep = step - 1 }
            tokens += result.tokens
            stepSeconds += now - lastEvent
            // What one sees is a mean over the last steps: a single batch says little.
            loss = loss.map { $0 * 0.95 + result.loss * 0.05 } ?? result.loss
            let elapsed = now - start, done = step - (firstStep ?? 0)
            let left = elapsed / Double(done) * Double(steps - step)
            progress.show(
                step, of: steps,
                "step \(step) of \(steps), epoch \(Format.decimal(epoch, 2)), loss \(Format.decimal(loss ?? 0, 4)), "
                    + "\(Int(min(Double(tokens) / max(stepSeconds, 1e-9), 1e15))) tokens/s, \(Progress.duration(left)) left")
        case .validating(let done, let count):
            progress.show(done, of: count, "validation, \(done) of \(count) examples")
        case .validated(let step, let figures, let isBest):
            let text = figures.map { "\($0.name) \(Format.decimal($0.value, 4))" }.joined(separator: ", ")
            message("step \(step): validation \(text)\(isBest ? ", the best so far" : "")")
        case .saved: break
        case .note(let text): message("note: \(text.onOneLine)")
        }
    }

    private func message(_ text: String) {
        progress.clear()
        if !quiet { Output.message(text) }
    }

    func finish(_ text: String) { progress.finish(text, since: start) }
    func clear() { progress.clear() }
}
