import Glibc
import ShrinkCompute
import ShrinkEvaluation

/// exp of a mean loss, by the name of its output.
struct PerplexityMeasure: Measure {
    let loss: String
    private var sum = 0.0

    init(_ loss: String = "loss") { self.loss = loss }

    var outputs: [String] { [] }
    // The parts of a loss add up to its mean.
    mutating func add(_ outputs: [String: HostTensor], _ batch: TrainingBatch) { sum += outputs[loss].map { Double($0.buffer[0]) } ?? .nan }
    var results: [(name: String, value: Double)] { [("perplexity", exp(sum))] }
}

/// The most probable classes against the right ones: accuracy and macro-F1. Rows with a negative label do not count.
struct ClassMeasure: Measure {
    let output: String
    let labels: String
    /// Before the names of the figures.
    var prefix = ""
    private var agreement: ClassAgreement?

    init(_ output: String, labels: String = "labels", prefix: String = "") {
        self.output = output
        self.labels = labels
        self.prefix = prefix
    }

    var outputs: [String] { [output] }

    mutating func add(_ outputs: [String: HostTensor], _ batch: TrainingBatch) {
        guard let logits = outputs[output], let labels = batch.inputs.integers[labels] else { return }
        var sums = agreement ?? ClassAgreement(classes: logits.width)
        for (row, label) in labels.enumerated() where label >= 0 {
            let values = logits.row(row)
            guard let best = values.indices.max(by: { values[$0] < values[$1] }) else { continue }
            sums.add(predicted: best, actual: Int(label))
        }
        agreement = sums
    }

    var results: [(name: String, value: Double)] {
        let agreement = agreement ?? ClassAgreement(classes: 0)
        return [(prefix + "accuracy", agreement.accuracy), (prefix + "f1", agreement.macroF1)]
    }
}

/// Correlation of an output with the scores; 0 where one of them is the same for all.
struct CorrelationMeasure: Measure {
    let output: String
    private var predictions: [Double] = []
    private var scores: [Double] = []

    init(_ output: String) { self.output = output }

    var outputs: [String] { [output] }

    mutating func add(_ outputs: [String: HostTensor], _ batch: TrainingBatch) {
        guard let values = outputs[output], let targets = batch.inputs.floats["scores"] else { return }
        predictions += values.buffer.map(Double.init)
        scores += targets.buffer.map(Double.init)
    }

    var results: [(name: String, value: Double)] {
        [("pearson", Correlation.pearson(predictions, scores) ?? 0), ("spearman", Correlation.spearman(predictions, scores) ?? 0)]
    }
}

/// Several measures at once.
struct Measures: Measure {
    var parts: [any Measure]

    var outputs: [String] { parts.flatMap(\.outputs) }
    mutating func add(_ outputs: [String: HostTensor], _ batch: TrainingBatch) { for i in parts.indices { parts[i].add(outputs, batch) } }
    var results: [(name: String, value: Double)] { parts.flatMap(\.results) }
}
