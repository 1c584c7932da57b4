import Glibc

/// The learning rate of every step.
///
/// With w steps of warm-up and n steps in all, step s (from 1) has peak · s / w as long as s ≤ w; after that p = (s − 1 − w) / (n − w)
/// of the way is done, and the rate is the peak times
/// - constant: 1,
/// - linear: 1 − p,
/// - cosine: (1 + cos π·p) / 2 (Loshchilov & Hutter 2017, eq. 5 without restarts).
///
/// So every step has a rate above zero.
public struct LearningRate: Sendable, Equatable {
    public enum Schedule: String, Sendable, CaseIterable { case constant, linear, cosine }

    public var schedule: Schedule
    public var peak: Double
    public var warmup: Int
    public var steps: Int

    public init(_ schedule: Schedule, peak: Double, warmup: Int = 0, steps: Int) {
        self.schedule = schedule
        self.peak = peak
        self.warmup = warmup
        self.steps = steps
    }

    /// - Parameter step: from 1.
    public func rate(step: Int) -> Double {
        if step <= warmup { return peak * Double(step) / Double(warmup) }
        let progress = min(Double(step - 1 - warmup) / Double(max(steps - warmup, 1)), 1)
        return switch schedule {
        case .constant: peak
        case .linear: peak * (1 - progress)
        case .cosine: peak * (1 + cos(.pi * progress)) / 2
        }
    }
}
