import Foundation
import ShrinkJSON
import ShrinkTokenizers
import Testing

@testable import ShrinkTraining

struct TokenizerTrainingTests {
    private func files(_ recipe: TokenizerRecipe, _ paths: [String]) throws -> [String: [UInt8]] {
        let words = try recipe.countWords(in: paths, badRows: BadRows(maximumShare: 0))
        return Dictionary(uniqueKeysWithValues: try recipe.train(on: words).files().map { ($0.name, $0.contents) })
    }

    private func words(_ counts: [(String, Int)]) -> WordCounts {
        var words = WordCounts()
        for (word, count) in counts { Array(word.utf8).withUnsafeBufferPointer { words.add($0, occurrences: count) } }
        return words
    }

    @Test(arguments: Goldens.trained)
    func learnsWhatTheReferenceLibraryLearns(golden: Goldens.Trained) throws {
        let files = try files(golden.recipe, golden.files.map(Goldens.path))
        let model = try JSON(parsing: files["tokenizer.json"]!)["model"]!
        let tokens = model["vocab"]!.object!.members.sorted { $0.value.int! < $1.value.int! }.map { Array($0.key.utf8) }
        #expect(tokens.prefix(golden.tokens.count).elementsEqual(golden.tokens.map { Array($0.utf8) }))
        if golden.kind == .bytePair {
            #expect(golden.merges.count > 400)
            #expect(model["merges"]!.strings == golden.merges)
            #expect(tokens.dropFirst(257).elementsEqual(golden.merges.map { Array($0.utf8.filter { $0 != 0x20 }) }))
        } else {
            #expect(tokens.count == golden.tokens.count)
            let lines = Array(files["vocab.txt"]!.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast().map(Array.init))
            #expect(lines == tokens)
        }
    }

    @Test func mergesAsRecountingAfterEveryMergeDoes() throws {
        var random = Random(seed: 11)
        for round in 0..<40 {
            let counted = (0..<30).map { _ in
                ((0..<1 + random.next(below: 12)).map { _ in ["a", "b", "c"][random.next(below: 2 + round % 2)] }.joined(), 1 + random.next(below: 5))
            }
            var merged = Dictionary(counted, uniquingKeysWith: +).map { (Array($0.key).map { String($0) }, $0.value) }
            var ids = Dictionary(uniqueKeysWithValues: ["a", "b", "c"].enumerated().map { ($1, $0) })
            var expected: [String] = []
            while expected.count < 25 {
                var pairs: [[String]: Int] = [:]
                for (word, count) in merged { for i in word.indices.dropLast() { pairs[[word[i], word[i + 1]], default: 0] += count } }
                func key(_ pair: [String]) -> (Int, Int, Int) { (-pairs[pair]!, ids[pair[0]]!, ids[pair[1]]!) }
                guard let best = pairs.keys.min(by: { key($0) < key($1) }), pairs[best]! >= 2 else { break }
                let text = best.joined()
                guard ids[text] == nil else { break }  // made in two ways: the orders may part here
                ids[text] = ids.count
                expected.append(best.joined(separator: " "))
                for w in merged.indices {
                    var (word, i): ([String], Int) = ([], 0)
                    while i < merged[w].0.count {
                        let isPair = i + 1 < merged[w].0.count && [merged[w].0[i], merged[w].0[i + 1]] == best
                        word.append(isPair ? text : merged[w].0[i])
                        i += isPair ? 2 : 1
                    }
                    merged[w].0 = word
                }
            }
            let recipe = TokenizerRecipe(.bytePair, vocabularySize: 257 + expected.count)
            let trained = try recipe.train(on: words(counted))
            let merges = try JSON(parsing: trained.files()[0].contents)["model"]!["merges"]!.strings
            #expect(expected.count > 5)
            #expect(merges == expected)
        }
    }

    @Test func theOrderOfTheTextDoesNotMatter() throws {
        let lines = try String(contentsOfFile: Goldens.path("english.txt"), encoding: .utf8).split(separator: "\n", omittingEmptySubsequences: false)
        let scratch = Scratch()
        let reversed = scratch.file("reversed.txt", lines.dropLast().reversed().joined(separator: "\n") + "\n")
        for kind in TokenizerRecipe.Kind.allCases {
            let recipe = TokenizerRecipe(kind, vocabularySize: 600)
            #expect(try files(recipe, [Goldens.path("english.txt")]) == files(recipe, [reversed]))
        }
    }

    @Test(arguments: TokenizerRecipe.Kind.allCases)
    func theWrittenFilesAreATokenizer(kind: TokenizerRecipe.Kind) throws {
        let encoder = try encoder(kind)
        let text = "Before we proceed any further, hear me speak."
        let tokens = try encoder.tokens(of: Array(text.utf8))
        #expect(tokens.count < text.count / 2)
        #expect(encoder.vocabularySize == 900)
        let special = try encoder.tokens(of: Array("<|endoftext|>[MASK]".utf8))
        #expect(special.allSatisfy { $0 >= (kind == .bytePair ? 1 : 5) || $0 == encoder.token(.unknown) })
        #expect(encoder.token(kind == .bytePair ? .end : .mask) == (kind == .bytePair ? 0 : 4))
        #expect(encoder.overhead(isPair: true) == (kind == .bytePair ? 0 : 3))
    }

    @Test func aTokenThatContainsASpecialOneIsRefusedOnlyWhenGivenTwice() {
        var recipe = TokenizerRecipe(.bytePair, vocabularySize: 300)
        recipe.extraSpecialTokens = ["<a>", "<a>"]
        #expect(message { _ = try recipe.train(on: words([("a", 1)])) }.contains("\"<a>\" is given twice"))
        recipe.extraSpecialTokens = ["<a>", ""]
        #expect(message { _ = try recipe.train(on: words([("a", 1)])) }.contains("1 to 4096 bytes"))
    }

    @Test func aVocabularyBelowTheAlphabetIsRefused() throws {
        #expect(message { _ = try TokenizerRecipe(.bytePair, vocabularySize: 256).train(on: words([("a", 1)])) }.contains("the alphabet take 257"))
        #expect(try TokenizerRecipe(.bytePair, vocabularySize: 257).train(on: words([("a", 1)])).vocabularySize == 257)
        var recipe = TokenizerRecipe(.wordPiece, vocabularySize: 8)
        #expect(message { _ = try recipe.train(on: words([("abc", 1)])) }.contains("the alphabet take 10"))
        recipe.maximumAlphabet = 1
        #expect(try recipe.train(on: words([("abc", 1)])).vocabularySize == 6)
    }

    @Test func theMostFrequentCharactersMakeALimitedAlphabet() throws {
        var recipe = TokenizerRecipe(.wordPiece, vocabularySize: 100)
        recipe.minimumCount = 100
        recipe.maximumAlphabet = 3
        let trained = try recipe.train(on: words([("zd", 9), ("ba", 5), ("ca", 5)]))
        // z and d 9 times, a 10 times; of the rest none.
        #expect(try #require(String(validating: trained.files()[2].contents, as: UTF8.self)) == "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nd\nz\n##a\n##d\n")
    }

    @Test func noTextIsRefused() {
        let scratch = Scratch()
        for text in ["", "\n\n \t\n"] {
            let path = scratch.file("empty.txt", text)
            #expect(message { _ = try files(TokenizerRecipe(.wordPiece, vocabularySize: 1000), [path]) }.contains("no text to train on"))
        }
    }

    @Test func linesThatAreNoTextAreLeftOutAndCounted() throws {
        let scratch = Scratch()
        let good = Array("good words\n".utf8)
        let bad = [Array("bad \u{0} line\n".utf8), [0x61, 0xFF, 0x0A], [UInt8](repeating: 0x61, count: 70_000) + [0x0A]]
        let path = scratch.file("mixed.txt", good + bad[0] + good + bad[1] + bad[2] + good)
        nonisolated(unsafe) var told: [DataError] = []
        let rows = BadRows(maximumShare: 0.6) { told.append($0) }
        let words = try TokenizerRecipe(.wordPiece, vocabularySize: 100).countWords(in: [path], badRows: rows)
        #expect((words.total, words.count, rows.count, rows.rows) == (6, 2, 3, 6))
        #expect(told.map(\.line) == [2, 4, 5])
        #expect(told[0].message.contains("zero byte") && told[1].message.contains("UTF-8") && told[2].message.contains("65536"))
        #expect(message { _ = try files(TokenizerRecipe(.wordPiece, vocabularySize: 100), [path]) }.contains("mixed.txt, line 2"))
    }

    @Test func trainingStopsWhenProgressThrows() throws {
        struct Stop: Error {}
        let recipe = TokenizerRecipe(.bytePair, vocabularySize: 900)
        let words = try recipe.countWords(in: [Goldens.path("english.txt")], badRows: BadRows(maximumShare: 0))
        #expect(throws: Stop.self) { _ = try recipe.train(on: words) { done, _ in if done > 500 { throw Stop() } } }
        #expect(throws: Stop.self) {
            _ = try recipe.countWords(in: [Goldens.path("english.txt")], badRows: BadRows(maximumShare: 0)) { _, _ in throw Stop() }
        }
    }
}
