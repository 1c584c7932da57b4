import ShrinkEvaluation
import Testing

@Suite struct ClassAgreementTests {
    /// Worked out by hand: of the right classes 0 0 0 1 1 2 the guesses 0 0 1 1 0 0 hit three. F1 of class 0 is 2·2/(4+3), of class 1
    /// 2·1/(2+2), of class 2 zero; class 3 is nowhere.
    @Test func figuresAreThoseOfTheDefinition() {
        var agreement = ClassAgreement(classes: 4)
        for (right, guess) in zip([0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 0, 0]) { agreement.add(predicted: guess, actual: right) }
        #expect(agreement.count == 6 && agreement.accuracy == 0.5)
        #expect(abs(agreement.macroF1 - (4.0 / 7 + 0.5 + 0) / 3) < 1e-15)
    }

    @Test func nothingIsNoDivisionByZero() {
        let agreement = ClassAgreement(classes: 2)
        #expect(agreement.accuracy == 0 && agreement.macroF1 == 0)
    }
}
