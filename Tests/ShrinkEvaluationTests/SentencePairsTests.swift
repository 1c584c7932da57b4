import Testing

@testable import ShrinkEvaluation

@Suite struct SentencePairsTests {
    func parse(_ text: String, _ score: Int = 1, _ first: Int = 2, _ second: Int = 3) throws -> [SentencePairs.Pair] {
        try SentencePairs(parsing: text, columns: (score, first, second), file: "pairs.tsv").pairs
    }

    @Test func columnsAreChosenByNumber() throws {
        let pairs = try parse("x\ta b\tc\t4.5\ny\td\te\t0\n", 4, 2, 3)
        #expect(pairs == [.init(score: 4.5, first: "a b", second: "c"), .init(score: 0, first: "d", second: "e")])
    }

    @Test func aHeadingAndEmptyLinesAreSkipped() throws {
        #expect(try parse("score\ta\tb\n1\tc\td\n\n2\te\tf").map(\.score) == [1, 2])
    }

    @Test func carriageReturnsEndLinesToo() throws {
        #expect(try parse("1\ta\tb\r\n2\tc\td\r\n\r\n") == [.init(score: 1, first: "a", second: "b"), .init(score: 2, first: "c", second: "d")])
    }

    @Test func aSentenceMayStartWithACombiningMark() throws {
        #expect(try parse("1\t\u{301}a\tb\n2\tc\td\n").first?.first == "\u{301}a")
    }

    @Test func errorsNameFileAndLine() {
        func message(_ text: String) -> String {
            #expect(throws: EvaluationError.self) { try parse(text) }?.description ?? ""
        }
        #expect(message("1\ta\tb\n2\tc\n").contains("pairs.tsv, line 2: 2 columns"))
        #expect(message("1\ta\tb\r\n2\tc\td\r\nmuch\te\tf\r\n").contains("pairs.tsv, line 3: \"much\""))
        #expect(message("1\ta\tb\nnan\tc\td\n").contains("line 2"))
        #expect(message("1\ta\tb\n").contains("fewer than two"))
        #expect(message("").contains("fewer than two"))
    }

    @Test func columnsStartAtOne() {
        #expect(throws: EvaluationError.self) { try parse("1\ta\tb\n2\tc\td\n", 0, 1, 2) }
    }

    @Test func similarityEmbedsEachSentenceOnce() throws {
        let data = try SentencePairs(parsing: "3\ta\tb\n1\ta\tc\n2\tb\tc\n", columns: (1, 2, 3), file: "f")
        var embedded: [String] = []
        let vectors: [String: [Float]] = ["a": [1, 0], "b": [0.9, 0.1], "c": [0, 1]]
        let result = try SimilarityResult(data, progress: { _, _ in }) { text in
            embedded.append(text)
            return vectors[text] ?? []
        }
        #expect(embedded == ["a", "b", "c"])
        #expect(result.pairs == 3 && result.spearman == 1)
    }

    @Test func equalSimilaritiesAreAnError() throws {
        let data = try SentencePairs(parsing: "3\ta\tb\n1\ta\tc\n", columns: (1, 2, 3), file: "f")
        #expect(throws: EvaluationError.self) { try SimilarityResult(data, progress: { _, _ in }) { _ in [1, 0] } }
    }
}
