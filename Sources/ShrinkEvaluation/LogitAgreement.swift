import Dispatch
import Glibc

/// How alike the next-token distributions of two language models are over the same windows of text.
public struct LogitAgreement: Sendable {
    /// Kullback-Leibler divergence of the second from the first, KL(p₁ ‖ p₂), in nats.
    public private(set) var meanDivergence = 0.0
    public private(set) var largestDivergence = 0.0
    /// The share of tokens for which both find the same one most likely.
    public private(set) var sameTopToken = 0.0
    public private(set) var tokens = 0

    private var divergenceSum = 0.0
    private var sameCount = 0

    public init() {}

    /// Adds the logits of one window by both models: the same rows, row-major, `width` numbers each.
    public mutating func add(_ first: [Float], _ second: [Float], width: Int) {
        precondition(first.count == second.count && first.count.isMultiple(of: width))
        let rows = first.count / width
        var results = [(divergence: Double, same: Bool)](repeating: (0, false), count: rows)
        first.withUnsafeBufferPointer { first in
            second.withUnsafeBufferPointer { second in
                results.withUnsafeMutableBufferPointer { results in
                    let work = SharedWork(first: first, second: second, results: results)
                    DispatchQueue.concurrentPerform(iterations: rows) { row in
                        let range = row * width..<(row + 1) * width
                        work.results[row] = LogitAgreement.compare(
                            UnsafeBufferPointer(rebasing: work.first[range]), UnsafeBufferPointer(rebasing: work.second[range]))
                    }
                }
            }
        }
        for (divergence, same) in results {
            divergenceSum += divergence
            largestDivergence = max(largestDivergence, divergence)
            sameCount += same ? 1 : 0
        }
        tokens += rows
        meanDivergence = divergenceSum / Double(tokens)
        sameTopToken = Double(sameCount) / Double(tokens)
    }

    private static func compare(_ p: UnsafeBufferPointer<Float>, _ q: UnsafeBufferPointer<Float>) -> (Double, Bool) {
        let topP = top(p), topQ = top(q)
        let largestP = p[topP], largestQ = q[topQ]
        var sumP = 0.0, sumQ = 0.0, weighted = 0.0
        for index in p.indices {
            let weight = Double(expf(p[index] - largestP))
            sumP += weight
            sumQ += Double(expf(q[index] - largestQ))
            weighted += weight * Double((p[index] - largestP) - (q[index] - largestQ))
        }
        // Rounding may leave a divergence of equal distributions just below zero.
        return (max(weighted / sumP - log(sumP) + log(sumQ), 0), topP == topQ)
    }

    private static func top(_ logits: UnsafeBufferPointer<Float>) -> Int {
        var best = 0
        for index in logits.indices where logits[index] > logits[best] { best = index }
        return best
    }
}

private struct SharedWork: @unchecked Sendable {
    let first, second: UnsafeBufferPointer<Float>
    let results: UnsafeMutableBufferPointer<(divergence: Double, same: Bool)>
}
