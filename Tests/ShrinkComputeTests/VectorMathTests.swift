import CHostKernels
import Glibc
import Testing

@testable import ShrinkCompute

@Suite struct VectorMathTests {
    @Test(arguments: [1, 5, 16, 33, 200]) func softmaxIsTheFormula(_ count: Int) {
        let scores = HostKernelTests.values(count, scale: 10)
        var result = scores + [7], logSumExp: Float = 0
        result.withUnsafeMutableBufferPointer {
            let shape = host_scores(rows: 1, columns: count, stride: count, visible: count, step: 0, count: count)
            kernels.softmax($0.baseAddress!, shape, &logSumExp, 1)
        }
        let sum = scores.reduce(0.0) { $0 + exp(Double($1) - 60) }
        let largest = scores.max() ?? 0
        #expect(abs(Double(logSumExp) - (log(sum) + 60)) <= 1e-5)
        #expect(result[count] == 7, "nothing behind the end is touched")
        for (score, probability) in zip(scores, result) {
            let exact = exp(Double(score) - 60) / sum
            // score − largest is rounded to binary32, and an error of the exponent is a relative one of the power.
            let relative = 1e-6 + Double(abs(score - largest)) * 0x1p-24
            #expect(abs(Double(probability) - exact) <= relative * exact + 1e-30)
        }
    }

    @Test func columnsThatARowDoesNotSeeAreZero() {
        var scores = HostKernelTests.values(4 * 20)
        let original = scores
        scores.withUnsafeMutableBufferPointer {
            kernels.softmax($0.baseAddress!, host_scores(rows: 4, columns: 19, stride: 20, visible: 15, step: 1, count: 17), nil, 0)
        }
        for row in 0..<4 {
            let seen = min(15 + row, 17), values = scores[row * 20..<row * 20 + 19]
            #expect(values.dropFirst(seen).allSatisfy { $0 == 0 } && values.prefix(seen).allSatisfy { $0 > 0 })
            #expect(abs(values.reduce(0, +) - 1) < 1e-5)
            #expect(scores[row * 20 + 19] == original[row * 20 + 19])
        }
    }

    @Test(arguments: [0, 1, 15, 16, 17, 40]) func everyElementIsVisitedOnceAndNothingBehind(_ count: Int) {
        var values = (0..<count + 20).map(Float.init)
        values.withUnsafeMutableBufferPointer { kernels.scale($0.baseAddress!, 2, $0.baseAddress!, count) }
        #expect(values.indices.allSatisfy { values[$0] == ($0 < count ? Float($0) * 2 : Float($0)) })
    }
}
