/// Random numbers that are the same everywhere: xoshiro256** 1.0 (Blackman, Vigna: Scrambled Linear
/// Pseudorandom Number Generators, 2021, section 10.7), its state filled by SplitMix64 (Steele, Lea,
/// Flood: Fast Splittable Pseudorandom Number Generators, 2014).
///
/// A generator belongs to a seed and a path of numbers, such as epoch and example, so that what is drawn
/// for one example depends on nothing that was drawn before, on no thread and no batch.
public struct Random: Sendable, Codable, Equatable {
    var state: SIMD4<UInt64>

    /// With x = seed, then x = mix(x) + n for each n of the path, the state is the next four outputs of
    /// SplitMix64 from x; mix is its output function.
    public init(seed: UInt64, _ path: Int...) {
        var x = seed
        for number in path { x = Self.mix(x &+ 0x9E37_79B9_7F4A_7C15) &+ UInt64(bitPattern: Int64(number)) }
        state = .zero
        for i in 0..<4 {
            x &+= 0x9E37_79B9_7F4A_7C15
            state[i] = Self.mix(x)
        }
    }

    private static func mix(_ value: UInt64) -> UInt64 {
        var z = value
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// 64 random bits.
    public mutating func next() -> UInt64 {
        func rotated(_ x: UInt64, _ count: UInt64) -> UInt64 { x << count | x >> (64 - count) }
        let result = rotated(state[1] &* 5, 7) &* 9
        let shifted = state[1] << 17
        state[2] ^= state[0]
        state[3] ^= state[1]
        state[1] ^= state[2]
        state[0] ^= state[3]
        state[2] ^= shifted
        state[3] = rotated(state[3], 45)
        return result
    }

    /// Uniform in 0 ..< bound, without bias (Lemire: Fast Random Integer Generation in an Interval, 2019).
    /// - Precondition: `bound` is positive.
    public mutating func next(below bound: Int) -> Int {
        let bound = UInt64(bound)
        var product = next().multipliedFullWidth(by: bound)
        if product.low < bound {
            let threshold = (0 &- bound) % bound
            while product.low < threshold { product = next().multipliedFullWidth(by: bound) }
        }
        return Int(product.high)
    }

    /// Uniform in 0 ..< 1, a multiple of 2^-53.
    public mutating func nextUnit() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// Every order of `elements` is equally likely (Durstenfeld: Algorithm 235, 1964; from the last place down).
    public mutating func shuffle<T>(_ elements: inout [T]) {
        guard elements.count > 1 else { return }
        for last in stride(from: elements.count - 1, to: 0, by: -1) { elements.swapAt(last, next(below: last + 1)) }
    }

    /// What the parts of a seed are for: the first number of a path.
    enum Purpose {
        static let split = 1, order = 2, buckets = 3, masking = 4, sentencePairs = 5
    }
}
