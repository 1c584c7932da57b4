import ShrinkCompute

/// Whole texts or pairs, padded to the longest of a batch.
struct SequenceBatches: BatchSource {
    enum Target: Sendable {
        case none
        /// Input `labels`: i32 [batch].
        case classes
        /// Input `labels`: i32 [batch, tokens].
        case tags
        /// Input `scores`: f32 [batch, 1].
        case number
        /// Inputs `labels`: i32 [batch, tokens], and `next_sentence_labels`: i32 [batch].
        case hidden(Masking, seed: UInt64)
        /// Examples 2i and 2i + 1 of the store are the two texts of pair i: the second one's inputs have the prefix `second:`. Input
        /// `scores`: f32 [batch, 1].
        case pairs
    }

    let store: ExampleStore
    let target: Target
    let padding: Int32
    /// The longest input of the model.
    let limit: Int

    /// Lengths are rounded up to it: there shall be few, as every one has a plan of its own in the executor.
    static let multiple = 8
    static let second = "second:"

    var fingerprint: Fingerprint? { if case .hidden = target { nil } else { store.fingerprint } }
    var isPairs: Bool { if case .pairs = target { true } else { false } }
    var count: Int { isPairs ? store.count / 2 : store.count }

    var lengths: (@Sendable (Int) -> Int)? {
        let store = store
        if isPairs { return { max(store.length(2 * $0), store.length(2 * $0 + 1)) } }
        return { store.length($0) }
    }

    func batch(_ examples: [Int], epoch: Int) -> TrainingBatch {
        let chosen = isPairs ? examples.map { 2 * $0 } + examples.map { 2 * $0 + 1 } : examples
        let rows = chosen.map { store[$0] }, longest = rows.reduce(0) { max($0, $1.tokens.count) }
        let fits = (longest + Self.multiple - 1) / Self.multiple * Self.multiple <= limit
        let batch = Batch(rows, padding: padding, multiple: fits ? Self.multiple : limit)
        let count = examples.count, length = batch.length
        var inputs = HostInputs(batch: count, tokens: length)
        func set(_ name: String, _ values: [Int32], width: Int) {
            inputs.integers[name] = Array(values[..<(count * width)])
            if isPairs { inputs.integers[Self.second + name] = Array(values[(count * width)...]) }
        }
        set("tokens", batch.tokens, width: length)
        set("segments", batch.segments, width: length)
        set("lengths", batch.lengths.map(Int32.init), width: 1)
        if isPairs { set("positions", (0..<2 * count * length).map { Int32($0 % length) }, width: length) }
        switch target {
        case .none: break
        case .classes: inputs.integers["labels"] = batch.labels.map { Int32(bitPattern: $0) }
        case .tags: inputs.integers["labels"] = batch.tags
        case .number, .pairs: inputs.floats["scores"] = HostTensor(batch.labels.prefix(count).map { Float(bitPattern: $0) }, shape: [count, 1])
        case .hidden(let masking, let seed):
            var tokens = batch.tokens, labels = [Int32](repeating: Example.ignored, count: count * length)
            for (row, example) in examples.enumerated() {
                let places = row * length..<row * length + batch.lengths[row]
                let masked = masking.apply(to: Array(batch.tokens[places]), seed: seed, epoch: epoch, example: example)
                tokens.replaceSubrange(places, with: masked.inputs)
                labels.replaceSubrange(places, with: masked.targets)
            }
            inputs.integers["tokens"] = tokens
            inputs.integers["labels"] = labels
            inputs.integers["next_sentence_labels"] = batch.labels.map { Int32(bitPattern: $0) }
        }
        return TrainingBatch(inputs, examples: examples, tokens: batch.lengths.reduce(0, +))
    }
}
