import Glibc

/// An axis: where values lie between two places, and which of them are labelled.
struct PlotAxis: Equatable {
    struct Tick: Equatable {
        var value: Double
        var label: String
    }

    /// What the two ends of the axis stand for.
    let lower, upper: Double
    let isLogarithmic: Bool
    private(set) var ticks: [Tick] = []

    /// An axis for values from `low` to `high`, with room around them, and labels at 1, 2 or 5 times powers of ten that are some
    /// `count` in number (Heckbert 1990: Nice Numbers for Graph Labels).
    init(_ low: Double, _ high: Double, count: Int) {
        isLogarithmic = false
        var low = low, high = high
        let size = max(abs(low), abs(high))
        if high - low <= 1e-9 * size || high <= low {
            // One value alone is in the middle.
            let room = size > 0 ? size * 0.1 : 1
            (low, high) = (low - room, high + room)
        } else {
            let room = (high - low) * 0.05
            // Values that are never negative do not get an axis that is.
            (low, high) = (low >= 0 ? max(0, low - room) : low - room, high + room)
        }
        (lower, upper) = (low, high)
        addTicks(count)
    }

    /// An axis of steps from end to end, with whole numbers at its ticks.
    init(steps: ClosedRange<Double>) {
        isLogarithmic = false
        (lower, upper) = (steps.lowerBound, max(steps.upperBound, steps.lowerBound + 1))
        addTicks(min(6, Int(min(upper - lower, 6))))
        ticks.removeAll { $0.value != $0.value.rounded() }
    }

    private mutating func addTicks(_ count: Int) {
        let (low, high) = (lower, upper)
        let exponent = floor(log10((high - low) / Double(count)))
        let power = Self.power(exponent), fraction = (high - low) / Double(count) / power
        let factor: Double = fraction < 1.5 ? 1 : fraction < 3.5 ? 2 : fraction < 7.5 ? 5 : 10
        let step = factor * power
        let first = (low / step).rounded(.up)
        // Counted in whole numbers: what adds 1 to a number of 2^53 stays where it is.
        for index in 0...4 * count {
            let multiple = first + Double(index)
            if multiple * step > high { break }
            // A product of whole numbers, or a quotient, is nearer to the decimal than a product with 0.1.
            let value = exponent < 0 ? multiple * factor / Self.power(-exponent) : multiple * step
            ticks.append(Tick(value: value, label: Self.label(value, step: step, largest: max(abs(low), abs(high)))))
        }
    }

    /// A logarithmic axis for positive values from `low` to `high`.
    init(logarithmic low: Double, _ high: Double, count: Int) {
        isLogarithmic = true
        let room = pow(high / low, 0.04)
        (lower, upper) = (low / room, high * room)
        let first = Int(floor(log10(lower))), last = Int(ceil(log10(upper)))
        let decades = log10(upper) - log10(lower)
        let digits = decades < 2.5 ? [1.0, 2, 5] : [1.0]
        let stride = max(1, Int((decades / Double(count + 1)).rounded(.up)))
        for exponent in first...last where digits.count > 1 || exponent % stride == 0 {
            for digit in digits {
                let value = exponent < 0 ? digit / Self.power(Double(-exponent)) : digit * Self.power(Double(exponent))
                if value >= lower, value <= upper { ticks.append(Tick(value: value, label: Self.label(value, step: value, largest: value))) }
            }
        }
    }

    /// From 0 at the lower end to 1 at the upper.
    func position(_ value: Double) -> Double {
        isLogarithmic ? (log10(value) - log10(lower)) / (log10(upper) - log10(lower)) : (value - lower) / (upper - lower)
    }

    private static func power(_ exponent: Double) -> Double { pow(10, exponent) }

    /// A number with the digits that tell it from its neighbours, `step` away.
    static func label(_ value: Double, step: Double, largest: Double) -> String {
        if value == 0 { return "0" }
        func digits(_ step: Double) -> Int { max(0, Int(-floor(log10(step) + 1e-9))) }
        if largest >= 1e15 || largest < 1e-2 {
            let exponent = floor(log10(abs(value)) + 1e-12), scale = power(abs(exponent))
            let mantissa = exponent < 0 ? value * scale : value / scale
            let spread = exponent < 0 ? step * scale : step / scale
            return trimmed(mantissa, min(digits(spread), 9)) + "e\(Int(exponent))"
        }
        for (unit, suffix) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")] where largest >= 10 * unit || (largest >= unit && unit > 1e3) {
            return decimal(value / unit, digits(step / unit)) + suffix
        }
        return decimal(value, digits(step))
    }

    /// With at most so many digits after the point, and none that say nothing.
    static func trimmed(_ value: Double, _ digits: Int) -> String {
        var text = decimal(value, digits)
        guard text.contains(".") else { return text }
        while text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        return text
    }

    /// With four significant digits, for tables and tooltips.
    static func significant(_ value: Double) -> String {
        guard value.isFinite else { return "not a number" }
        let size = abs(value)
        if size == 0 { return "0" }
        let exponent = Int(floor(log10(size)))
        if exponent < -4 || exponent >= 15 {
            return decimal(exponent < 0 ? value * power(Double(-exponent)) : value / power(Double(exponent)), 3) + "e\(exponent)"
        }
        return decimal(value, max(0, 3 - exponent))
    }

    /// With so many digits after the point.
    static func decimal(_ value: Double, _ digits: Int) -> String {
        let scale = power(Double(digits)), scaled = (abs(value) * scale).rounded()
        guard digits <= 15, scaled < 0x1p62 else { return "\(value)" }
        let sign = value < 0 && scaled > 0 ? "-" : "", whole = UInt64(scaled), unit = UInt64(scale)
        if digits == 0 { return sign + "\(whole)" }
        let fraction = "\(whole % unit)"
        return sign + "\(whole / unit)." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
}
