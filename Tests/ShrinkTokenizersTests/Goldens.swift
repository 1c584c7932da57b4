import Foundation
import ShrinkFormat
import ShrinkJSON
import ShrinkRuntime
import Testing

@testable import ShrinkTokenizers

/// The fixtures that `Tools/goldens/tokenizer_goldens.py` writes.
struct Goldens: Sendable {
    struct Case: Sendable {
        var text: [UInt8]
        var ids: [UInt32]
        var decoded: String
        var literal: [UInt32]?
        var pair: (text: [UInt8], ids: [UInt32], types: [UInt32])?
    }

    struct Sequence: Sendable {
        var ids: [UInt32]
        var all: String
        var visible: String
    }

    struct Variant: Sendable, CustomTestStringConvertible {
        var name: String
        var tokenizer: JSON
        var cases: [Case]
        var sequences: [Sequence]
        var testDescription: String { name }

        func definition() throws -> TokenizerDefinition { try TokenizerDefinition(tokenizerJSON: tokenizer, file: "tokenizer.json") }
    }

    struct Conversation: Sendable {
        var messages: [(role: String, content: String)]
        var parsed: [UInt32]
        var literal: [UInt32]
    }

    static let byteLevel = Goldens("bytelevel")
    static let wordPiece = Goldens("wordpiece")
    static let all = byteLevel.variants + wordPiece.variants

    var variants: [Variant]
    var model: JSON
    var chatTemplate: String?
    var conversations: [Conversation]
    var normalForms: [(text: String, forms: [String: String])]

    subscript(name: String) -> Variant { variants.first { $0.name == name }! }

    private init(_ name: String) {
        let url = Bundle.module.url(forResource: "Fixtures/\(name)", withExtension: "json")!
        let root = try! JSON(parsing: [UInt8](Data(contentsOf: url)))
        let model = root["model"]!
        self.model = model
        variants = root["variants"]!.array!.map { variant in
            var model = model
            if variant["ignore_merges"]!.bool! { model.set("ignore_merges", .bool(true)) }
            var tokenizer = variant["tokenizer"]!
            tokenizer.set("model", model)
            return Variant(
                name: variant["name"]!.string!, tokenizer: tokenizer, cases: variant["cases"]!.array!.map(Self.readCase),
                sequences: variant["sequences"]!.array!.map {
                    Sequence(ids: $0["ids"]!.ids, all: $0["all"]!.string!, visible: $0["visible"]!.string!)
                })
        }
        chatTemplate = root["chat"]?["template"]?.string
        conversations = (root["chat"]?["conversations"]?.array ?? []).map {
            Conversation(
                messages: $0["messages"]!.array!.map { ($0.array![0].string!, $0.array![1].string!) }, parsed: $0["parsed"]!.ids,
                literal: $0["literal"]!.ids)
        }
        normalForms = (root["normal_forms"]?.array ?? []).map { form in
            (form["text"]!.string!, Dictionary(uniqueKeysWithValues: form.object!.members.map { ($0.key, $0.value.string!) }))
        }
    }

    private static func readCase(_ json: JSON) -> Case {
        let text = bytes(json["text"]!.string!)
        return Case(
            text: text, ids: json["ids"]!.ids, decoded: json["decoded"]?.string ?? String(decoding: text, as: UTF8.self),
            literal: json["literal"]?.ids,
            pair: json["pair"].map { (bytes($0["text"]!.string!), $0["ids"]!.ids, $0["types"]!.ids) })
    }

    private static func bytes(_ hex: String) -> [UInt8] {
        let digits = Array(hex.utf8)
        return stride(from: 0, to: digits.count, by: 2).map { UInt8(String(decoding: digits[$0...$0 + 1], as: UTF8.self), radix: 16)! }
    }
}

extension JSON {
    var ids: [UInt32] { array!.map { UInt32($0.int!) } }

    /// Replaces or adds a member of an object.
    mutating func set(_ key: String, _ value: JSON) {
        var changed = JSON.Object()
        for member in object!.members where member.key != key { changed.append(member.key, member.value) }
        changed.append(key, value)
        self = .object(changed)
    }

    /// Replaces what is at a path of members.
    func setting(_ path: [String], _ value: JSON) -> JSON {
        var copy = self
        if path.count == 1 {
            copy.set(path[0], value)
        } else {
            copy.set(path[0], self[path[0]]!.setting(Array(path.dropFirst()), value))
        }
        return copy
    }
}

/// Counts allocations and fails after a given number of them.
final class TestMemory: @unchecked Sendable {
    var remaining = Int.max
    var allocations = 0
    var live = 0

    var allocator: Allocator {
        Allocator(
            context: Unmanaged.passUnretained(self).toOpaque(),
            allocate: { context, byteCount, alignment in
                let memory = Unmanaged<TestMemory>.fromOpaque(context!).takeUnretainedValue()
                guard memory.remaining > 0 else { return nil }
                memory.remaining -= 1
                memory.allocations += 1
                memory.live += 1
                return UnsafeMutableRawPointer.allocate(byteCount: byteCount, alignment: alignment)
            },
            deallocate: { context, pointer in
                Unmanaged<TestMemory>.fromOpaque(context!).takeUnretainedValue().live -= 1
                pointer.deallocate()
            })
    }
}

struct Encoded: Equatable {
    var ids: [UInt32]
    var types: [UInt32]
}

extension Tokenizer {
    mutating func encoded(
        _ text: [UInt8], pair: [UInt8]? = nil, addSpecialTokens: Bool = true, parseSpecialTokens: Bool = true, memory: TestMemory
    ) throws -> Encoded {
        var output = TokenBuffer(allocator: memory.allocator)
        try text.withUnsafeBufferPointer { text in
            if let pair {
                try pair.withUnsafeBufferPointer {
                    try encode(text, pair: $0, addSpecialTokens: addSpecialTokens, parseSpecialTokens: parseSpecialTokens, into: &output)
                }
            } else {
                try encode(text, addSpecialTokens: addSpecialTokens, parseSpecialTokens: parseSpecialTokens, into: &output)
            }
        }
        return Encoded(ids: output.withIDs { Array($0) }, types: output.withTypeIDs { Array($0) })
    }
}

/// Gives the tokenizer of a definition to `body`.
func withTokenizer<R>(
    _ definition: TokenizerDefinition, memory: TestMemory = TestMemory(), _ body: (inout Tokenizer, TestMemory) throws -> R
) throws -> R {
    try definition.encodedTables().withUnsafeBytes { tables in
        var tokenizer = try Tokenizer(tables: tables, allocator: memory.allocator)
        return try body(&tokenizer, memory)
    }
}
