import Foundation
import Testing

@testable import ShrinkTraining

@Suite struct LearningRateTests {
    @Test func warmUpRisesInEqualStepsToThePeak() {
        for schedule in LearningRate.Schedule.allCases {
            let rate = LearningRate(schedule, peak: 0.8, warmup: 4, steps: 20)
            for (step, wanted) in zip(1...4, [0.2, 0.4, 0.6, 0.8]) { #expect(abs(rate.rate(step: step) - wanted) < 1e-15) }
        }
    }

    @Test func theRateAfterTheWarmUpIsTheClosedForm() {
        for step in 5...20 {
            let progress = Double(step - 5) / 16
            func rate(_ schedule: LearningRate.Schedule) -> Double { LearningRate(schedule, peak: 3, warmup: 4, steps: 20).rate(step: step) }
            #expect(rate(.constant) == 3)
            #expect(abs(rate(.linear) - 3 * (1 - progress)) < 1e-12)
            // (1 + cos x) / 2 is the square of the cosine of half the angle.
            #expect(abs(rate(.cosine) - 3 * pow(cos(.pi * progress / 2), 2)) < 1e-12)
        }
    }

    @Test func everyStepHasARateAboveZero() {
        for schedule in LearningRate.Schedule.allCases {
            for warmup in [0, 1, 5, 6] {
                let rate = LearningRate(schedule, peak: 1, warmup: warmup, steps: 6)
                for step in 1...6 { #expect(rate.rate(step: step) > 0 && rate.rate(step: step) <= 1) }
            }
        }
    }
}
