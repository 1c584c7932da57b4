import Foundation
import ShrinkFormat
import ShrinkJSON
import ShrinkRuntime
import Testing

@testable import ShrinkTokenizers

/// Tokenizers from other files than `tokenizer.json`, and what is refused.
struct FileTests {
    private func error(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return "no error"
    }

    private func expectError(_ fragment: String, _ body: () throws -> Void) {
        let message = error(body)
        #expect(message.contains(fragment), "\(message)")
    }

    private func read(_ json: JSON) throws { _ = try TokenizerDefinition(tokenizerJSON: json, file: "tokenizer.json") }

    /// The texts of a model's tokens by id.
    private func tokens(_ model: JSON) -> [String] {
        model["vocab"]!.object!.members.sorted { $0.value.int! < $1.value.int! }.map(\.key)
    }

    private func expect(_ definition: TokenizerDefinition, encodesAs variant: Goldens.Variant) throws {
        try withTokenizer(definition) { tokenizer, memory in
            for item in variant.cases {
                let ids = try tokenizer.encoded(item.text, memory: memory).ids
                #expect(ids == item.ids)
            }
        }
    }

    @Test func readsAVocabularyText() throws {
        let text = tokens(Goldens.wordPiece.model).joined(separator: "\n") + "\n"
        try expect(TokenizerDefinition(vocabTxt: Array(text.utf8), file: "vocab.txt"), encodesAs: Goldens.wordPiece["uncased"])
    }

    @Test func readsBERTOptionsOfTheConfiguration() throws {
        let text = Array(tokens(Goldens.wordPiece.model).joined(separator: "\n").utf8)
        let config = try JSON(parsing: #"{"do_lower_case": false, "tokenize_chinese_chars": false, "strip_accents": true, "model_max_length": 512}"#)
        let definition = try TokenizerDefinition(vocabTxt: text, config: config, file: "vocab.txt")
        #expect(definition.normalizer == [.cleanText, .decompose, .removeNonspacingMarks])
        #expect(definition.truncationLength == 512)
        expectError("\"[UNK]\" is not in the vocabulary") { _ = try TokenizerDefinition(vocabTxt: Array("a\nb".utf8), file: "vocab.txt") }
    }

    private func gguf() -> GGUFTokenizerMetadata {
        let model = Goldens.byteLevel.model
        var gguf = GGUFTokenizerMetadata(model: "gpt2", pre: "smollm", tokens: tokens(model).map { Array($0.utf8) })
        gguf.merges = model["merges"]!.array!.map { Array("\($0.array![0].string!) \($0.array![1].string!)".utf8) }
        gguf.tokenTypes = gguf.tokens.indices.map { $0 < 3 ? 3 : 1 }
        gguf.bos = 1
        gguf.eos = 2
        return gguf
    }

    @Test func readsByteLevelMetadataOfGGUF() throws {
        let definition = try TokenizerDefinition(gguf: gguf(), file: "model.gguf")
        #expect(definition.stopTokens == [2] && definition.beginningToken == 1)
        try expect(definition, encodesAs: Goldens.byteLevel["smollm"])
    }

    /// The files mean what the metadata mean: the same tables come of both.
    @Test(arguments: ["smollm", "gpt-2", "qwen2", "llama-bpe"]) func writesMetadataOfGGUFAsHuggingFaceFiles(pre: String) throws {
        for (begins, ends) in [(false, false), (true, false), (true, true)] {
            var gguf = gguf()
            gguf.pre = pre
            gguf.addBos = begins
            gguf.addEos = ends
            gguf.padding = 0
            gguf.chatTemplate = "{{'<|im_start|>' + message['role'] + '<|im_end|>'}}"
            let files = try gguf.files(file: "model.gguf")
            #expect(files.map(\.name) == ["tokenizer.json", "tokenizer_config.json"])
            let parts = try files.map { try $0.contents.withUnsafeBytes { try JSON(parsing: $0) } }
            let definition = try TokenizerDefinition(tokenizerJSON: parts[0], config: parts[1], file: "tokenizer.json")
            #expect(try definition.encodedTables() == TokenizerDefinition(gguf: gguf, file: "model.gguf").encodedTables())
        }
    }

    @Test func writesNoFilesForTokenizersThatItDoesNotKnow() {
        expectError("only a byte-level tokenizer") {
            _ = try GGUFTokenizerMetadata(model: "bert", tokens: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u{2581}a"].map { Array($0.utf8) }).files(file: "m.gguf")
        }
    }

    @Test func readsWordPieceMetadataOfGGUF() throws {
        let texts = tokens(Goldens.wordPiece.model).map { text -> String in
            if text.hasPrefix("##") { return String(text.dropFirst(2)) }
            return text.hasPrefix("[") && text.hasSuffix("]") ? text : "\u{2581}" + text
        }
        let gguf = GGUFTokenizerMetadata(model: "bert", tokens: texts.map { Array($0.utf8) })
        try expect(TokenizerDefinition(gguf: gguf, file: "model.gguf"), encodesAs: Goldens.wordPiece["uncased"])
    }

    @Test func refusesUnknownGGUFTokenizers() {
        var other = gguf()
        other.pre = "tekken"
        expectError("m.gguf, tokenizer.ggml.pre: the pre-tokenizer \"tekken\"") { _ = try TokenizerDefinition(gguf: other, file: "m.gguf") }
        other = gguf()
        other.model = "llama"
        expectError("tokenizer.ggml.model: the tokenizer \"llama\" is not supported") { _ = try TokenizerDefinition(gguf: other, file: "m.gguf") }
        other = gguf()
        other.eos = 99_999
        expectError("eos_token_id") { _ = try TokenizerDefinition(gguf: other, file: "m.gguf") }
        other = gguf()
        other.merges[5] = Array("Ġ".utf8)
        expectError("tokenizer.ggml.merges[5]") { _ = try TokenizerDefinition(gguf: other, file: "m.gguf") }
        other = gguf()
        other.tokenTypes.removeLast()
        expectError("token_type") { _ = try TokenizerDefinition(gguf: other, file: "m.gguf") }
    }

    @Test(arguments: [
        ("roberta", ["model", "type"], #""Unigram""#, #"$.model: the model "Unigram" is not supported; supported: BPE (byte-level), WordPiece"#),
        ("roberta", ["model", "byte_fallback"], "true", "$.model.byte_fallback: true is not supported"),
        ("roberta", ["model", "dropout"], "0.1", "$.model.dropout: 0.1 is not supported"),
        ("roberta", ["model", "end_of_word_suffix"], #""</w>""#, "$.model.end_of_word_suffix: \"</w>\" is not supported"),
        ("roberta", ["model", "merges"], #"["a b", "zzz q"]"#, "$.model.merges[0]"),
        ("roberta", ["model", "vocab"], #"{"a": -1}"#, #"$.model.vocab["a"]: expected a token id"#),
        ("roberta", ["model", "vocab"], #"{"a": 9000000}"#, "too large for a vocabulary of 1 tokens"),
        ("roberta", ["model", "vocab"], #"{"a": 0, "b": 0}"#, "two tokens have the id 0"),
        ("roberta", ["normalizer"], #"{"type": "NFKC"}"#, #"$.normalizer: the normalizer "NFKC" is not supported; supported: BertNormalizer"#),
        ("roberta", ["normalizer"], #"{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend"}]}"#, "$.normalizer.normalizers[1]"),
        ("roberta", ["pre_tokenizer"], #"{"type": "Metaspace"}"#, #"the pre-tokenizer "Metaspace" is not supported"#),
        ("roberta", ["pre_tokenizer"], #"{"type": "Whitespace"}"#, "only byte-level BPE is supported"),
        (
            "roberta", ["pre_tokenizer"], #"{"type": "Split", "pattern": {"Regex": "a+"}, "behavior": "Isolated", "invert": false}"#,
            #"$.pre_tokenizer.pattern.Regex: the pattern "a+" is not supported; supported are exactly"#
        ),
        ("roberta", ["post_processor"], #"{"type": "Magic"}"#, #"$.post_processor: the post-processor "Magic" is not supported"#),
        ("roberta", ["decoder"], #"{"type": "Metaspace"}"#, #"$.decoder: the decoder "Metaspace" is not supported"#),
        ("roberta", ["added_tokens"], #"[{"id": 5, "content": "nope"}]"#, "$.added_tokens[0]: the added token's id 5 and content disagree"),
        ("uncased", ["model", "unk_token"], #""[NONE]""#, #"the unknown token "[NONE]" is not in the vocabulary"#),
        ("uncased", ["model", "max_input_chars_per_word"], "1000000", "max_input_chars_per_word is 1000000; at most 65536"),
    ])
    func namesWhatItCannotUse(variant: String, path: [String], value: String, message: String) throws {
        let json = Goldens.all.first { $0.name == variant }!.tokenizer.setting(path, try JSON(parsing: value))
        let error = error { try read(json) }
        #expect(error.hasPrefix("tokenizer.json") && error.contains(message), "\(error)")
    }

    @Test func takesRolesAndChatTemplateFromTheConfiguration() throws {
        let config = try JSON(
            parsing: #"""
                {"bos_token": "<|im_start|>", "eos_token": {"content": "<|im_end|>"}, "pad_token": "<absent>",
                 "chat_template": "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>"}
                """#)
        let definition = try TokenizerDefinition(tokenizerJSON: Goldens.byteLevel["smollm"].tokenizer, config: config, file: "tokenizer.json")
        #expect(definition.beginningToken == 1 && definition.endToken == 2 && definition.paddingToken == nil)
        #expect(definition.stopTokens == [2] && definition.chatTemplateName == "smollm2")
        try withTokenizer(definition) { tokenizer, _ in
            let facts = [tokenizer.isStop(2), !tokenizer.isStop(1), tokenizer.token(.end) == 2, tokenizer.hasChatTemplate]
            #expect(facts == [true, true, true, true])
        }
    }

    @Test func knowsChatTemplatesByTheirMarks() {
        #expect(ChatTemplate(jinja: "<|im_start|> You are Qwen, created by Alibaba Cloud. You are a helpful assistant. <|im_end|>").name == "qwen2.5")
        #expect(ChatTemplate(jinja: "{{'<|im_start|>' + message['role'] + '<|im_end|>'}}").name == "chatml")
        #expect(ChatTemplate(jinja: "<|im_start|><think><|im_end|>") == .none)
        #expect(ChatTemplate(jinja: "[INST] {{ message['content'] }} [/INST]") == .none)
    }

    @Test func saysWhichFilesItLookedFor() {
        let message = error { _ = try TokenizerDefinition.load(directory: "/nonexistent") }
        #expect(message.contains("/nonexistent: there is no tokenizer: looked for tokenizer.json and vocab.txt"))
    }

    @Test func readsADirectoryWithItsStopTokens() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        func write(_ name: String, _ text: String) throws { try Data(text.utf8).write(to: directory.appendingPathComponent(name)) }
        try write("vocab.txt", tokens(Goldens.wordPiece.model).joined(separator: "\n"))
        try write("generation_config.json", #"{"eos_token_id": [3, 4]}"#)
        let definition = try TokenizerDefinition.load(directory: directory.path)
        #expect(definition.stopTokens == [3, 4])
        try expect(definition, encodesAs: Goldens.wordPiece["uncased"])
        try write("tokenizer.json", "{")
        expectError("tokenizer.json: not valid JSON at byte 1") { _ = try TokenizerDefinition.load(directory: directory.path) }
    }

    @Test func writesEqualTablesForEqualFiles() throws {
        for variant in Goldens.all {
            #expect(try variant.definition().encodedTables() == variant.definition().encodedTables())
        }
    }
}
