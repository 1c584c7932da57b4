import CShrink
import CShrinkKernels
import ShrinkFormat

/// What a `shrink_session` points to; the shared word before it says whether to stop.
struct SessionHandle: ~Copyable {
    var session: Session
    /// For "generate" only.
    var generator: Generator?
    /// Of the last feed, while it is valid.
    var output: SessionOutput?
    let log: Log

    /// Runs tokens; the output stays for sampling.
    mutating func feed(
        _ tokens: UnsafeBufferPointer<UInt32>, _ segments: UnsafeBufferPointer<UInt32>?
    ) throws(RuntimeError) -> SessionOutput {
        output = nil
        let result = try session.feed(tokens, segments: segments)
        output = result
        return result
    }
}

extension ModelHandle {
    /// What a caller's options ask for, within the limits. `kind` nil: the options name it.
    func sessionOptions(_ wanted: shrink_session_options, kind: EntryRecord.Kind? = nil) throws(RuntimeError) -> SessionOptions {
        guard wanted.reserved == 0 else { throw RuntimeError(.invalidArgument, "a reserved field of the session's options is set") }
        var options = SessionOptions(kind: .generate)
        if let kind { options.kind = kind } else { options.kind = try self.kind(named: wanted.entry) }

        let entryContext = options.kind.isIncremental ? context : min(context ?? .max, Int(model.program.entry(options.kind)?.maximumTokens ?? 0))
        options.context = wanted.context == 0 ? entryContext : Int(wanted.context)
        guard limits.max_context == 0 || Int(wanted.context) <= Int(limits.max_context) else {
            throw RuntimeError(.limitExceeded, "the context is longer than the limit of the model's options", Int(limits.max_context))
        }
        options.chunk = wanted.chunk == 0 ? nil : Int(wanted.chunk)

        options.threads = max(1, Int(wanted.threads))
        let possible = Int(SHRINK_POOL_MAXIMUM_THREADS)
        let mostThreads = limits.max_threads == 0 ? possible : min(possible, Int(limits.max_threads))
        guard options.threads <= mostThreads else {
            throw RuntimeError(.limitExceeded, "more threads than the limit of the model's options", mostThreads)
        }
        if let function = wanted.parallel_for { options.parallelFor = ParallelFor(context: wanted.parallel_context, function: function) }

        if let name = wanted.instruction_set {
            options.instructionSet = try InstructionSet(named: name).required("there is no instruction set of this name")
        } else {
            options.instructionSet = try InstructionSet.forced()
        }
        return options
    }

    /// The most memory that a session with these options may take.
    func byteLimit(_ wanted: shrink_session_options) -> Int {
        let own = wanted.max_bytes == 0 ? Int.max : Int(clamping: wanted.max_bytes)
        return limits.max_session_bytes == 0 ? own : min(own, Int(clamping: limits.max_session_bytes))
    }

    private func kind(named name: UnsafePointer<CChar>?) throws(RuntimeError) -> EntryRecord.Kind {
        for i in 0..<Int(model.program.header.entryCount) {
            guard let entry = model.program.entry(i) else { continue }
            guard let name else { return entry.kind }
            let known = entry.kind.cName
            var j = 0
            while known[j] == name[j], known[j] != 0 { j += 1 }
            if known[j] == name[j] { return entry.kind }
        }
        throw RuntimeError(.invalidArgument, "the model has no entry point of this name")
    }

    /// Exactly what `makeSession` asks the allocator for.
    func sessionByteCount(_ options: SessionOptions) throws(RuntimeError) -> Int {
        let parts = Handle<SessionHandle>.byteCount + (options.kind == .generate ? Generator.byteCount(self) : 0)
        let (sum, overflows) = try model.sessionByteCount(options).addingReportingOverflow(parts)
        guard !overflows else { throw RuntimeError(.limitExceeded, "the session would need more memory than there are addresses") }
        return sum
    }

    /// Checks a session's memory against the limits and says what it is.
    func checkedByteCount(_ options: SessionOptions, _ wanted: shrink_session_options) throws(RuntimeError) -> Int {
        let byteCount = try sessionByteCount(options)
        guard byteCount <= byteLimit(wanted) else {
            throw RuntimeError(.limitExceeded, "the session needs more memory than the limit", byteCount)
        }
        return byteCount
    }

    func makeSession(_ wanted: shrink_session_options) throws(RuntimeError) -> OpaquePointer {
        var options = try sessionOptions(wanted)
        let byteCount = try checkedByteCount(options, wanted)
        let memory = try Handle<SessionHandle>.allocate(from: allocator)
        options.cancelFlag = UnsafePointer(Handle<SessionHandle>.flag(memory))
        do throws(RuntimeError) {
            let generator = options.kind == .generate ? try Generator(self, options.instructionSet) : nil
            let value = SessionHandle(session: try Session(model, options), generator: generator, output: nil, log: log)
            log.write { line in
                line.add("made a session of ")
                line.add(cString: options.kind.cName)
                line.add(": ")
                line.add(cString: value.session.instructionSet.name)
                line.add(", threads ")
                line.add(options.threads)
                line.add(", context ")
                line.add(value.session.context)
                line.add(", bytes ")
                line.add(byteCount)
            }
            Handle.place(value, in: memory)
        } catch {
            allocator.deallocate(allocator.context, UnsafeMutableRawPointer(memory))
            throw error
        }
        return memory
    }
}

@c @implementation
public func shrink_session_create(
    _ model: OpaquePointer!, _ options: UnsafePointer<shrink_session_options>!, _ session: UnsafeMutablePointer<OpaquePointer?>!,
    _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let result = try (session as UnsafeMutablePointer<OpaquePointer?>?).required("there is nowhere to put the session")
        result.pointee = nil
        let handle = try Handle<ModelHandle>.value(model)
        result.pointee = try handle.pointee.makeSession(ShrinkRuntime.options(options, shrink_session_options()))
    }
}

@c @implementation
public func shrink_session_free(_ session: OpaquePointer!) {
    guard let session else { return }
    // The memory outlives the session, whose model may be freed with it.
    let allocator = Handle<SessionHandle>.at(session).pointee.session.model.allocator
    Handle<SessionHandle>.destroy(session, allocator: allocator)
}

@c @implementation
public func shrink_session_predict_memory(
    _ model: OpaquePointer!, _ options: UnsafePointer<shrink_session_options>!, _ memory: UnsafeMutablePointer<shrink_memory>!,
    _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<ModelHandle>.value(model)
        let wanted = try ShrinkRuntime.options(options, shrink_session_options())
        let sessionOptions = try handle.pointee.sessionOptions(wanted)
        _ = try (sessionOptions.instructionSet ?? .best).kernels()
        var result = shrink_memory()
        result.session_bytes = UInt64(try handle.pointee.checkedByteCount(sessionOptions, wanted))
        let ownThreads = sessionOptions.parallelFor == nil ? sessionOptions.threads - 1 : 0
        result.stack_bytes = UInt64(ownThreads) * UInt64(SHRINK_POOL_STACK_BYTES)
        let (allocated, mapped) = handle.pointee.model.memory
        result.model_bytes = UInt64(allocated + Handle<ModelHandle>.byteCount)
        result.mapped_bytes = UInt64(mapped)
        try fill(memory, result)
    }
}

@c @implementation
public func shrink_session_position(_ session: OpaquePointer!) -> Int {
    guard let session else { return 0 }
    return Handle<SessionHandle>.at(session).pointee.session.position
}

@c @implementation
public func shrink_session_context(_ session: OpaquePointer!) -> Int {
    guard let session else { return 0 }
    return Handle<SessionHandle>.at(session).pointee.session.context
}

@c @implementation
public func shrink_session_instruction_set(_ session: OpaquePointer!) -> UnsafePointer<CChar>! {
    guard let session else { return cString("") }
    return Handle<SessionHandle>.at(session).pointee.session.instructionSet.name
}

@c @implementation
public func shrink_session_truncate(_ session: OpaquePointer!, _ count: Int, _ error: UnsafeMutablePointer<shrink_error>!) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<SessionHandle>.value(session)
        try handle.pointee.session.truncate(to: count)
        handle.pointee.output = nil
    }
}

@c @implementation
public func shrink_session_cancel(_ session: OpaquePointer!) {
    if let session { shrink_atomic_store(Handle<SessionHandle>.flag(session), 1) }
}

@c @implementation
public func shrink_session_clear_cancel(_ session: OpaquePointer!) {
    if let session { shrink_atomic_store(Handle<SessionHandle>.flag(session), 0) }
}
