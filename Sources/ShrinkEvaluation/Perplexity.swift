import CShrinkKernels
import Dispatch
import Glibc

/// Logits of consecutive tokens of one window.
public struct LogitRows: @unchecked Sendable {
    /// Index in the window of the token that the first row was computed from.
    public var firstToken: Int
    public var count: Int
    public let row: (Int) -> UnsafeBufferPointer<Float>

    public init(firstToken: Int, count: Int, row: @escaping (Int) -> UnsafeBufferPointer<Float>) {
        self.firstToken = firstToken
        self.count = count
        self.row = row
    }
}

/// Perplexity of a causal language model: exp of the mean negative log-likelihood of every token
/// that has one before it in its window. Windows do not overlap, each starts from nothing, and a last one
/// that is not full is dropped.
public struct Perplexity: Sendable {
    public var value: Double
    /// Tokens that were predicted.
    public var tokens: Int
    public var windows: Int
    /// Of the mean negative log-likelihood, over tokens.
    public var standardError: Double

    /// `logits` runs the model over a window and hands over all of its rows, in any pieces.
    /// Throws what `logits` and `progress` throw, and `EvaluationError` when there is not one full window.
    public static func measure(
        tokens: [UInt32], context: Int, progress: (_ done: Int, _ total: Int) throws -> Void,
        logits: (_ window: UnsafeBufferPointer<UInt32>, _ consume: (LogitRows) -> Void) throws -> Void
    ) throws -> Perplexity {
        guard context >= 2 else { throw EvaluationError("a window of \(context) tokens predicts nothing; take at least 2") }
        let windows = tokens.count / context
        guard windows > 0 else {
            throw EvaluationError("the text has \(tokens.count) tokens, fewer than one window of \(context); give more text or a smaller --context")
        }
        var losses = [Double](repeating: .nan, count: windows * (context - 1))
        try tokens.withUnsafeBufferPointer { tokens in
            for window in 0..<windows {
                try progress(window, windows)
                let text = UnsafeBufferPointer(rebasing: tokens[window * context..<(window + 1) * context])
                try logits(text) { rows in
                    losses.withUnsafeMutableBufferPointer { losses in
                        let target = SharedLosses(base: losses.baseAddress! + window * (context - 1) + rows.firstToken)
                        let predicting = min(rows.count, context - 1 - rows.firstToken)
                        guard predicting > 0 else { return }
                        let words = SharedTokens(base: text.baseAddress! + rows.firstToken + 1)
                        DispatchQueue.concurrentPerform(iterations: predicting) { row in
                            target.base[row] = negativeLogLikelihood(rows.row(row), of: Int(words.base[row]))
                        }
                    }
                }
            }
        }
        try progress(windows, windows)
        let mean = losses.reduce(0, +) / Double(losses.count)
        let variance = losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(max(losses.count - 1, 1))
        return Perplexity(
            value: exp(mean), tokens: losses.count, windows: windows, standardError: (variance / Double(losses.count)).squareRoot())
    }
}

/// log Σ exp(logits) − logits[target].
func negativeLogLikelihood(_ logits: UnsafeBufferPointer<Float>, of target: Int) -> Double {
    let largest = logits.max() ?? 0
    // The softmax at the largest logit is 1 / Σ exp(logit − largest), by the runtime's own exp.
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: logits.count) { copy in
        _ = copy.initialize(fromContentsOf: logits)
        kernels.table.pointee.softmax(copy.baseAddress!, copy.count)
        return Double(largest) - log(Double(copy.max() ?? 1)) - Double(logits[target])
    }
}

private let kernels = Kernels()

private struct Kernels: @unchecked Sendable {
    let table = shrink_kernels_for(shrink_isa_best())!
}

private struct SharedLosses: @unchecked Sendable { let base: UnsafeMutablePointer<Double> }
private struct SharedTokens: @unchecked Sendable { let base: UnsafePointer<UInt32> }
