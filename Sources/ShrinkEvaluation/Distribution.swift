/// Repeated measurements of one thing.
public struct Distribution: Sendable {
    private let sorted: [Double]

    /// At least one sample, none of them NaN.
    public init(_ samples: [Double]) {
        precondition(!samples.isEmpty && !samples.contains { $0.isNaN })
        sorted = samples.sorted()
    }

    public var count: Int { sorted.count }
    public var least: Double { sorted[0] }
    public var median: Double { percentile(50) }

    /// What `percent` of the samples do not exceed, interpolated linearly between the two samples at either
    /// side of position (count − 1) · percent / 100 (Hyndman and Fan 1996, definition 7, which is NumPy's own).
    public func percentile(_ percent: Double) -> Double {
        precondition(0...100 ~= percent)
        let position = Double(sorted.count - 1) * percent / 100
        let below = Int(position)
        guard below + 1 < sorted.count else { return sorted[below] }
        return sorted[below] + (sorted[below + 1] - sorted[below]) * (position - Double(below))
    }
}
