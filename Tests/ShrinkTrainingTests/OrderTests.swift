import Foundation
import Testing

@testable import ShrinkTraining

struct OrderTests {
    // MARK: Random numbers

    @Test func numbersAreThoseOfTheReferenceImplementations() {
        // SplitMix64 from 1234567, as published with its reference code; it fills the state.
        let random = Random(seed: 1_234_567)
        #expect(random.state == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423, 4_593_380_528_125_082_431])
        // xoshiro256** from 1, 2, 3, 4.
        var known = Random(seed: 0)
        known.state = [1, 2, 3, 4]
        let expected: [UInt64] = [11520, 0, 1_509_978_240, 1_215_971_899_390_074_240, 1_216_172_134_540_287_360, 607_988_272_756_665_600]
        #expect(expected.indices.map { _ in known.next() } == expected)
    }

    @Test func pathsGiveOtherNumbers() {
        var seen: Set<UInt64> = []
        for seed in 0..<3 {
            for first in -1..<40 { for second in 0..<40 { var random = Random(seed: UInt64(seed), first, second); seen.insert(random.next()) } }
            var short = Random(seed: UInt64(seed), 1)
            seen.insert(short.next())
        }
        #expect(seen.count == 3 * (41 * 40 + 1))
    }

    @Test func boundedNumbersAreUniform() {
        var random = Random(seed: 5)
        for bound in [1, 2, 3, 7, 10] {
            var counts = [Int](repeating: 0, count: bound)
            for _ in 0..<bound * 2000 { counts[random.next(below: bound)] += 1 }
            // Chi-square with bound − 1 degrees of freedom is above 40 in less than one case of 10^4.
            let chi = counts.reduce(0.0) { $0 + pow(Double($1) - 2000, 2) / 2000 }
            #expect(chi < 40)
        }
        for _ in 0..<1000 { #expect(0..<1 ~= random.nextUnit()) }
    }

    @Test func everyOrderIsEquallyLikely() {
        var counts: [[Int]: Int] = [:]
        for seed in 0..<24_000 {
            var order = [0, 1, 2, 3]
            var random = Random(seed: UInt64(seed))
            random.shuffle(&order)
            counts[order, default: 0] += 1
        }
        let chi = counts.values.reduce(0.0) { $0 + pow(Double($1) - 1000, 2) / 1000 }
        #expect(counts.count == 24)
        #expect(chi < 70)
    }

    // MARK: Split

    @Test(arguments: [(0, 0.5, 0), (1, 0.5, 1), (10, 0.0, 0), (10, 1.0, 10), (10, 0.25, 3), (1000, 0.1, 100), (7, -1, 0), (7, 2, 7), (999, 0.0004, 0)])
    func aSplitHasTheAskedShareAndEveryExampleOnce(count: Int, share: Double, held: Int) {
        let split = DataSplit(count: count, validationShare: share, seed: 3)
        #expect(split.validation.count == held)
        #expect((split.training + split.validation).sorted() == Array(0..<count))
        #expect(split.training == split.training.sorted() && split.validation == split.validation.sorted())
    }

    @Test func aSplitDependsOnItsSeedAlone() {
        let split = DataSplit(count: 100, validationShare: 0.3, seed: 1)
        #expect(split == DataSplit(count: 100, validationShare: 0.3, seed: 1))
        #expect(split != DataSplit(count: 100, validationShare: 0.3, seed: 2))
    }

    @Test func everyExampleIsHeldBackAsOftenAsAnyOther() {
        var counts = [Int](repeating: 0, count: 20)
        for seed in 0..<4000 { for i in DataSplit(count: 20, validationShare: 0.25, seed: UInt64(seed)).validation { counts[i] += 1 } }
        // Binomial, 4000 draws of 1/4: standard deviation 27.4.
        for count in counts { #expect(abs(count - 1000) < 5 * 28) }
    }

    // MARK: Batches

    private static let lengths: @Sendable (Int) -> Int = { $0 * 7919 % 101 }

    private func order(_ count: Int, size: Int, byLength: Bool, dropsLast: Bool = false, seed: UInt64 = 9) -> BatchOrder {
        BatchOrder(Array(100..<100 + count), batchSize: size, seed: seed, dropsLast: dropsLast, lengths: byLength ? Self.lengths : nil, poolBatches: 5)
    }

    @Test(arguments: [false, true], [(1, 1), (7, 3), (100, 8), (96, 8), (3, 8), (1000, 16)])
    func everyEpochHasEveryExampleOnceInAnotherOrder(byLength: Bool, size: (Int, Int)) {
        var order = order(size.0, size: size.1, byLength: byLength)
        var epochs: [[[Int]]] = []
        for epoch in 0..<3 {
            #expect(order.position == DataPosition(epoch: epoch, batch: 0))
            epochs.append((0..<order.batchesPerEpoch).map { _ in order.next() })
            #expect(epochs[epoch].joined().sorted() == Array(100..<100 + size.0))
            #expect(epochs[epoch].dropLast().allSatisfy { $0.count == size.1 })
        }
        if size.0 > 50 { #expect(epochs[0] != epochs[1] && epochs[1] != epochs[2]) }
    }

    @Test func aSmallerLastBatchCanBeLeftOut() {
        var order = order(30, size: 8, byLength: true, dropsLast: true)
        #expect(order.batchesPerEpoch == 3)
        let seen = (0..<3).flatMap { _ in order.next() }
        #expect(Set(seen).count == 24)
        #expect(order.position == DataPosition(epoch: 1, batch: 0))
    }

    @Test(arguments: [false, true])
    func goingOnFromAPositionGivesTheSameBatches(byLength: Bool) throws {
        var whole = order(53, size: 4, byLength: byLength)
        for _ in 0..<40 {
            let saved = try JSONDecoder().decode(DataPosition.self, from: JSONEncoder().encode(whole.position))
            var resumed = order(53, size: 4, byLength: byLength)
            resumed.restore(saved)
            let expected = whole.next()
            #expect(resumed.next() == expected)
            #expect(resumed.position == whole.position)
        }
    }

    @Test func batchesOfSimilarLengthNeedLessPadding() {
        func padding(_ byLength: Bool) -> Int {
            var order = order(1000, size: 10, byLength: byLength)
            return (0..<100).reduce(0) { sum, _ in
                let lengths = order.next().map(Self.lengths)
                return sum + lengths.max()! * lengths.count - lengths.reduce(0, +)
            }
        }
        #expect(padding(true) * 3 < padding(false))
    }

    @Test func orderedBatchesAreAsTheExamplesStand() {
        var order = BatchOrder([5, 3, 9], batchSize: 2, seed: 1, shuffles: false)
        #expect([order.next(), order.next(), order.next()] == [[5, 3], [9], [5, 3]])
    }

    @Test func paddingFillsRowsToTheLongest() {
        let batch = Batch(
            [Example(tokens: [1, 2, 3], segments: [0, 0, 1], label: 4), Example(tokens: [5], label: 6)], padding: 9, multiple: 4)
        #expect((batch.count, batch.length) == (2, 4))
        #expect(batch.tokens == [1, 2, 3, 9, 5, 9, 9, 9])
        #expect(batch.segments == [0, 0, 1, 0, 0, 0, 0, 0])
        #expect(batch.lengths == [3, 1] && batch.labels == [4, 6] && batch.tags == [])
        let tagged = Batch([Example(tokens: [1], tags: [3]), Example(tokens: [1, 2], tags: [4, -1])], padding: 0)
        #expect(tagged.tags == [3, -1, 4, -1])
    }
}
