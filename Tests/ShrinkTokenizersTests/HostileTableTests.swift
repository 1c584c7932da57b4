import ShrinkFormat
import ShrinkRuntime
import Testing

@testable import ShrinkTokenizers

/// Tables that someone damaged: refused, or used without a crash and without an endless loop.
struct HostileTableTests {
    static let probe = Array("Élan [SEP] 中 don't 12345 \u{1100}\u{1161}e\u{301}\u{323} THE wordy <mask>  x<|im_end|> 👍".utf8) + [0xFF]

    private func use(_ tables: UnsafeRawBufferPointer, _ memory: TestMemory) {
        do {
            var tokenizer = try Tokenizer(tables: tables, allocator: memory.allocator)
            let ids = try tokenizer.encoded(Self.probe, pair: Array("a b".utf8), memory: memory).ids
            _ = try tokenizer.decode(ids, skipsSpecialTokens: false)
            if tokenizer.hasChatTemplate { _ = try tokenizer.encodeChat([("user", "hi")]) }
        } catch {}
    }

    @Test(arguments: ["added", "roberta", "uncased"])
    func survivesEveryFlippedByte(name: String) throws {
        let memory = TestMemory()
        var tables = try Goldens.all.first { $0.name == name }!.definition().encodedTables()
        try tables.withUnsafeMutableBytes { tables in
            for i in tables.indices {
                // One bit, and all of them.
                let original = tables[i]
                tables[i] = original ^ UInt8(1 << (i * 5 % 8))
                use(UnsafeRawBufferPointer(tables), memory)
                tables[i] = ~original
                use(UnsafeRawBufferPointer(tables), memory)
                tables[i] = original
            }
            _ = try Tokenizer(tables: UnsafeRawBufferPointer(tables), allocator: memory.allocator)
        }
        #expect(memory.live == 0)
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
