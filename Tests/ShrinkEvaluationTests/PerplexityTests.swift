import Foundation
import Testing

@testable import ShrinkEvaluation

@Suite struct PerplexityTests {
    /// Measures with logits that `row` makes of the token that predicts and the one that follows it,
    /// handed over in pieces of `piece` rows.
    func measure(
        _ tokens: [UInt32], context: Int, vocabulary: Int, piece: Int = 3,
        row: (_ token: UInt32, _ next: UInt32) -> [Float]
    ) throws -> Perplexity {
        try Perplexity.measure(tokens: tokens, context: context, progress: { _, _ in }) { window, consume in
            let rows = window.indices.map { row(window[$0], $0 + 1 < window.count ? window[$0 + 1] : 0) }
            for first in stride(from: 0, to: rows.count, by: piece) {
                let count = min(piece, rows.count - first)
                let flat = Array(rows[first..<first + count].joined())
                flat.withUnsafeBufferPointer { flat in
                    consume(LogitRows(firstToken: first, count: count) { UnsafeBufferPointer(rebasing: flat[$0 * vocabulary..<($0 + 1) * vocabulary]) })
                }
            }
        }
    }

    let tokens = (0..<47).map { UInt32($0 * 7 % 10) }

    @Test func uniformLogitsGiveTheSizeOfTheVocabulary() throws {
        let result = try measure(tokens, context: 10, vocabulary: 10) { _, _ in [Float](repeating: 3.25, count: 10) }
        #expect(abs(result.value - 10) < 1e-5)
        #expect(result.standardError < 1e-6)
    }

    @Test func certaintyGivesOne() throws {
        let result = try measure(tokens, context: 10, vocabulary: 10) { _, next in (0..<10).map { $0 == Int(next) ? 200 : 0 } }
        #expect(abs(result.value - 1) < 1e-6)
    }

    @Test func aKnownAdvantageGivesTheClosedForm() throws {
        // −log p = log(1 + 9·e^−2) for every token.
        let result = try measure(tokens, context: 10, vocabulary: 10) { _, next in (0..<10).map { $0 == Int(next) ? 2 : 0 } }
        #expect(abs(result.value - (1 + 9 * exp(-2))) < 1e-5)
    }

    @Test func meanAndStandardErrorAreOverTokens() throws {
        // Tokens after an even one are certain, those after an odd one have probability 1/4.
        let text: [UInt32] = [0, 1, 2, 3, 0, 1, 2, 3]
        let result = try measure(text, context: 8, vocabulary: 4) { token, next in
            token % 2 == 0 ? (0..<4).map { $0 == Int(next) ? 200 : 0 } : [0, 0, 0, 0]
        }
        let losses = (0..<7).map { $0 % 2 == 0 ? 0 : log(4.0) }
        let mean = losses.reduce(0, +) / 7
        let deviation = (losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 6).squareRoot()
        #expect(abs(result.value - exp(mean)) < 1e-5)
        #expect(abs(result.standardError - deviation / 7.0.squareRoot()) < 1e-6)
    }

    @Test func theTailThatFillsNoWindowIsDropped() throws {
        let result = try measure(tokens, context: 10, vocabulary: 10) { _, _ in [Float](repeating: 0, count: 10) }
        #expect(result.windows == 4)
        #expect(result.tokens == 4 * 9)
    }

    @Test(arguments: [1, 2, 9, 10, 100]) func piecesDoNotChangeTheResult(_ piece: Int) throws {
        func row(_ token: UInt32, _ next: UInt32) -> [Float] { (0..<10).map { sin(Float($0) * 1.7 + Float(token)) * 3 } }
        let whole = try measure(tokens, context: 10, vocabulary: 10, piece: 10, row: row)
        let result = try measure(tokens, context: 10, vocabulary: 10, piece: piece, row: row)
        #expect(result.value == whole.value)
    }

    @Test func rowsThatWereNotHandedOverShow() throws {
        let result = try Perplexity.measure(tokens: tokens, context: 10, progress: { _, _ in }) { _, _ in }
        #expect(result.value.isNaN)
    }

    @Test func largeLogitsDoNotOverflow() {
        let logits: [Float] = [3e38, 0, -3e38]
        let loss = logits.withUnsafeBufferPointer { negativeLogLikelihood($0, of: 0) }
        #expect(loss == 0)
    }

    @Test func aTextShorterThanOneWindowIsAnError() {
        #expect(throws: EvaluationError.self) { try measure([1, 2, 3], context: 4, vocabulary: 4) { _, _ in [0, 0, 0, 0] } }
        #expect(throws: EvaluationError.self) { try measure([1, 2, 3], context: 1, vocabulary: 4) { _, _ in [0, 0, 0, 0] } }
    }
}
