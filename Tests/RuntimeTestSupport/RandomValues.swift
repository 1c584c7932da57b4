/// A linear congruential generator (Knuth's MMIX constants): reproducible values for tests.
public struct RandomValues {
    private var state: UInt64

    public init(seed: UInt64) { state = seed &* 2 &+ 1 }

    public mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state >> 33
    }

    public mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    /// Roughly normal with the given spread: the sum of four uniform values.
    public mutating func floats(_ count: Int, spread: Float) -> [Float] {
        (0..<count).map { _ in
            let sum = (0..<4).reduce(Float(0)) { sum, _ in sum + Float(next()) / Float(UInt32.max >> 1) }
            return (sum - 2) * 1.7 * spread
        }
    }
}
