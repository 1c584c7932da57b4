/// Predicted classes against the right ones.
public struct ClassAgreement: Sendable {
    private var hits: [Int]
    private var predicted: [Int]
    private var actual: [Int]

    public init(classes: Int) {
        hits = [Int](repeating: 0, count: classes)
        predicted = hits
        actual = hits
    }

    /// - Precondition: both are classes.
    public mutating func add(predicted guess: Int, actual right: Int) {
        predicted[guess] += 1
        actual[right] += 1
        if guess == right { hits[right] += 1 }
    }

    public var count: Int { actual.reduce(0, +) }

    /// The share that is right; 0 of nothing.
    public var accuracy: Double { Double(hits.reduce(0, +)) / Double(max(count, 1)) }

    /// Macro-F1: the mean over the classes of the harmonic mean of precision and recall. A class that neither occurs nor is
    /// predicted is left out.
    public var macroF1: Double {
        let scores = hits.indices.filter { predicted[$0] + actual[$0] > 0 }.map { 2 * Double(hits[$0]) / Double(predicted[$0] + actual[$0]) }
        return scores.reduce(0, +) / Double(max(scores.count, 1))
    }
}
