import ShrinkFormat
import ShrinkRuntime
import Testing

@testable import ShrinkTokenizers

/// Memory and time that encoding takes.
struct CostTests {
    @Test(arguments: ["smollm", "qwen2", "roberta", "uncased"])
    func allocatesNothingForATextNoLongerThanOneBefore(name: String) throws {
        try withTokenizer(Goldens.all.first { $0.name == name }!.definition()) { tokenizer, memory in
            let text = HostileTableTests.probe + [UInt8](repeating: 0x61, count: 200)
            var output = TokenBuffer(allocator: memory.allocator)
            func encode(_ text: [UInt8]) throws {
                output.truncate()
                try text.withUnsafeBufferPointer { try tokenizer.encode($0, addSpecialTokens: true, parseSpecialTokens: true, into: &output) }
            }
            try encode(text)
            let before = memory.allocations
            for _ in 0..<3 { try encode(text) }
            #expect(memory.allocations == before)
        }
    }

    /// One megabyte each; anything quadratic would take hours.
    @Test(.timeLimit(.minutes(2)), arguments: ["smollm", "qwen2", "llama3", "roberta", "added", "uncased", "marks"])
    func takesTimeInProportionToTheText(name: String) throws {
        var state: UInt64 = 1
        let letters = (0..<1 << 20).map { _ -> UInt8 in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return 0x61 + UInt8(state >> 60)
        }
        func repeated(_ text: String) -> [UInt8] { Array(repeatElement(Array(text.utf8), count: (1 << 20) / text.utf8.count).joined()) }
        let texts = [
            letters, repeated("a"), repeated(" "), repeated("\n "), repeated("1"), repeated("'"), repeated("\u{301}\u{316}"), repeated("\u{1161}"),
            repeated("e\u{301}"), repeated("<"), repeated("["), repeated(" \u{3000}"), repeated("中"),
        ]
        try withTokenizer(Goldens.all.first { $0.name == name }!.definition()) { tokenizer, memory in
            for text in texts { _ = try tokenizer.encoded(text, memory: memory) }
        }
    }

    @Test func mergesLongWordsAsShortOnes() throws {
        // 48 symbols are merged by scanning, more by a heap: a word must not notice.
        try withTokenizer(Goldens.byteLevel["roberta"].definition()) { tokenizer, memory in
            for length in 40...60 {
                let word = (0..<length).map { UInt8(ascii: "a") + UInt8($0 * $0 * 7 % 19) }
                let ids = try tokenizer.encoded(word, addSpecialTokens: false, memory: memory).ids
                let expected = mergedByDefinition([0x20] + word, tokenizer.tables)
                #expect(ids == expected)
            }
        }
    }

    /// Byte-pair encoding as it is defined: again and again the leftmost pair of the lowest rank.
    private func mergedByDefinition(_ word: [UInt8], _ tables: TokenizerTables) -> [UInt32] {
        var symbols = word.map { tables.token(ofByte: $0) }
        while true {
            var best: (rank: UInt32, place: Int)?
            for i in symbols.indices.dropLast() {
                if let rank = tables.rank(symbols[i], symbols[i + 1]), rank < best?.rank ?? .max { best = (rank, i) }
            }
            guard let best else { return symbols.map { UInt32($0) } }
            symbols.replaceSubrange(best.place...best.place + 1, with: [tables.mergedToken(rank: best.rank)])
        }
    }
}
