/// A metric over the steps of a run, in memory that does not grow with the run.
///
/// Up to 8192 values are kept as they are. Of longer series 2, 4, 8 … values in a row become one bucket, which keeps its lowest and
/// its highest value with their steps, and the mean.
public struct MetricSeries: Sendable, Equatable {
    public struct Point: Sendable, Equatable {
        public var step: Double
        public var value: Double
    }

    struct Bucket: Sendable, Equatable {
        var first, last: Double
        var low, high: Point
        var mean: Double
        /// Values that are numbers, and all.
        var count, total: Int
        /// The first step whose value is none.
        var gap: Double?

        init(_ step: Double, _ value: Double) {
            first = step
            last = step
            low = Point(step: step, value: value)
            high = low
            mean = value
            count = value.isNaN ? 0 : 1
            total = 1
            gap = value.isNaN ? step : nil
        }

        var isGap: Bool { count == 0 }
        var middle: Double { (first + last) / 2 }

        mutating func merge(_ next: Bucket) {
            last = next.last
            total += next.total
            gap = gap ?? next.gap
            if next.isGap { return }
            if isGap {
                (low, high, mean, count) = (next.low, next.high, next.mean, next.count)
                return
            }
            if next.low.value < low.value { low = next.low }
            if next.high.value > high.value { high = next.high }
            count += next.count
            mean += (next.mean - mean) * (Double(next.count) / Double(count))
        }
    }

    static let capacity = 8192
    /// What is further from zero than this is a gap, as what is no number is; what is nearer than its inverse is zero.
    static let limit = 1e100

    private(set) var buckets: [Bucket] = []
    private var share = 1

    public init() {}

    /// Adds the value of a step. Values of that step and of later ones go: the run was set back to before it.
    public mutating func append(step: Double, _ value: Double) {
        while let last = buckets.last, last.last >= step { buckets.removeLast() }
        let size = abs(value), bucket = Bucket(step, size <= Self.limit ? (size < 1 / Self.limit ? 0 : value) : .nan)
        if let last = buckets.indices.last, buckets[last].total < share {
            buckets[last].merge(bucket)
            return
        }
        if buckets.count == Self.capacity {
            for index in 0..<Self.capacity / 2 {
                buckets[index] = buckets[2 * index]
                buckets[index].merge(buckets[2 * index + 1])
            }
            buckets.removeLast(Self.capacity / 2)
            share *= 2
        }
        buckets.append(bucket)
    }

    /// Lowest and highest values in the order of their steps; nil where there are no numbers.
    public var extremes: [Point?] {
        buckets.flatMap { bucket -> [Point?] in
            if bucket.isGap { return [nil] }
            if bucket.count == 1 { return [bucket.low] }
            return bucket.low.step < bucket.high.step ? [bucket.low, bucket.high] : [bucket.high, bucket.low]
        }
    }

    /// The curve without its noise; nil for series that are too short to have one.
    ///
    /// Each point is that of a straight line fitted to its neighbourhood with tricube weights (Cleveland 1979, without the robust
    /// steps): straight lines stay as they are up to both ends. The neighbourhood is a fortieth of the series to either side, and
    /// smaller near the start, where curves are steep.
    public var smoothed: [Point?]? {
        guard buckets.count >= 20 else { return nil }
        let widest = max(1, buckets.count / 40)
        return buckets.indices.map { center in
            if buckets[center].isGap { return nil }
            let reach = min(widest, 1 + center / 2), origin = buckets[center].middle
            let neighbours = max(0, center - reach)...min(buckets.count - 1, center + reach)
            let scale = max(origin - buckets[neighbours.lowerBound].middle, buckets[neighbours.upperBound].middle - origin)
            var w = 0.0, wx = 0.0, wxx = 0.0, wy = 0.0, wxy = 0.0
            for index in neighbours where !buckets[index].isGap {
                let distance = Double(abs(index - center)) / Double(reach + 1), rest = 1 - distance * distance * distance
                let weight = rest * rest * rest * Double(buckets[index].count)
                let x = (buckets[index].middle - origin) / scale, y = buckets[index].mean
                w += weight
                wx += weight * x
                wxx += weight * x * x
                wy += weight * y
                wxy += weight * x * y
            }
            let determinant = w * wxx - wx * wx
            let value = determinant > 1e-9 * w * w ? (wxx * wy - wx * wxy) / determinant : wy / w
            return Point(step: origin, value: value)
        }
    }
}
