import CShrink
import ShrinkFormat

/// What a `shrink_tokenizer` points to.
struct TokenizerHandle: ~Copyable {
    let model: ModelReference
    let textLimit: Int
    var tokenizer: Tokenizer
    var tokens: TokenBuffer

    /// Replaces the tokens by those of a text; returns whether it was cut.
    mutating func encode(
        _ bytes: UnsafePointer<CChar>?, _ count: Int, _ options: shrink_tokenize_options
    ) throws(RuntimeError) -> Bool {
        tokens.truncate()
        let known = UInt32(SHRINK_TOKENIZE_PLAIN | SHRINK_TOKENIZE_PARSE_SPECIAL)
        guard options.flags & ~known == 0, options.reserved == 0 else {
            throw RuntimeError(.invalidArgument, "an unknown flag of tokenization", Int(options.flags))
        }
        let first = try text(bytes, count, limit: textLimit)
        let second = options.pair == nil ? nil : try text(options.pair, options.pair_bytes, limit: textLimit)
        return try tokenizer.encode(
            first, pair: second, addSpecialTokens: options.flags & UInt32(SHRINK_TOKENIZE_PLAIN) == 0,
            parseSpecialTokens: options.flags & UInt32(SHRINK_TOKENIZE_PARSE_SPECIAL) != 0,
            limit: options.max_tokens == 0 ? .max : options.max_tokens, into: &tokens)
    }

    func view(wasCut: Bool) -> shrink_tokens {
        let (ids, segments) = (tokens.ids, tokens.typeIDs)
        return shrink_tokens(
            ids: ids.baseAddress, segments: segments.baseAddress, count: ids.count, was_cut: wasCut ? 1 : 0, reserved: 0)
    }
}

@c @implementation
public func shrink_tokenizer_create(
    _ model: OpaquePointer!, _ tokenizer: UnsafeMutablePointer<OpaquePointer?>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let result = try (tokenizer as UnsafeMutablePointer<OpaquePointer?>?).required("there is nowhere to put the tokenizer")
        result.pointee = nil
        let handle = try Handle<ModelHandle>.value(model)
        let allocator = handle.pointee.allocator
        let value = TokenizerHandle(
            model: handle.pointee.model.reference.another(), textLimit: handle.pointee.textLimit,
            tokenizer: try Tokenizer(tables: handle.pointee.tokenizerTables(), allocator: allocator),
            tokens: TokenBuffer(allocator: allocator))
        result.pointee = try Handle.make(value, from: allocator)
    }
}

@c @implementation
public func shrink_tokenizer_free(_ tokenizer: OpaquePointer!) {
    guard let tokenizer else { return }
    Handle<TokenizerHandle>.destroy(tokenizer, allocator: Handle<TokenizerHandle>.at(tokenizer).pointee.model.allocator)
}

@c @implementation
public func shrink_tokenizer_encode(
    _ tokenizer: OpaquePointer!, _ text: UnsafePointer<CChar>!, _ byteCount: Int, _ options: UnsafePointer<shrink_tokenize_options>!,
    _ tokens: UnsafeMutablePointer<shrink_tokens>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<TokenizerHandle>.value(tokenizer)
        let target = try (tokens as UnsafeMutablePointer<shrink_tokens>?).required("there is nowhere to put the tokens")
        let wanted = try ShrinkRuntime.options(options, shrink_tokenize_options())
        let wasCut = try handle.pointee.encode(text, byteCount, wanted)
        target.pointee = handle.pointee.view(wasCut: wasCut)
    }
}

@c @implementation
public func shrink_tokenizer_encode_chat(
    _ tokenizer: OpaquePointer!, _ messages: UnsafePointer<shrink_message>!, _ messageCount: Int, _ flags: UInt32,
    _ tokens: UnsafeMutablePointer<shrink_tokens>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<TokenizerHandle>.value(tokenizer)
        let target = try (tokens as UnsafeMutablePointer<shrink_tokens>?).required("there is nowhere to put the tokens")
        guard flags & ~(UInt32(SHRINK_CHAT_NO_PROMPT | SHRINK_CHAT_PARSE_SPECIAL)) == 0 else {
            throw RuntimeError(.invalidArgument, "an unknown flag of a conversation", Int(flags))
        }
        let messages = try elements(messages as UnsafePointer<shrink_message>?, messageCount)
        var byteCount = 0
        for message in messages {
            let role = try text(message.role.bytes, message.role.count, limit: handle.pointee.textLimit)
            let content = try text(message.content.bytes, message.content.count, limit: handle.pointee.textLimit)
            byteCount += role.count + content.count
            guard byteCount <= handle.pointee.textLimit else {
                throw RuntimeError(.limitExceeded, "the conversation is longer than the limit", handle.pointee.textLimit)
            }
        }
        handle.pointee.tokens.truncate()
        try handle.pointee.encodeChat(messages, flags)
        target.pointee = handle.pointee.view(wasCut: false)
    }
}

extension TokenizerHandle {
    fileprivate mutating func encodeChat(_ messages: UnsafeBufferPointer<shrink_message>, _ flags: UInt32) throws(RuntimeError) {
        try messages.withMemoryRebound(to: ChatMessage.self) { messages throws(RuntimeError) in
            try tokenizer.encodeChat(
                messages, addGenerationPrompt: flags & UInt32(SHRINK_CHAT_NO_PROMPT) == 0,
                parseSpecialTokens: flags & UInt32(SHRINK_CHAT_PARSE_SPECIAL) != 0, into: &tokens)
        }
    }
}

@c @implementation
public func shrink_tokenizer_is_stop(_ tokenizer: OpaquePointer!, _ token: UInt32) -> Int32 {
    guard let tokenizer else { return 0 }
    return Handle<TokenizerHandle>.at(tokenizer).pointee.tokenizer.isStop(token) ? 1 : 0
}

/// What a `shrink_detokenizer` points to.
struct DetokenizerHandle: ~Copyable {
    let model: ModelReference
    var detokenizer: Detokenizer
    var text: TokenizerBuffer<UInt8>
}

@c @implementation
public func shrink_detokenizer_create(
    _ model: OpaquePointer!, _ flags: UInt32, _ detokenizer: UnsafeMutablePointer<OpaquePointer?>!,
    _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let result = try (detokenizer as UnsafeMutablePointer<OpaquePointer?>?).required("there is nowhere to put the detokenizer")
        result.pointee = nil
        let handle = try Handle<ModelHandle>.value(model)
        let allocator = handle.pointee.allocator
        guard flags & ~UInt32(SHRINK_DETOKENIZE_SHOW_SPECIAL) == 0 else {
            throw RuntimeError(.invalidArgument, "an unknown flag of detokenization", Int(flags))
        }
        let detokenizer = Detokenizer(
            tables: try handle.pointee.tokenizerTables(), skipsSpecialTokens: flags & UInt32(SHRINK_DETOKENIZE_SHOW_SPECIAL) == 0)
        var text = TokenizerBuffer<UInt8>(allocator: allocator)
        try text.reserve(detokenizer.maximumPushByteCount)
        let value = DetokenizerHandle(model: handle.pointee.model.reference.another(), detokenizer: detokenizer, text: text)
        result.pointee = try Handle.make(value, from: allocator)
    }
}

@c @implementation
public func shrink_detokenizer_free(_ detokenizer: OpaquePointer!) {
    guard let detokenizer else { return }
    Handle<DetokenizerHandle>.destroy(detokenizer, allocator: Handle<DetokenizerHandle>.at(detokenizer).pointee.model.allocator)
}

@c @implementation
public func shrink_detokenizer_push(
    _ detokenizer: OpaquePointer!, _ token: UInt32, _ text: UnsafeMutablePointer<shrink_text>!,
    _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<DetokenizerHandle>.value(detokenizer)
        let target = try (text as UnsafeMutablePointer<shrink_text>?).required("there is nowhere to put the text")
        handle.pointee.text.truncate()
        try handle.pointee.detokenizer.push(token, into: &handle.pointee.text)
        target.pointee = shrink_text(UnsafeRawBufferPointer(handle.pointee.text.elements))
    }
}

@c @implementation
public func shrink_detokenizer_finish(
    _ detokenizer: OpaquePointer!, _ text: UnsafeMutablePointer<shrink_text>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<DetokenizerHandle>.value(detokenizer)
        let target = try (text as UnsafeMutablePointer<shrink_text>?).required("there is nowhere to put the text")
        handle.pointee.text.truncate()
        try handle.pointee.detokenizer.flush(into: &handle.pointee.text)
        target.pointee = shrink_text(UnsafeRawBufferPointer(handle.pointee.text.elements))
    }
}
