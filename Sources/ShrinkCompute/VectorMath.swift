/// Eight floats at a time, on whatever vectors the CPU has.
typealias Lanes = SIMD8<Float>

/// e to the power of x, to about one unit in the last place: x = n·ln 2 + r with |r| ≤ ln 2 / 2, and the
/// Taylor series of eʳ up to r⁷ (its remainder is below 6·10⁻⁹). x is clamped to ±87, where binary32
/// is about to end.
@inline(__always) func exponential(_ x: Lanes) -> Lanes {
    var x = x
    x.replace(with: -87, where: x .< -87)
    x.replace(with: 87, where: x .> 87)
    // Adding 1.5·2²³ rounds to an integer, which then stands in the low bits.
    let shifter = Lanes(repeating: 12_582_912)
    let shifted = x * 1.442695 + shifter
    let n = shifted - shifter
    // ln 2 in two parts; the first has so few bits that its product with n is exact.
    let r = x - n * 0.693359375 + n * 2.12194440e-4
    var series = r * (1 / 5040) + Lanes(repeating: 1 / 720)
    series = series * r + Lanes(repeating: 1 / 120)
    series = series * r + Lanes(repeating: 1 / 24)
    series = series * r + Lanes(repeating: 1 / 6)
    series = series * r + Lanes(repeating: 1 / 2)
    series = series * r + Lanes(repeating: 1)
    series = series * r + Lanes(repeating: 1)
    let bits = unsafeBitCast(shifted, to: SIMD8<Int32>.self) &<< 23
    return unsafeBitCast(unsafeBitCast(series, to: SIMD8<Int32>.self) &+ bits, to: Lanes.self)
}

/// Replaces every element by `body` of it, the last ones in a vector filled up with `padding`.
@inline(__always) func forEachLanes(
    _ values: UnsafeMutablePointer<Float>, count: Int, padding: Float = 0, _ body: (Lanes) -> Lanes
) {
    let whole = count & ~7
    for start in stride(from: 0, to: whole, by: 8) {
        let place = UnsafeMutableRawPointer(values + start)
        place.storeBytes(of: body(place.loadUnaligned(as: Lanes.self)), as: Lanes.self)
    }
    if whole < count {
        var last = Lanes(repeating: padding)
        for index in whole..<count { last[index - whole] = values[index] }
        last = body(last)
        for index in whole..<count { values[index] = last[index - whole] }
    }
}
