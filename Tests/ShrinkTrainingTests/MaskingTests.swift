import Foundation
import Testing

@testable import ShrinkTraining

struct MaskingTests {
    /// Ids from 10 on are words, from 500 on what continues them; 2 and 3 stand around.
    private func masking(wholeWords: Bool = false) -> Masking {
        var masking = Masking(mask: 4, special: [0, 2, 3], continuesWord: (0..<1000).map { $0 >= 500 })
        masking.wholeWords = wholeWords
        return masking
    }

    private let tokens: [Int32] = [2] + (0..<98).map { (i: Int) -> Int32 in Int32(10 + i * 37 % 490 + (i % 3 == 0 ? 0 : 490)) } + [3]

    @Test func fifteenPercentAreChosenAndNeverSpecialOnes() {
        for example in 0..<200 {
            let (inputs, targets) = masking().apply(to: tokens, seed: 1, epoch: 0, example: example)
            let chosen = targets.indices.filter { targets[$0] != Example.ignored }
            #expect(chosen.count == 15)
            #expect(!chosen.contains(0) && !chosen.contains(99))
            for place in tokens.indices {
                if chosen.contains(place) { #expect(targets[place] == tokens[place]) } else { #expect(inputs[place] == tokens[place]) }
            }
        }
    }

    @Test func eightyTenTenBecomeMaskOtherAndSame() {
        var (masked, same, other, places) = (0, 0, 0, [Int](repeating: 0, count: 100))
        var drawn: Set<Int32> = []
        for example in 0..<4000 {
            let (inputs, targets) = masking().apply(to: tokens, seed: 2, epoch: 1, example: example)
            for place in tokens.indices where targets[place] != Example.ignored {
                places[place] += 1
                if inputs[place] == 4 { masked += 1 } else if inputs[place] == tokens[place] { same += 1 } else { other += 1; drawn.insert(inputs[place]) }
            }
        }
        // 60000 draws; a random token is the mask or the same one in one case of a thousand each. Five standard deviations.
        #expect(abs(Double(masked) - 60_000 * 0.8001) < 5 * 98)
        #expect(abs(Double(same) - 60_000 * 0.1001) < 5 * 74)
        #expect(abs(Double(other) - 60_000 * 0.0998) < 5 * 74)
        #expect(drawn.count > 980)
        // Every place is chosen with 15 of 98: 612 of 4000, standard deviation 22.8.
        for count in places[1..<99] { #expect(abs(Double(count) - 4000 * 15 / 98) < 5 * 23) }
    }

    @Test func wordsAreMaskedWholeOrNotAtAll() {
        var counts: [Int] = []
        for example in 0..<300 {
            let (_, targets) = masking(wholeWords: true).apply(to: tokens, seed: 3, epoch: 0, example: example)
            var place = 1
            while place < 99 {
                var end = place + 1
                while end < 99, tokens[end] >= 500 { end += 1 }
                #expect(Set((place..<end).map { targets[$0] != Example.ignored }).count == 1)
                place = end
            }
            counts.append(targets.count { $0 != Example.ignored })
        }
        // Words of three: five of them fit.
        #expect(counts.allSatisfy { $0 <= 15 && $0 > 12 })
    }

    @Test func atLeastOneAndAtMostTheMaximumAreChosen() {
        func count(_ masking: Masking, _ tokens: [Int32]) -> Int { masking.apply(to: tokens, seed: 1, epoch: 1, example: 1).targets.count { $0 >= 0 } }
        #expect(count(masking(), [2, 20, 3]) == 1)
        #expect(count(masking(), [2, 3]) == 0)
        var few = masking()
        few.maximumCount = 4
        #expect(count(few, tokens) == 4)
        // Halves go to the even number, as Python rounds: 30 · 0.15 = 4.5, 50 · 0.15 = 7.5.
        #expect(count(masking(), Array(tokens[1..<31])) == 4)
        #expect(count(masking(), Array(tokens[1..<51])) == 8)
    }

    @Test func epochsAndExamplesDifferAndNothingElseCounts() {
        func targets(_ seed: UInt64, _ epoch: Int, _ example: Int) -> [Int32] { masking().apply(to: tokens, seed: seed, epoch: epoch, example: example).targets }
        #expect(targets(1, 2, 3) == targets(1, 2, 3))
        #expect(Set([targets(1, 2, 3), targets(2, 2, 3), targets(1, 3, 3), targets(1, 2, 4), targets(1, 3, 2)]).count == 5)
    }

    // MARK: Next sentences

    /// Sentence s of document d has the tokens 1000·d + 20·s + 0, 1, ….
    private func sentences(_ scratch: Scratch) throws -> ExampleStore {
        var examples: [Example] = []
        for d in 0..<40 {
            for s in 0..<12 {
                let first = 1000 * (d + 1) + 20 * s
                let count = 3 + (d * 5 + s * 3) % 14
                examples.append(Example(tokens: (first..<first + count).map(Int32.init), label: UInt32(d)))
            }
        }
        return try store(examples, vocabularySize: 50_000, in: scratch)
    }

    @Test func halfOfThePairsFollowEachOtherAndTheRestAreOfTwoDocuments() throws {
        let scratch = Scratch()
        let writer = try ExampleWriter(path: scratch.path + "/pairs", vocabularySize: 50_000)
        let encoder = try encoder(.wordPiece)
        try encoder.encodePairs(of: sentences(scratch), copies: 10, limit: 64, seed: 4, into: writer)
        try writer.finish(fingerprint: Fingerprint(bytes: [UInt8](repeating: 0, count: 32)))
        let pairs = try ExampleStore(path: scratch.path + "/pairs")
        var random = 0
        var starts: Set<Int32> = []
        for i in 0..<pairs.count {
            let pair = pairs[i]
            #expect(pair.tokens.count <= 64)
            #expect(pair.tokens.first == 2 && pair.tokens.last == 3)
            let separator = try #require(pair.tokens.firstIndex(of: 3))
            #expect(pair.segments == (pair.tokens.indices).map { $0 <= separator ? 0 : 1 })
            let (first, second) = (pair.tokens[1..<separator], pair.tokens[(separator + 1)..<(pair.tokens.count - 1)])
            #expect(!first.isEmpty && !second.isEmpty)
            let documents = (Set(first.map { $0 / 1000 }), Set(second.map { $0 / 1000 }))
            #expect(documents.0.count == 1 && documents.1.count == 1)
            if pair.label == ExampleEncoder.isRandomNext {
                random += 1
                starts.insert(second.first!)
                #expect(documents.0 != documents.1)
            } else {
                #expect(documents.0 == documents.1)
                // The sentence after the last of the first text, unless tokens were taken away between them.
                let (last, next) = (first.last! % 1000 / 20, second.first! % 1000 / 20)
                #expect(next == last + 1 || pair.tokens.count == 64)
                #expect(next > last || pair.tokens.count == 64)
            }
        }
        // A document's last pair has one sentence more often than others, and is then random.
        let share = Double(random) / Double(pairs.count)
        #expect(pairs.count > 1000)
        #expect(share > 0.5 - 5 * 0.5 / Double(pairs.count).squareRoot() && share < 0.65)
        #expect(starts.count > 200)
    }

    @Test func oneDocumentGivesNoPairs() throws {
        let scratch = Scratch()
        let one = try store([Example(tokens: [10]), Example(tokens: [11])], in: scratch)
        let writer = try ExampleWriter(path: scratch.path + "/pairs", vocabularySize: 1000)
        let encoder = try encoder(.wordPiece)
        #expect(message { try encoder.encodePairs(of: one, limit: 64, seed: 4, into: writer) }.contains("two documents"))
        #expect(message { try encoder.encodePairs(of: one, limit: 4, seed: 4, into: writer) }.contains("no room"))
    }
}
