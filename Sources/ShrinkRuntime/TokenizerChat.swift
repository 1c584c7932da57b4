import ShrinkFormat

/// One message of a conversation; the bytes belong to the caller.
public struct ChatMessage {
    public var role: UnsafeBufferPointer<UInt8>
    public var content: UnsafeBufferPointer<UInt8>

    public init(role: UnsafeBufferPointer<UInt8>, content: UnsafeBufferPointer<UInt8>) {
        self.role = role
        self.content = content
    }
}

extension Tokenizer {
    /// Whether `encodeChat` can be called.
    public var hasChatTemplate: Bool { tables.header.chatTemplate != .none }

    /// Appends a conversation in the model's chat format, with the model's default system message
    /// when the conversation does not start with one.
    /// - Parameters:
    ///   - addGenerationPrompt: whether the start of the assistant's answer follows.
    ///   - parseSpecialTokens: whether special tokens spelled out in roles and contents count; without
    ///     it a content cannot end its own message.
    ///
    /// Throws `invalidArgument` when the model has no chat template that is known.
    public mutating func encodeChat(
        _ messages: UnsafeBufferPointer<ChatMessage>, addGenerationPrompt: Bool, parseSpecialTokens: Bool = false,
        into output: inout TokenBuffer
    ) throws(RuntimeError) {
        guard hasChatTemplate, let start = token(.chatStart), let end = token(.chatEnd) else {
            throw RuntimeError(.invalidArgument, "the model has no chat template that this runtime knows; give a plain prompt")
        }
        let before = output.count
        do {
            let system: StaticString = "system"
            let systemRole = UnsafeBufferPointer(start: system.utf8Start, count: system.utf8CodeUnitCount)
            let defaultSystem = tables.bytes(of: .defaultSystemMessage)
            if defaultSystem.count > 0, messages.count > 0, !Self.equal(messages[0].role, systemRole) {
                let content = UnsafeBufferPointer(
                    start: defaultSystem.baseAddress?.assumingMemoryBound(to: UInt8.self), count: defaultSystem.count)
                try append(ChatMessage(role: systemRole, content: content), start, end, parseSpecialTokens, &output)
            }
            for message in messages { try append(message, start, end, parseSpecialTokens, &output) }
            if addGenerationPrompt {
                try output.append(id: start)
                try appendStatic("assistant\n", &output)
            }
        } catch {
            output.truncate(to: before)
            throw error
        }
    }

    private mutating func append(
        _ item: ChatMessage, _ start: UInt32, _ end: UInt32, _ parseSpecialTokens: Bool, _ output: inout TokenBuffer
    ) throws(RuntimeError) {
        message.truncate()
        try message.append(item.role)
        try message.append(0x0A)
        try message.append(item.content)
        try output.append(id: start)
        // `append(_:)` does not touch `message`, so its elements stay where they are.
        try append(message.elements, parseSpecialTokens: parseSpecialTokens, typeID: 0, to: &output)
        try output.append(id: end)
        try appendStatic("\n", &output)
    }

    private mutating func appendStatic(_ text: StaticString, _ output: inout TokenBuffer) throws(RuntimeError) {
        let bytes = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        try append(bytes, parseSpecialTokens: false, typeID: 0, to: &output)
    }

    private static func equal(_ a: UnsafeBufferPointer<UInt8>, _ b: UnsafeBufferPointer<UInt8>) -> Bool {
        guard a.count == b.count else { return false }
        for i in 0..<a.count where a[i] != b[i] { return false }
        return true
    }
}
