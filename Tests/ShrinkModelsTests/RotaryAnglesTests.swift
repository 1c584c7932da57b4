import Foundation
import Testing

@testable import ShrinkModels

@Suite struct RotaryAnglesTests {
    func floats(_ source: RotaryAngles, _ range: Range<Int>) -> [Float] {
        var result = [Float](repeating: .nan, count: range.count)
        result.withUnsafeMutableBufferPointer { source.readFloats(range, into: $0) }
        return result
    }

    @Test func anglesAreThePositionTimesTheFrequencyInBinary32() {
        let table = RotaryTable(headSize: 6, base: 10_000, scaling: .none)
        let cosine = floats(table.source(.cosine), 0..<300), sine = floats(table.source(.sine), 0..<300)
        for position in 0..<100 {
            for pair in 0..<3 {
                let frequency = Float(pow(10_000, -Double(pair) / 3))
                let angle = Double(Float(position) * frequency)
                #expect(cosine[position * 3 + pair] == Float(cos(angle)))
                #expect(sine[position * 3 + pair] == Float(sin(angle)))
            }
        }
    }

    @Test func anyPartOfTheTableIsTheSame() {
        let source = RotaryTable(headSize: 8, base: 500, scaling: .linear(factor: 3)).source(.sine)
        let whole = floats(source, 0..<400)
        #expect(floats(source, 13..<27) == Array(whole[13..<27]))
    }

    @Test func positionsFarOutCostNothing() {
        let source = RotaryTable(headSize: 128, base: 10_000, scaling: .none).source(.cosine)
        let last = (1 << 31) * 64
        #expect(floats(source, last - 64..<last).allSatisfy { abs($0) <= 1 })
    }

    @Test func linearScalingDividesPositions() {
        let plain = floats(RotaryTable(headSize: 2, base: 10_000, scaling: .none).source(.cosine), 0..<25)
        let scaled = floats(RotaryTable(headSize: 2, base: 10_000, scaling: .linear(factor: 4)).source(.cosine), 0..<100)
        #expect((0..<25).allSatisfy { plain[$0] == scaled[4 * $0] })
    }
}
