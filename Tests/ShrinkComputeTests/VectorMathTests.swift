import Glibc
import Testing

@testable import ShrinkCompute

@Suite struct VectorMathTests {
    @Test func theExponentialIsWithinTwoUnitsOfTheLastPlace() {
        var largest = 0.0
        for step in stride(from: -86.9, to: 86.9, by: 0.0137) {
            let x = Float(step)
            let exact = exp(Double(x))
            largest = max(largest, abs(Double(exponential(Lanes(repeating: x))[5]) - exact) / Double(Float(exact).ulp))
        }
        print("exponential: largest error \(largest) units in the last place")
        #expect(largest <= 2)
    }

    @Test func theExponentialOfZeroIsOneAndItsEndsAreFinite() {
        #expect(exponential(Lanes(repeating: 0))[0] == 1)
        #expect(exponential(Lanes(repeating: -.infinity))[0] < 2e-38)
        #expect(exponential(Lanes(repeating: 1e30))[0].isFinite)
    }

    @Test(arguments: [0, 1, 15, 16, 17, 40]) func everyElementIsVisitedOnceAndNothingBehind(_ count: Int) {
        var values = (0..<count + 20).map(Float.init)
        values.withUnsafeMutableBufferPointer { forEachLanes($0.baseAddress!, count: count) { $0 * 2 + 1 } }
        #expect(values.indices.allSatisfy { values[$0] == ($0 < count ? Float($0) * 2 + 1 : Float($0)) })
    }

    @Test(arguments: [1, 5, 16, 33, 200]) func softmaxIsTheFormula(_ count: Int) {
        let scores = HostKernelTests.values(count, scale: 10)
        var result = scores
        result.withUnsafeMutableBufferPointer { HostKernels.softmax($0.baseAddress!, count: count) }
        let sum = scores.reduce(0.0) { $0 + exp(Double($1) - 60) }
        let largest = scores.max() ?? 0
        for (score, probability) in zip(scores, result) {
            let exact = exp(Double(score) - 60) / sum
            // score − largest is rounded to binary32, and an error of the exponent is a relative one of the power.
            let relative = 1e-6 + Double(abs(score - largest)) * 0x1p-24
            #expect(abs(Double(probability) - exact) <= relative * exact + 1e-30)
        }
    }
}
