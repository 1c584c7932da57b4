import CShrink
import ShrinkFormat

@c @implementation
public func shrink_session_feed(
    _ session: OpaquePointer!, _ tokens: UnsafePointer<UInt32>!, _ segments: UnsafePointer<UInt32>!, _ count: Int,
    _ rows: UnsafeMutablePointer<shrink_rows>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<SessionHandle>.value(session)
        let ids = try elements(tokens as UnsafePointer<UInt32>?, count)
        let segments = (segments as UnsafePointer<UInt32>?) == nil ? nil : try elements(segments, count)
        let output = try handle.pointee.feed(ids, segments)
        (rows as UnsafeMutablePointer<shrink_rows>?)?.pointee = shrink_rows(
            data: output.base, rows: output.rowCount, columns: output.columnCount, stride: output.rowStride)
    }
}

// MARK: Buffers by name

/// Whether a zero-terminated name is `known`.
private func isNamed(_ name: UnsafePointer<CChar>?, _ known: StaticString) -> Bool {
    guard let name else { return false }
    for i in 0..<known.utf8CodeUnitCount where UInt8(truncatingIfNeeded: name[i]) != known.utf8Start[i] { return false }
    return name[known.utf8CodeUnitCount] == 0
}

extension shrink_input {
    /// The ids of an input of either kind of integers.
    fileprivate func ids(_ index: Int) throws(RuntimeError) -> UnsafeBufferPointer<UInt32> {
        guard reserved == 0, type == SHRINK_TYPE_INT32 || type == SHRINK_TYPE_UINT32 else {
            throw RuntimeError(.invalidArgument, "an input of ids is not of integers", index)
        }
        return try elements(data?.assumingMemoryBound(to: UInt32.self), count)
    }
}

@c @implementation
public func shrink_session_run(
    _ session: OpaquePointer!, _ inputs: UnsafePointer<shrink_input>!, _ inputCount: Int, _ outputs: UnsafeMutablePointer<shrink_output>!,
    _ outputCount: Int, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<SessionHandle>.value(session)
        var tokens: UnsafeBufferPointer<UInt32>?
        var segments: UnsafeBufferPointer<UInt32>?
        let inputs = try elements(inputs as UnsafePointer<shrink_input>?, inputCount)
        for i in inputs.indices {
            if isNamed(inputs[i].name, "tokens"), tokens == nil {
                tokens = try inputs[i].ids(i)
            } else if isNamed(inputs[i].name, "segments"), segments == nil {
                segments = try inputs[i].ids(i)
            } else {
                throw RuntimeError(.invalidArgument, "an input that the entry point does not have, or a second time", i)
            }
        }
        let ids = try tokens.required("the input \"tokens\" is missing")
        let perToken = handle.pointee.session.kind.hasRowPerToken
        if handle.pointee.session.kind == .score, ids.count > handle.pointee.session.chunk {
            throw RuntimeError(.limitExceeded, "more tokens than one step takes", handle.pointee.session.chunk)
        }
        // At most the context, which `feed` is to complain about.
        let (need, overflows) = (perToken ? ids.count : 1).multipliedReportingOverflow(by: handle.pointee.session.output.width)
        _ = try elements(UnsafePointer(outputs as UnsafeMutablePointer<shrink_output>?), outputCount)
        guard outputCount <= 1 else { throw RuntimeError(.invalidArgument, "more outputs than the entry point has", outputCount) }
        let target = outputCount == 1 ? outputs as UnsafeMutablePointer<shrink_output>? : nil
        if let target {
            guard isNamed(target.pointee.name, "output"), target.pointee.type == SHRINK_TYPE_FLOAT32, target.pointee.reserved == 0 else {
                throw RuntimeError(.invalidArgument, "an output that the entry point does not have, or not of floats", 0)
            }
            let room = try elements(UnsafePointer(target.pointee.data?.assumingMemoryBound(to: Float.self)), target.pointee.capacity)
            guard !overflows, room.count >= need else {
                throw RuntimeError(.limitExceeded, "the output has not enough room", overflows ? .max : need)
            }
        }
        let result = try handle.pointee.feed(ids, segments)
        guard let target, let data = target.pointee.data?.assumingMemoryBound(to: Float.self) else { return }
        result.copy(to: data)
        target.pointee.count = need
    }
}

extension SessionOutput {
    /// Writes all rows one after the other.
    fileprivate func copy(to target: UnsafeMutablePointer<Float>) {
        for row in 0..<rowCount { (target + row * columnCount).update(from: base + row * rowStride, count: columnCount) }
    }
}

// MARK: Text in, vector out

/// Runs an entry point with one output row over a text.
private func row(
    of kind: EntryRecord.Kind, _ session: OpaquePointer?, _ tokenizer: OpaquePointer?, _ text: UnsafePointer<CChar>?, _ byteCount: Int,
    _ given: shrink_tokenize_options, _ target: UnsafeMutablePointer<Float>?, _ capacity: Int
) throws(RuntimeError) -> Int {
    let handle = try Handle<SessionHandle>.value(session)
    let words = try Handle<TokenizerHandle>.value(tokenizer)
    guard handle.pointee.session.kind == kind else { throw RuntimeError(.invalidArgument, "the session is of another entry point") }
    guard handle.pointee.session.model.isSame(as: words.pointee.model) else {
        throw RuntimeError(.invalidArgument, "the session and the tokenizer are of different models")
    }
    let target = try target.required("there is nowhere to put the result")
    _ = try elements(UnsafePointer(target), capacity)
    let columns = handle.pointee.session.output.width
    guard capacity >= columns else { throw RuntimeError(.limitExceeded, "the result needs more room", columns) }
    var options = given
    let context = handle.pointee.session.context
    options.max_tokens = options.max_tokens == 0 ? context : min(options.max_tokens, context)
    _ = try words.pointee.encode(text, byteCount, options)
    guard words.pointee.tokens.count > 0 else { throw RuntimeError(.invalidArgument, "the text has no token") }
    let output = try handle.pointee.feed(words.pointee.tokens.ids, words.pointee.tokens.typeIDs)
    output.copy(to: target)
    return columns
}

@c @implementation
public func shrink_session_embed(
    _ session: OpaquePointer!, _ tokenizer: OpaquePointer!, _ text: UnsafePointer<CChar>!, _ byteCount: Int,
    _ vector: UnsafeMutablePointer<Float>!, _ capacity: Int, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        _ = try row(of: .embed, session, tokenizer, text, byteCount, shrink_tokenize_options(), vector, capacity)
    }
}

@c @implementation
public func shrink_session_classify(
    _ session: OpaquePointer!, _ tokenizer: OpaquePointer!, _ text: UnsafePointer<CChar>!, _ byteCount: Int,
    _ options: UnsafePointer<shrink_tokenize_options>!, _ scores: UnsafeMutablePointer<Float>!, _ capacity: Int,
    _ best: UnsafeMutablePointer<UInt32>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let options = try ShrinkRuntime.options(options, shrink_tokenize_options())
        let target = scores as UnsafeMutablePointer<Float>?
        let count = try row(of: .classify, session, tokenizer, text, byteCount, options, target, capacity)
        guard let target else { return }
        try Handle<SessionHandle>.value(session).pointee.session.score(target, count)
        var largest = 0
        for i in 0..<count where target[i] > target[largest] { largest = i }
        (best as UnsafeMutablePointer<UInt32>?)?.pointee = UInt32(truncatingIfNeeded: largest)
    }
}
