import Testing

import ShrinkEvaluation

/// Against numpy 2.4.6: `numpy.percentile(samples, [0, 10, 50, 90, 99, 100])` with its default method.
@Suite struct DistributionTests {
    @Test func percentilesEqualNumPy() {
        let samples = [3.5, 1.25, 9.0, 4.75, 2.0, 8.5, 0.5, 7.0]
        let expected: [(Double, Double)] = [(0, 0.5), (10, 1.025), (50, 4.125), (90, 8.65), (99, 8.965), (100, 9)]
        for (percent, value) in expected { #expect(abs(Distribution(samples).percentile(percent) - value) < 1e-12, "\(percent) %") }
    }

    @Test func theMedianOfAnOddCountIsTheMiddleSample() { #expect(Distribution([5, 1, 100]).median == 5) }

    @Test func oneSampleIsEveryPercentile() {
        let one = Distribution([7])
        #expect([0, 50, 99, 100].allSatisfy { one.percentile($0) == 7 } && one.least == 7 && one.count == 1)
    }

    @Test func theLeastIsTheSmallestSample() { #expect(Distribution([3, -1, 2]).least == -1) }
}
