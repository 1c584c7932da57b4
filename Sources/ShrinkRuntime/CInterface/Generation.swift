import CShrink
import ShrinkFormat

/// What a session of "generate" needs beside itself, taken when it is made.
struct Generator: ~Copyable {
    var sampler: Sampler
    /// nil: the model has no tokenizer.
    var detokenizer: Detokenizer?
    var text: TokenizerBuffer<UInt8>

    init(_ handle: borrowing ModelHandle, _ instructionSet: InstructionSet?) throws(RuntimeError) {
        let sampler = try Sampler(
            vocabularySize: Int(handle.model.program.header.vocabularySize), options: SamplerOptions(),
            instructionSet: instructionSet, allocator: handle.allocator)
        let detokenizer = handle.tables.map { Detokenizer(tables: $0, skipsSpecialTokens: true) }
        var text = TokenizerBuffer<UInt8>(allocator: handle.allocator)
        if let detokenizer { try text.reserve(detokenizer.maximumPushByteCount) }
        self.sampler = sampler
        self.detokenizer = detokenizer
        self.text = text
    }

    /// Exactly what `init` asks the allocator for.
    static func byteCount(_ handle: borrowing ModelHandle) -> Int {
        let text = handle.tables.map { Detokenizer(tables: $0, skipsSpecialTokens: true).maximumPushByteCount }
        return Sampler.byteCount(vocabularySize: Int(handle.model.program.header.vocabularySize))
            + (text.map { TokenizerBuffer<UInt8>.byteCount(reserving: $0) } ?? 0)
    }

    func isStop(_ token: UInt32) -> Bool { detokenizer?.tables.isStop(token) ?? false }

    /// Starts another text.
    mutating func restart() throws(RuntimeError) {
        text.truncate()
        try detokenizer?.flush(into: &text)
        text.truncate()
    }

    /// The text that is certain once `token` is known.
    mutating func push(_ token: UInt32) throws(RuntimeError) -> UnsafeBufferPointer<UInt8> {
        text.truncate()
        try detokenizer?.push(token, into: &text)
        return text.elements
    }

    mutating func finish() throws(RuntimeError) -> UnsafeBufferPointer<UInt8> {
        text.truncate()
        try detokenizer?.flush(into: &text)
        return text.elements
    }
}

extension SessionHandle {
    /// The next token by the logits of the last feed.
    mutating func sample() throws(RuntimeError) -> UInt32 {
        guard let output else { throw RuntimeError(.invalidArgument, "nothing was fed that a token could follow") }
        guard generator != nil else { throw RuntimeError(.invalidArgument, "the session is not of the entry point \"generate\"") }
        return try generator!.sampler.sample(output[0])
    }
}

@c @implementation
public func shrink_session_set_sampling(
    _ session: OpaquePointer!, _ sampling: UnsafePointer<shrink_sampling>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<SessionHandle>.value(session)
        let wanted = try options(sampling, shrink_sampling())
        guard wanted.reserved == 0 else { throw RuntimeError(.invalidArgument, "a reserved field of the sampling is set") }
        guard handle.pointee.generator != nil else {
            throw RuntimeError(.invalidArgument, "the session is not of the entry point \"generate\"")
        }
        var options = SamplerOptions()
        options.temperature = wanted.temperature
        options.topK = Int(wanted.top_k)
        options.topP = wanted.top_p == 0 ? 1 : wanted.top_p
        options.seed = wanted.seed
        try handle.pointee.generator!.sampler.restart(options)
    }
}

@c @implementation
public func shrink_session_sample(
    _ session: OpaquePointer!, _ token: UnsafeMutablePointer<UInt32>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<SessionHandle>.value(session)
        let target = try (token as UnsafeMutablePointer<UInt32>?).required("there is nowhere to put the token")
        target.pointee = try handle.pointee.sample()
    }
}

@c @implementation
public func shrink_session_generate(
    _ session: OpaquePointer!, _ tokens: UnsafePointer<UInt32>!, _ count: Int, _ options: UnsafePointer<shrink_generate_options>!,
    _ generated: UnsafeMutablePointer<shrink_generated>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    var answer = Answer()
    let code = report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<SessionHandle>.value(session)
        let wanted = try ShrinkRuntime.options(options, shrink_generate_options())
        guard wanted.flags & ~UInt32(SHRINK_GENERATE_IGNORE_STOP) == 0 else {
            throw RuntimeError(.invalidArgument, "an unknown flag of generation", Int(wanted.flags))
        }
        try answer.generate(handle, elements(tokens as UnsafePointer<UInt32>?, count), wanted)
    }
    (generated as UnsafeMutablePointer<shrink_generated>?)?.pointee = shrink_generated(
        stop: code == SHRINK_OK ? answer.stop : SHRINK_STOP_ERROR, last_token: answer.token, token_count: answer.count)
    return code
}

/// How far an answer has come.
private struct Answer {
    var token = UInt32.max
    var count: UInt64 = 0
    var stop = SHRINK_STOP_END

    mutating func generate(
        _ handle: UnsafeMutablePointer<SessionHandle>, _ prompt: UnsafeBufferPointer<UInt32>, _ options: shrink_generate_options
    ) throws(RuntimeError) {
        guard handle.pointee.generator != nil else {
            throw RuntimeError(.invalidArgument, "the session is not of the entry point \"generate\"")
        }
        guard options.max_tokens > 0 || handle.pointee.session.context < Int.max else {
            throw RuntimeError(.invalidArgument, "the context has no limit, so the number of tokens needs one")
        }
        try handle.pointee.generator!.restart()
        _ = try handle.pointee.feed(prompt, nil)
        while true {
            token = try handle.pointee.sample()
            if options.flags & UInt32(SHRINK_GENERATE_IGNORE_STOP) == 0, handle.pointee.generator!.isStop(token) {
                return try finish(SHRINK_STOP_END, handle, options)
            }
            let text = try handle.pointee.generator!.push(token)
            count += 1
            if let show = options.on_token, Self.call(show, options.context, token, text) != 0 {
                stop = SHRINK_STOP_CALLER
                return
            }
            if count == UInt64(options.max_tokens) { return try finish(SHRINK_STOP_LENGTH, handle, options) }
            if handle.pointee.session.position == handle.pointee.session.context {
                return try finish(SHRINK_STOP_CONTEXT, handle, options)
            }
            try withUnsafePointer(to: token) { token throws(RuntimeError) in
                _ = try handle.pointee.feed(UnsafeBufferPointer(start: token, count: 1), nil)
            }
        }
    }

    private mutating func finish(
        _ reason: shrink_stop, _ handle: UnsafeMutablePointer<SessionHandle>, _ options: shrink_generate_options
    ) throws(RuntimeError) {
        stop = reason
        let rest = try handle.pointee.generator!.finish()
        guard let show = options.on_token, rest.count > 0 else { return }
        if Self.call(show, options.context, .max, rest) != 0 { stop = SHRINK_STOP_CALLER }
    }

    private static func call(
        _ show: shrink_token_fn, _ context: UnsafeMutableRawPointer?, _ token: UInt32, _ text: UnsafeBufferPointer<UInt8>
    ) -> Int32 {
        show(context, token, UnsafeRawPointer(text.baseAddress)?.assumingMemoryBound(to: CChar.self), text.count)
    }
}
