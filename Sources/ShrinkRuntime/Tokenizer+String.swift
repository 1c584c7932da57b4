import ShrinkFormat

/// Strings and arrays for programs that run on a host; a device uses the calls on raw memory.
extension Tokenizer {
    public mutating func encode(
        _ text: String, pair: String? = nil, addSpecialTokens: Bool = true, parseSpecialTokens: Bool = true, limit: Int = .max
    ) throws(RuntimeError) -> [UInt32] {
        var output = TokenBuffer(allocator: allocator)
        let (text, pair) = (Array(text.utf8), pair.map { Array($0.utf8) })
        try text.withUnsafeBufferPointer { text throws(RuntimeError) in
            guard let pair else {
                _ = try encode(
                    text, addSpecialTokens: addSpecialTokens, parseSpecialTokens: parseSpecialTokens, limit: limit, into: &output)
                return
            }
            try pair.withUnsafeBufferPointer { pair throws(RuntimeError) in
                _ = try encode(
                    text, pair: pair, addSpecialTokens: addSpecialTokens, parseSpecialTokens: parseSpecialTokens, limit: limit, into: &output)
            }
        }
        return output.withIDs { Array($0) }
    }

    public func decode(_ ids: [UInt32], skipsSpecialTokens: Bool = true) throws(RuntimeError) -> String {
        var detokenizer = Detokenizer(tables: tables, skipsSpecialTokens: skipsSpecialTokens)
        var output = TokenizerBuffer<UInt8>(allocator: allocator)
        for id in ids { try detokenizer.push(id, into: &output) }
        try detokenizer.flush(into: &output)
        return output.withElements { String(decoding: $0, as: UTF8.self) }
    }

    /// The tokens of a conversation; see `encodeChat(_:addGenerationPrompt:parseSpecialTokens:into:)`.
    public mutating func encodeChat(
        _ messages: [(role: String, content: String)], addGenerationPrompt: Bool = true, parseSpecialTokens: Bool = false
    ) throws(RuntimeError) -> [UInt32] {
        var output = TokenBuffer(allocator: allocator)
        // All texts in one buffer, which stays where it is while the messages point into it.
        var bytes: [UInt8] = []
        var ends: [Int] = []
        for message in messages {
            bytes += Array(message.role.utf8)
            ends.append(bytes.count)
            bytes += Array(message.content.utf8)
            ends.append(bytes.count)
        }
        try bytes.withUnsafeBufferPointer { bytes throws(RuntimeError) in
            func part(_ index: Int) -> UnsafeBufferPointer<UInt8> {
                UnsafeBufferPointer(rebasing: bytes[(index == 0 ? 0 : ends[index - 1])..<ends[index]])
            }
            let parts = messages.indices.map { ChatMessage(role: part(2 * $0), content: part(2 * $0 + 1)) }
            try parts.withUnsafeBufferPointer { parts throws(RuntimeError) in
                try encodeChat(parts, addGenerationPrompt: addGenerationPrompt, parseSpecialTokens: parseSpecialTokens, into: &output)
            }
        }
        return output.withIDs { Array($0) }
    }
}
