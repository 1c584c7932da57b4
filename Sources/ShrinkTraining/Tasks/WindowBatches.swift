import ShrinkCompute

/// Windows of running text: each token's target is the next one, or tokens are hidden.
struct WindowBatches: BatchSource {
    enum Target: Sendable {
        case next
        /// Between two special tokens, each window by itself.
        case hidden(Masking, seed: UInt64, before: Int32, after: Int32)
    }

    let windows: TokenWindows
    let target: Target

    var count: Int { windows.count }
    var fingerprint: Fingerprint? { if case .hidden = target { nil } else { windows.store.fingerprint } }
    var lengths: (@Sendable (Int) -> Int)? { nil }

    func batch(_ examples: [Int], epoch: Int) -> TrainingBatch {
        var tokens: [Int32] = [], labels: [Int32] = []
        for example in examples {
            let window = windows.window(example)
            switch target {
            case .next:
                tokens += window.inputs
                labels += window.targets
            case .hidden(let masking, let seed, let before, let after):
                let masked = masking.apply(to: [before] + window.inputs + [after], seed: seed, epoch: epoch, example: example)
                tokens += masked.inputs
                labels += masked.targets
            }
        }
        let inputs = HostInputs(batch: examples.count, tokens: tokens.count / examples.count, integers: ["tokens": tokens, "labels": labels])
        return TrainingBatch(inputs, examples: examples, tokens: tokens.count)
    }
}
