import ShrinkGraph

/// What a weight holds before it is trained.
struct InitialValues: Sendable {
    enum Distribution: Sendable {
        case constant(Float)
        case normal(deviation: Double)
        /// Uniform in −bound ..< bound.
        case uniform(bound: Double)
    }

    var distribution: Distribution
    /// A row that starts with zeros: that of the padding token in an embedding.
    var zeroRow: Int?

    static let zeros = InitialValues(distribution: .constant(0))
    static let ones = InitialValues(distribution: .constant(1))

    static func normal(_ deviation: Double, zeroRow: Int? = nil) -> InitialValues {
        InitialValues(distribution: .normal(deviation: deviation), zeroRow: zeroRow)
    }
}

/// Initial values, computed where they are read: element i depends on seed, name and i alone, so the order of
/// reading, the other tensors and the machine do not matter, and a configuration can claim any size.
///
/// Element i comes of the outputs of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number
/// Generators, 2014) that follow a state of their own. Normal values come in pairs by the polar method (Marsaglia,
/// Bray: A Convenient Method for Generating Normal Variables, 1964). There is nothing but IEEE 754's basic
/// operations in it: the logarithms of C libraries differ in their last bit.
struct InitialWeights: ParameterSource {
    let values: InitialValues
    let columns: Int
    private let key: UInt64

    init(_ values: InitialValues, name: String, seed: UInt64, columns: Int) {
        self.values = values
        self.columns = columns
        key = name.utf8.reduce(seed) { Self.mix($0 &+ Self.increment) &+ UInt64($1) }
    }

    func readFloats(_ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
        switch values.distribution {
        case .constant(let value): target.update(repeating: value)
        case .uniform(let bound):
            for (place, element) in range.enumerated() {
                var state = Self.mix(key &+ UInt64(element))
                target[place] = Float(bound * Self.unit(&state))
            }
        case .normal(let deviation):
            var element = range.lowerBound
            while element < range.upperBound {
                let pair = element / 2, (first, second) = normalPair(pair)
                if element == 2 * pair { target[element - range.lowerBound] = Float(deviation * first) }
                if 2 * pair + 1 < range.upperBound { target[2 * pair + 1 - range.lowerBound] = Float(deviation * second) }
                element = 2 * pair + 2
            }
        }
        if let row = values.zeroRow {
            let zeros = (row * columns..<(row + 1) * columns).clamped(to: range)
            for element in zeros { target[element - range.lowerBound] = 0 }
        }
    }

    /// Two independent values of the standard normal distribution.
    private func normalPair(_ index: Int) -> (Double, Double) {
        var state = Self.mix(key &+ UInt64(index))
        while true {
            let u = Self.unit(&state), v = Self.unit(&state), s = u * u + v * v
            guard s < 1, s > 0 else { continue }
            let factor = (-2 * Self.logarithm(s) / s).squareRoot()
            return (u * factor, v * factor)
        }
    }

    private static let increment: UInt64 = 0x9E37_79B9_7F4A_7C15

    /// Uniform in −1 ..< 1, a multiple of 2⁻⁵².
    private static func unit(_ state: inout UInt64) -> Double {
        state &+= increment
        return Double(mix(state) >> 11) * 0x1p-52 - 1
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// ln x for finite x > 0: x = m · 2ᵉ with m near 1, and ln m = 2 artanh((m − 1) / (m + 1)) by its series,
    /// whose first term left out is below 10⁻¹⁸.
    private static func logarithm(_ x: Double) -> Double {
        var mantissa = x.significand, exponent = Double(x.exponent)
        if mantissa > 1.4142135623730951 {
            mantissa /= 2
            exponent += 1
        }
        let z = (mantissa - 1) / (mantissa + 1), square = z * z
        var sum = 0.0, degree = 23.0
        while degree >= 1 {
            sum = sum * square + 1 / degree
            degree -= 2
        }
        return exponent * 0.6931471805599453 + 2 * z * sum
    }
}
