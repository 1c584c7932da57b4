import Foundation
import RuntimeTestSupport
import ShrinkRuntime
import Testing

@Suite struct SamplerTests {
    func sampler(_ count: Int, temperature: Float = 0, topK: Int = 0, topP: Float = 1, seed: UInt64 = 0) throws -> Sampler {
        var options = SamplerOptions()
        options.temperature = temperature
        options.topK = topK
        options.topP = topP
        options.seed = seed
        return try Sampler(vocabularySize: count, options: options)
    }

    func draws(_ count: Int, _ logits: [Float], _ sampler: consuming Sampler) throws -> [UInt32] {
        var sampler = sampler
        return try (0..<count).map { _ in try logits.withUnsafeBufferPointer { try sampler.sample($0) } }
    }

    static let logits: [Float] = [0.5, 2, -1, 2, 1.5, -3, 0]

    /// exp(x / T) over the tokens that are left, as frequencies.
    func expected(_ logits: [Float], temperature: Double, keep: [Int]) -> [Double] {
        let weights = logits.indices.map { keep.contains($0) ? exp(Double(logits[$0]) / temperature) : 0 }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }

    @Test func greedyTakesTheLowestOfTheBest() throws {
        #expect(try draws(3, Self.logits, sampler(7)) == [1, 1, 1])
        #expect(try draws(1, [.nan, -.infinity, .nan], sampler(3)) == [0])
        #expect(try draws(1, [.nan, -5, .infinity], sampler(3)) == [2])
    }

    @Test(arguments: [
        (Float(1), 0, Float(1), Array(0..<7)), (0.5, 0, 1, Array(0..<7)), (1, 3, 1, [1, 3, 4]), (2, 2, 1, [1, 3]),
        // Probabilities at temperature 1: .341 .341 .207 .076 .046 …; 0.7 needs three of them, 0.3 one.
        (1, 0, 0.7, [1, 3, 4]), (1, 0, 0.3, [1]), (1, 1, 1, [1]),
        // Of the best four, renormalised: .353 .353 .214 .079.
        (1, 4, 0.9, [1, 3, 4]), (1, 4, 0.93, [0, 1, 3, 4]),
    ]) func frequenciesAreTheProbabilities(temperature: Float, topK: Int, topP: Float, keep: [Int]) throws {
        let count = 40_000
        let drawn = try draws(count, Self.logits, sampler(7, temperature: temperature, topK: topK, topP: topP, seed: 4))
        let probabilities = expected(Self.logits, temperature: Double(temperature), keep: keep)
        for id in 0..<7 {
            let frequency = Double(drawn.count { $0 == UInt32(id) }) / Double(count)
            // Five standard deviations of a binomial; exactly none where the probability is 0.
            let bound = 5 * (probabilities[id] * (1 - probabilities[id]) / Double(count)).squareRoot()
            #expect(abs(frequency - probabilities[id]) <= bound, "token \(id)")
        }
    }

    @Test func aSeedFixesTheDraws() throws {
        let first = try draws(50, Self.logits, sampler(7, temperature: 1, seed: 12))
        #expect(try draws(50, Self.logits, sampler(7, temperature: 1, seed: 12)) == first)
        #expect(try draws(50, Self.logits, sampler(7, temperature: 1, seed: 13)) != first)
    }

    @Test func equalLogitsAreKeptInOrderOfTheirIds() throws {
        let equal = [Float](repeating: 1, count: 100)
        #expect(Set(try draws(500, equal, sampler(100, temperature: 1, topK: 4))) == [0, 1, 2, 3])
        #expect(Set(try draws(500, equal, sampler(100, temperature: 1, topP: 0.025))) == [0, 1, 2])
    }

    @Test func aSamplerThatIsRestartedChoosesAsANewOne() throws {
        var options = SamplerOptions()
        options.temperature = 0.7
        options.topK = 5
        options.seed = 9
        var restarted = try sampler(7, temperature: 2, seed: 4)
        _ = try Self.logits.withUnsafeBufferPointer { try restarted.sample($0) }
        try restarted.restart(options)
        #expect(try draws(50, Self.logits, restarted) == draws(50, Self.logits, sampler(7, temperature: 0.7, topK: 5, seed: 9)))
    }

    @Test func aLargeVocabularyIsOrderedRight() throws {
        var random = RandomValues(seed: 6)
        let logits = random.floats(5_000, spread: 3)
        let best = logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }.prefix(9).map(UInt32.init)
        let drawn = Set(try draws(3_000, logits, sampler(5_000, temperature: 20, topK: 9)))
        #expect(drawn == Set(best))
    }

    @Test(arguments: [
        [Float.nan, .nan, .nan], [Float.infinity, .infinity, 0], [Float](repeating: -.infinity, count: 3), [3e38, -3e38, .nan],
    ] as [[Float]]) func anyLogitsGiveAToken(logits: [Float]) throws {
        for (topK, topP) in [(0, Float(1)), (2, 1), (0, 0.5), (2, 0.5)] {
            #expect(try draws(20, logits, sampler(3, temperature: 0.1, topK: topK, topP: topP)).allSatisfy { $0 < 3 })
        }
    }

    @Test func optionsOutOfRangeAreRefused() {
        #expect(throws: RuntimeError.self) { _ = try sampler(3, temperature: -1) }
        #expect(throws: RuntimeError.self) { _ = try sampler(3, temperature: .nan) }
        #expect(throws: RuntimeError.self) { _ = try sampler(3, temperature: 1, topP: 0) }
        #expect(throws: RuntimeError.self) { _ = try sampler(3, temperature: 1, topP: 1.5) }
        #expect(throws: RuntimeError.self) { _ = try sampler(3, temperature: 1, topK: -1) }
        #expect(throws: RuntimeError.self) { _ = try sampler(0) }
        #expect(throws: RuntimeError.self) { _ = try draws(1, [1, 2], sampler(3)) }
    }
}
