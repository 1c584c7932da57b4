import Foundation
import ShrinkFormat
import ShrinkTokenizers
import Testing

@testable import ShrinkTraining

struct EncodingTests {
    private func encoded(_ scratch: Scratch, tags: Bool = false, _ body: (ExampleWriter) throws -> Void) throws -> ExampleStore {
        let writer = try ExampleWriter(path: scratch.path + "/store", vocabularySize: 900, hasTags: tags)
        try body(writer)
        try writer.finish(fingerprint: Fingerprint(bytes: [UInt8](repeating: 1, count: 32)), labelNames: ["no", "yes"])
        return try ExampleStore(path: scratch.path + "/store")
    }

    private let english = try! [UInt8](Data(contentsOf: URL(fileURLWithPath: Goldens.path("english.txt"))))

    // MARK: Language models

    @Test(arguments: TokenizerRecipe.Kind.allCases)
    func documentsInPiecesHaveTheTokensOfTheWhole(kind: TokenizerRecipe.Kind) throws {
        let scratch = Scratch()
        let encoder = try encoder(kind)
        let text = [english, Array("\n \n\n\t x\r\n\r\ny  \n  z\n".utf8), english, english, english, english].reduce([], +)
        let path = scratch.file("book.txt", text)
        let store = try encoded(scratch) { try encoder.encodeDocuments(of: [path, path], endOfText: 7, into: $0, badRows: BadRows(maximumShare: 0)) }
        let whole = try encoder.tokens(of: text) + [7]
        #expect(store.count == 2 && store[0].tokens == whole && store[1].tokens == whole)
        #expect(text.count > ExampleEncoder.pieceByteCount)
    }

    @Test func textWithoutAPlaceToCutIsCutAtSomeLineEnd() throws {
        let scratch = Scratch()
        let encoder = try encoder(.wordPiece)
        let text = Array(String(repeating: "hear me speak \n", count: 160_000).utf8)
        let store = try encoded(scratch) {
            try encoder.encodeDocuments(of: [scratch.file("a.txt", text)], endOfText: 7, into: $0, badRows: BadRows(maximumShare: 0))
        }
        #expect(text.count > 2 * ExampleEncoder.maximumPieceByteCount)
        #expect(store[0].tokens == (0..<160_000).flatMap { _ in try! encoder.tokens(of: Array("hear me speak".utf8)) } + [7])
    }

    @Test func emptyLinesMayDivideDocuments() throws {
        let scratch = Scratch()
        let encoder = try encoder(.bytePair)
        let path = scratch.file("a.txt", "\n\none\ntwo\n \t\r\n\nthree")
        let store = try encoded(scratch) {
            try encoder.encodeDocuments(of: [path, path], boundary: .emptyLines, endOfText: 0, into: $0, badRows: BadRows(maximumShare: 0))
        }
        let documents = try ["one\ntwo\n", "three"].map { try encoder.tokens(of: Array($0.utf8)) + [0] }
        #expect((0..<store.count).map { store[$0].tokens } == documents + documents)
    }

    @Test func fieldsOfTablesAreDocuments() throws {
        let scratch = Scratch()
        let encoder = try encoder(.bytePair)
        let path = scratch.file("a.jsonl", "{\"text\": \"one\\n\\ntwo\"}\n{\"text\": \"\"}\nbroken\n{\"text\": \"three\"}\n")
        let rows = BadRows(maximumShare: 0.5)
        let store = try encoded(scratch) { try encoder.encodeDocuments(of: [path], endOfText: 0, into: $0, badRows: rows) }
        let documents = try ["one\n\ntwo", "three"].map { try encoder.tokens(of: Array($0.utf8)) + [0] }
        #expect((0..<store.count).map { store[$0].tokens } == documents)
        #expect(rows.count == 1)
        let none = scratch.file("none.txt", "")
        #expect(message { _ = try encoded(scratch) { try encoder.encodeDocuments(of: [none], endOfText: 0, into: $0, badRows: rows) } }.contains("no text"))
    }

    @Test func windowsCoverTheTokensInOrder() throws {
        let scratch = Scratch()
        let examples = [Example(tokens: Array(0..<10)), Example(tokens: Array(10..<23))]
        let store = try store(examples, in: scratch)
        for length in 1...25 {
            let windows = TokenWindows(store, length: length)
            #expect(windows.count == 22 / length)
            for i in 0..<windows.count {
                let start = Int32(i * length)
                #expect(windows.window(i).inputs == Array(start..<start + Int32(length)))
                #expect(windows.window(i).targets == Array(start + 1..<start + 1 + Int32(length)))
            }
        }
    }

    @Test func sentencesKnowTheirDocument() throws {
        let scratch = Scratch()
        let encoder = try encoder(.wordPiece)
        let path = scratch.file("a.txt", "\nspeak\nhear me\n\n \nspeak\n\n")
        let other = scratch.file("b.txt", "me\n")
        let store = try encoded(scratch) { try encoder.encodeSentences(of: [path, other], into: $0, badRows: BadRows(maximumShare: 0)) }
        #expect((0..<store.count).map { store.label($0) } == [0, 0, 1, 2])
        #expect(store[1].tokens == (try encoder.tokens(of: Array("hear me".utf8))))
    }

    // MARK: Whole texts

    @Test func pairsAreCutAsTheReferenceLibraryCutsThem() throws {
        let encoder = try encoder(.wordPiece)
        let goldens = Goldens.root["pairs"]!.array!
        #expect(goldens.count > 80)
        for golden in goldens {
            let texts = golden["texts"]!.strings
            let example = try encoder.example(texts[0], texts[1], limit: golden["limit"]!.int!)
            #expect(example.tokens == golden["ids"]!.ids)
            #expect(example.segments == golden["types"]!.ids)
        }
    }

    @Test func aWordsFirstTokenHasItsTag() throws {
        let encoder = try encoder(.wordPiece)
        for golden in Goldens.root["words"]!.array! {
            let words = golden["words"]!.strings
            let example = try encoder.example(words: words, tags: words.indices.map(Int32.init), limit: golden["limit"]!.int!)
            #expect(example.tokens == golden["ids"]!.ids)
            #expect(example.tags == golden["tags"]!.ids)
        }
    }

    @Test func byteLevelWordsHaveTheTokensOfTheSentence() throws {
        let encoder = try encoder(.bytePair)
        let words = ["Before", "we", "proceed", "any", "further,", "hear"]
        let example = try encoder.example(words: words, tags: words.indices.map(Int32.init), limit: 100)
        #expect(example.tokens == (try encoder.tokens(of: Array(words.joined(separator: " ").utf8))))
        #expect(example.tags.filter { $0 >= 0 } == [0, 1, 2, 3, 4, 5])
    }

    @Test func rowsBecomeExamplesWithLabels() throws {
        let scratch = Scratch()
        let encoder = try encoder(.wordPiece)
        let path = scratch.file("a.tsv", "a\tb\tscore\tclass\nhear me\tspeak\t2.5\tyes\nspeak\thear\t-1\tno\nspeak\thear\tnan\tno\n\thear\t1\tno\nme\tme\t1\tmaybe\n")
        func read(_ target: SequenceSource.Target, _ rows: BadRows) throws -> ExampleStore {
            let source = SequenceSource(files: [path], first: .name("a"), second: .name("b"), target: target)
            return try encoded(scratch) { try encoder.encodeSequences(of: source, limit: 20, into: $0, badRows: rows) }
        }
        let numbers = BadRows(maximumShare: 0.5)
        var found = try read(.number(.name("score")), numbers)
        #expect((0..<found.count).map { found[$0].value } == [2.5, -1, 1])
        #expect(numbers.count == 2)
        #expect(found[0] == { var e = try! encoder.example("hear me", "speak", limit: 20); e.label = Float(2.5).bitPattern; return e }())
        let classes = BadRows(maximumShare: 0.5)
        found = try read(.classes(.name("class"), ["no", "yes"]), classes)
        #expect((0..<found.count).map { found.label($0) } == [1, 0, 0])
        #expect(classes.count == 2)
        #expect(found.labelNames == ["no", "yes"])
        #expect(message { _ = try read(.classes(.name("class"), ["no", "yes"]), BadRows(maximumShare: 0)) }.contains("line 5: the text is empty"))
        #expect(message { _ = try encoded(scratch) { try encoder.encodeSequences(of: SequenceSource(files: [path], first: .name("a")), limit: 2, into: $0, badRows: numbers) } }.contains("no room"))
    }

    @Test func taggedRowsNeedATagForEveryWord() throws {
        let scratch = Scratch()
        let encoder = try encoder(.wordPiece)
        let path = scratch.file("a.jsonl", """
            {"w": ["hear", "me"], "t": ["B", "O"]}
            {"w": "speak further me", "t": "O B O"}
            {"w": ["hear"], "t": ["B", "O"]}
            {"w": ["hear"], "t": ["X"]}
            {"w": [], "t": []}

            """)
        let names = try encoder.labelNames(of: [path], column: .name("t"), isByWord: true, badRows: BadRows(maximumShare: 0))
        #expect(names == ["B", "O", "X"])
        let rows = BadRows(maximumShare: 1)
        let source = SequenceSource(files: [path], first: .name("w"), target: .tags(.name("t"), ["B", "O"]))
        let found = try encoded(scratch, tags: true) { try encoder.encodeSequences(of: source, limit: 20, into: $0, badRows: rows) }
        #expect(found.count == 2 && rows.count == 3)
        #expect(found[0].tags.first == Example.ignored && found[0].tags.filter { $0 >= 0 } == [0, 1])
        #expect(found[1].tags.filter { $0 >= 0 } == [1, 0, 1])
    }

    @Test func labelsAreSortedByNumberWhereTheyAreNumbers() throws {
        let scratch = Scratch()
        let encoder = try encoder(.wordPiece)
        func names(_ labels: [String]) throws -> [String] {
            try encoder.labelNames(of: [scratch.file("l.tsv", labels.joined(separator: "\n"))], column: .number(1), badRows: BadRows(maximumShare: 0))
        }
        #expect(try names(["10", "9", "-1", "9"]) == ["-1", "9", "10"])
        #expect(try names(["b", "10", "9", "a"]) == ["10", "9", "a", "b"])
        #expect(message { _ = try names((0...65_536).map { "x\($0)" }) }.contains("more than 65536 different labels"))
    }

    // MARK: The file

    @Test func aStoreGivesBackWhatWasWritten() throws {
        let scratch = Scratch()
        for tagged in [false, true] {
            let examples = (0..<50).map { i in
                let tokens = (0..<i * 7 % 23).map { Int32(($0 * 31 + i) % 1000) }
                return Example(tokens: tokens, segments: tokens.map { $0 % 3 }, tags: tagged ? tokens.map { $0 - 1 } : [], label: UInt32(i) << 26)
            }
            // The first decides whether there are tags.
            let order = examples.sorted { $0.tokens.count > $1.tokens.count }
            let found = try store(order, in: scratch)
            #expect((0..<found.count).map { found[$0] } == order)
            #expect(found.hasTags == tagged && found.tokenCount == order.reduce(0) { $0 + $1.tokens.count })
        }
    }

    @Test func everyChangedByteOfAStoreIsNoticed() throws {
        let scratch = Scratch()
        let fingerprint = Fingerprint(bytes: [UInt8](repeating: 3, count: 32))
        let writer = try ExampleWriter(path: scratch.path + "/store", vocabularySize: 10)
        try writer.append(Example(tokens: [1, 2, 3], label: 1))
        try writer.append(Example(tokens: [4]))
        try writer.finish(fingerprint: fingerprint, labelNames: ["é", "no"])
        let bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: scratch.path + "/store")))
        #expect(try ExampleStore(path: scratch.path + "/store", expected: fingerprint).labelNames == ["é", "no"])
        // The zeros behind the last field mean nothing yet, and the vocabulary may be said to be larger.
        for at in bytes.indices.dropLast(16) where !(bytes.count - 128 + 40..<bytes.count - 128 + 48).contains(at) {
            var damaged = bytes
            damaged[at] ^= 0x11
            let path = scratch.file("damaged", damaged)
            #expect(throws: (any Error).self, "byte \(at)") { _ = try ExampleStore(path: path, expected: fingerprint) }
        }
        for count in 0..<bytes.count { #expect(throws: (any Error).self) { _ = try ExampleStore(path: scratch.file("cut", Array(bytes[..<count]))) } }
        let other = Fingerprint(bytes: [UInt8](repeating: 4, count: 32))
        #expect(message { _ = try ExampleStore(path: scratch.path + "/store", expected: other) }.contains("other data"))
    }

    @Test func aFingerprintIsThatOfAllItsParts() throws {
        let scratch = Scratch()
        let (a, b) = (scratch.file("a", "one"), scratch.file("b", "two"))
        let prints = try [
            Fingerprint(files: [a], tokenizer: [1], settings: ["x"]), Fingerprint(files: [b], tokenizer: [1], settings: ["x"]),
            Fingerprint(files: [a], tokenizer: [2], settings: ["x"]), Fingerprint(files: [a], tokenizer: [1], settings: ["y"]),
            Fingerprint(files: [a, b], tokenizer: [1], settings: ["x"]), Fingerprint(files: [b, a], tokenizer: [1], settings: ["x"]),
            Fingerprint(files: [a], tokenizer: [1], settings: ["x", ""]), Fingerprint(files: [a], tokenizer: [1, 120], settings: [""]),
        ]
        #expect(Set(prints.map(\.description)).count == prints.count)
        #expect(try Fingerprint(files: [scratch.file("c", "one")], tokenizer: [1], settings: ["x"]) == prints[0])
        #expect(prints[0].description.count == 64)
    }
}
