import ShrinkFormat
import ShrinkRuntime
import Testing

@testable import ShrinkTokenizers

/// Tables that someone damaged: refused, or used without a crash and without an endless loop.
struct HostileTableTests {
    static let probe = Array("Élan [SEP] 中 don't 12345 \u{1100}\u{1161}e\u{301}\u{323} THE wordy <mask>  x<|im_end|> 👍".utf8) + [0xFF]

    /// Whether the tables are refused. What they make of the probe, when they are not, is tokens of their vocabulary and
    /// text that is UTF-8.
    private func areRefused(_ tables: UnsafeRawBufferPointer, _ memory: TestMemory) -> Bool {
        do throws(RuntimeError) {
            var tokenizer = try Tokenizer(tables: tables, allocator: memory.allocator)
            var output = TokenBuffer(allocator: memory.allocator)
            try Self.probe.withUnsafeBufferPointer { text throws(RuntimeError) in
                try tokenizer.encode(text, pair: text, addSpecialTokens: true, parseSpecialTokens: true, into: &output)
            }
            var ids = output.withIDs { Array($0) }
            if tokenizer.hasChatTemplate { ids += try tokenizer.encodeChat([("user", "hi")]) }
            #expect(ids.allSatisfy { $0 < tokenizer.vocabularySize })
            var detokenizer = Detokenizer(tables: tokenizer.tables, skipsSpecialTokens: false)
            var text = TokenizerBuffer<UInt8>(allocator: memory.allocator)
            for id in ids { try detokenizer.push(id, into: &text) }
            try detokenizer.flush(into: &text)
            #expect(text.withElements { String(validating: $0, as: UTF8.self) } != nil)
            return false
        } catch {
            #expect(error.code == .invalidArtifact || error.code == .unsupportedVersion, "\(error)")
            return true
        }
    }

    @Test(arguments: ["added", "roberta", "uncased"])
    func everyFlippedByteIsRefusedOrHarmless(name: String) throws {
        let memory = TestMemory()
        var tables = try Goldens.all.first { $0.name == name }!.definition().encodedTables()
        var (refused, used) = (0, 0)
        tables.withUnsafeMutableBytes { tables in
            for i in tables.indices {
                // One bit, and all of them.
                let original = tables[i]
                for damaged in [original ^ UInt8(1 << (i * 5 % 8)), ~original] {
                    tables[i] = damaged
                    let isRefused = areRefused(UnsafeRawBufferPointer(tables), memory)
                    if isRefused { refused += 1 } else { used += 1 }
                    // Magic, version, reserved bytes and the directory have one value each.
                    if i < 12 || (128..<TokenizerFormat.headerByteCount).contains(i) { #expect(isRefused, "byte \(i)") }
                }
                tables[i] = original
            }
            #expect(!areRefused(UnsafeRawBufferPointer(tables), memory))
        }
        #expect(refused > 1_000 && used > 1_000, "\(refused) refused, \(used) used")
        #expect(memory.live == 0)
    }

    /// Tables with another content of one section, laid out as a writer does.
    private func replacing(_ section: TokenizerSection, in tables: [UInt8], with content: [UInt8]) -> [UInt8] {
        func word(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(tables[at + $1]) << (8 * $1) } }
        var result = Array(tables[..<256]) + [UInt8](repeating: 0, count: TokenizerFormat.headerByteCount - 256)
        for each in TokenizerSection.allCases {
            let place = 256 + each.rawValue * 8
            let bytes = each == section ? content : Array(tables[word(place)..<(word(place) + word(place + 4))])
            if bytes.isEmpty { continue }
            result += [UInt8](repeating: 0, count: (8 - result.count % 8) % 8)
            for (i, number) in [result.count, bytes.count].enumerated() {
                for j in 0..<4 { result[place + i * 4 + j] = UInt8(truncatingIfNeeded: number >> (8 * j)) }
            }
            result += bytes
        }
        return result
    }

    @Test(arguments: [TokenizerSection.decompositions, .lowercase], [1, 2, 3, 5])
    func refusesAMapOfNoWholeNumberOfWords(section: TokenizerSection, byteCount: Int) throws {
        let memory = TestMemory()
        let sound = try Goldens.wordPiece["uncased"].definition().encodedTables()
        let empty = replacing(section, in: sound, with: [0, 0, 0, 0])
        #expect(!empty.withUnsafeBytes { areRefused($0, memory) })
        let cut = replacing(section, in: sound, with: [UInt8](repeating: 0, count: byteCount))
        #expect(cut.withUnsafeBytes { areRefused($0, memory) })
        #expect(memory.live == 0)
    }

    /// A piece of the GPT-2 pattern may start with a space; tables can say that a space is not white space.
    @Test func endsWhereASpaceIsNoWhiteSpace() throws {
        let memory = TestMemory()
        let sound = try Goldens.byteLevel["added"].definition().encodedTables()
        var tables = sound
        func word(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(tables[at + $1]) << (8 * $1) } }
        let index = word(256 + TokenizerSection.classIndex.rawValue * 8)
        let blocks = word(256 + TokenizerSection.classBlocks.rawValue * 8)
        let space = blocks + (Int(tables[index]) | Int(tables[index + 1]) << 8) * 256 + 0x20 * 2
        #expect(tables[space] & UInt8(CharacterClass.whitespace.rawValue) != 0)
        tables[space] &= ~UInt8(CharacterClass.whitespace.rawValue)
        #expect(!tables.withUnsafeBytes { areRefused($0, memory) })
        // However text is cut into pieces, its bytes come back, but for those that the vocabulary lacks.
        #expect(try decoded("a \t b \n\n c", tables, memory) == decoded("a \t b \n\n c", sound, memory))
        #expect(memory.live == 0)
    }

    private func decoded(_ text: String, _ tables: [UInt8], _ memory: TestMemory) throws -> String {
        try tables.withUnsafeBytes { tables in
            var tokenizer = try Tokenizer(tables: tables, allocator: memory.allocator)
            return try tokenizer.decode(tokenizer.encode(text), skipsSpecialTokens: false)
        }
    }

    @Test func refusesEveryTruncation() throws {
        let memory = TestMemory()
        let tables = try Goldens.byteLevel["added"].definition().encodedTables()
        for count in Array(0..<1024) + Array(stride(from: 1024, to: tables.count, by: 61)) + [tables.count - 1] {
            tables.withUnsafeBytes { bytes in
                _ = #expect(throws: RuntimeError.self) {
                    _ = try Tokenizer(tables: UnsafeRawBufferPointer(rebasing: bytes[0..<count]), allocator: memory.allocator)
                }
            }
        }
    }

    @Test func refusesTrailingBytes() throws {
        let tables = try Goldens.byteLevel["smollm"].definition().encodedTables() + [0]
        tables.withUnsafeBytes { bytes in
            _ = #expect(throws: RuntimeError.self) { _ = try Tokenizer(tables: bytes, allocator: TestMemory().allocator) }
        }
    }

    @Test func namesAnotherVersion() throws {
        var tables = try Goldens.byteLevel["smollm"].definition().encodedTables()
        tables[8] = 9
        tables.withUnsafeBytes { bytes in
            let error = #expect(throws: RuntimeError.self) { _ = try Tokenizer(tables: bytes, allocator: TestMemory().allocator) }
            #expect(error?.code == .unsupportedVersion && error?.detail == 9)
        }
    }

    @Test(arguments: ["qwen2", "roberta", "uncased"])
    func givesAnErrorAtEveryFailedAllocation(name: String) throws {
        let definition = try Goldens.all.first { $0.name == name }!.definition()
        let tables = try definition.encodedTables()
        let memory = TestMemory()
        let text = Self.probe + [UInt8](repeating: 0x61, count: 300)
        var failures = 0
        try tables.withUnsafeBytes { tables in
            for allowed in 0... {
                memory.remaining = allowed
                do {
                    var tokenizer = try Tokenizer(tables: tables, allocator: memory.allocator)
                    _ = try tokenizer.encoded(text, memory: memory)
                    break
                } catch let error as RuntimeError {
                    #expect(error.code == .outOfMemory)
                    failures += 1
                }
            }
        }
        #expect(failures > 5)
        #expect(memory.live == 0)
    }

    @Test func leavesTheOutputAsItWasWhenMemoryEnds() throws {
        try withTokenizer(Goldens.wordPiece["uncased"].definition()) { tokenizer, memory in
            var output = TokenBuffer(allocator: memory.allocator)
            try output.append(id: 7)
            memory.remaining = 0
            let text = [UInt8](repeating: 0x2E, count: 1000)
            var failed = false
            do {
                try text.withUnsafeBufferPointer { try tokenizer.encode($0, addSpecialTokens: true, parseSpecialTokens: true, into: &output) }
            } catch { failed = true }
            let (ids, types) = (output.withIDs { Array($0) }, output.withTypeIDs { Array($0) })
            #expect(failed && ids == [7] && types == [0])
        }
    }
}
