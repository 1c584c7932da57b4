import ShrinkFormat
import ShrinkJSON
import ShrinkRuntime
import Testing

@testable import ShrinkTokenizers

/// Every variant of tokenizer against the Hugging Face library.
struct ReferenceTests {
    @Test(arguments: Goldens.all)
    func encodesAsTheReferenceLibrary(variant: Goldens.Variant) throws {
        try withTokenizer(variant.definition()) { tokenizer, memory in
            #expect(variant.cases.count > 90)
            for item in variant.cases {
                let ids = try tokenizer.encoded(item.text, memory: memory).ids
                #expect(ids == item.ids, "\(item.text)")
            }
        }
    }

    @Test(arguments: Goldens.all)
    func leavesSpecialTokensAloneWhenAsked(variant: Goldens.Variant) throws {
        try withTokenizer(variant.definition()) { tokenizer, memory in
            for item in variant.cases {
                guard let literal = item.literal else { continue }
                let ids = try tokenizer.encoded(item.text, addSpecialTokens: false, parseSpecialTokens: false, memory: memory).ids
                #expect(ids == literal, "\(item.text)")
            }
        }
    }

    @Test(arguments: Goldens.all)
    func placesPairsAndTypesAsTheReferenceLibrary(variant: Goldens.Variant) throws {
        try withTokenizer(variant.definition()) { tokenizer, memory in
            let pairs = variant.cases.filter { $0.pair != nil }
            #expect(pairs.count > 4)
            for item in pairs {
                let encoded = try tokenizer.encoded(item.text, pair: item.pair!.text, memory: memory)
                #expect(encoded == Encoded(ids: item.pair!.ids, types: item.pair!.types))
            }
        }
    }

    /// The text's own tokens are cut at their end; what the template puts around them stays.
    @Test(arguments: Goldens.all)
    func cutsTheEndOfATextThatIsTooLong(variant: Goldens.Variant) throws {
        try withTokenizer(variant.definition()) { tokenizer, memory in
            for item in variant.cases {
                let full = try tokenizer.encoded(item.text, memory: memory).ids
                let own = try tokenizer.encoded(item.text, addSpecialTokens: false, memory: memory).ids
                let around = full.count - own.count
                let head = (0...around).first { Array(full.dropFirst($0).prefix(own.count)) == own } ?? 0
                for limit in [1, 2, 3, 5, full.count - 1, full.count, full.count + 1] where limit > 0 {
                    var output = TokenBuffer(allocator: memory.allocator)
                    try output.append(id: 77)
                    let text = item.text
                    do throws(RuntimeError) {
                        let wasCut = try text.withUnsafeBufferPointer { text throws(RuntimeError) in
                            try tokenizer.encode(text, addSpecialTokens: true, parseSpecialTokens: true, limit: limit, into: &output)
                        }
                        #expect(wasCut == (full.count > limit))
                        let tail = around - head
                        let expected = full.count > limit ? full.prefix(limit - tail) + full.suffix(tail) : full[...]
                        #expect(output.withIDs { Array($0) } == [77] + expected, "\(item.text) cut to \(limit)")
                    } catch {
                        #expect(error.code == .limitExceeded)
                        #expect(full.count > limit && limit <= around)
                        #expect(output.count == 1)
                    }
                }
            }
        }
    }

    @Test func refusesAPairThatIsTooLong() throws {
        try withTokenizer(Goldens.wordPiece.variants[0].definition()) { tokenizer, memory in
            var output = TokenBuffer(allocator: memory.allocator)
            let text = Array("one two".utf8)
            do throws(RuntimeError) {
                _ = try text.withUnsafeBufferPointer { text throws(RuntimeError) in
                    try tokenizer.encode(text, pair: text, addSpecialTokens: true, parseSpecialTokens: false, limit: 3, into: &output)
                }
                Issue.record("cut")
            } catch { #expect(error.code == .limitExceeded) }
            #expect(output.count == 0)
        }
    }

    @Test(arguments: Goldens.all)
    func decodesAsTheReferenceLibrary(variant: Goldens.Variant) throws {
        try withTokenizer(variant.definition()) { tokenizer, _ in
            for item in variant.cases {
                let text = try tokenizer.decode(item.ids)
                #expect(Array(text.utf8) == Array(item.decoded.utf8))
            }
            for item in variant.sequences {
                let all = try tokenizer.decode(item.ids, skipsSpecialTokens: false)
                let visible = try tokenizer.decode(item.ids)
                #expect(Array(all.utf8) == Array(item.all.utf8))
                #expect(Array(visible.utf8) == Array(item.visible.utf8))
            }
        }
    }

    @Test(arguments: Goldens.all)
    func streamsWholeCharactersOnly(variant: Goldens.Variant) throws {
        try withTokenizer(variant.definition()) { tokenizer, memory in
            for item in variant.sequences {
                var detokenizer = Detokenizer(tables: tokenizer.tables, skipsSpecialTokens: false)
                var whole: [UInt8] = []
                for id in item.ids {
                    var output = TokenizerBuffer<UInt8>(allocator: memory.allocator)
                    try detokenizer.push(id, into: &output)
                    let part = output.withElements { Array($0) }
                    #expect(String(validating: part, as: UTF8.self) != nil)
                    #expect(part.count <= detokenizer.maximumPushByteCount)
                    whole += part
                }
                var rest = TokenizerBuffer<UInt8>(allocator: memory.allocator)
                try detokenizer.flush(into: &rest)
                whole += rest.withElements { Array($0) }
                #expect(whole == Array(item.all.utf8))
            }
        }
    }

    @Test func normalizesAddedTokensAsTheReferenceLibrary() {
        let bert: [NormalizerStep] = [.cleanText, .padIdeographs, .decompose, .removeNonspacingMarks, .lowercase]
        #expect(Goldens.wordPiece.normalForms.count > 30)
        for (text, forms) in Goldens.wordPiece.normalForms {
            for (name, steps) in [("NFD", [NormalizerStep.decompose]), ("NFC", [.compose]), ("BertNormalizer", bert)] {
                #expect(TextNormalization.normalized(Array(text.utf8), by: steps) == Array(forms[name]!.utf8))
            }
        }
    }

    @Test func formatsConversationsAsTheReferenceLibrary() throws {
        var definition = try Goldens.byteLevel["smollm"].definition()
        let ids = Dictionary(uniqueKeysWithValues: definition.addedTokens.map { (String(decoding: $0.content, as: UTF8.self), $0.id) })
        definition.setChatTemplate(Goldens.byteLevel.chatTemplate!) { ids[$0] }
        #expect(definition.chatTemplateName == "qwen2")
        try withTokenizer(definition) { tokenizer, _ in
            #expect(Goldens.byteLevel.conversations.count == 4)
            for item in Goldens.byteLevel.conversations {
                let parsed = try tokenizer.encodeChat(item.messages, parseSpecialTokens: true)
                let literal = try tokenizer.encodeChat(item.messages)
                #expect(parsed == item.parsed)
                #expect(literal == item.literal)
            }
        }
    }

    @Test func refusesChatWithoutATemplate() throws {
        try withTokenizer(Goldens.byteLevel["smollm"].definition()) { tokenizer, _ in
            let hasChatTemplate = tokenizer.hasChatTemplate
            #expect(!hasChatTemplate)
            do throws(RuntimeError) {
                _ = try tokenizer.encodeChat([("user", "hi")])
                Issue.record("no error")
            } catch { #expect(error.code == .invalidArgument) }
        }
    }
}
