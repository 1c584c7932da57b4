import CShrink
import CShrinkKernels
import ShrinkFormat

/// What a `shrink_model` points to.
struct ModelHandle: ~Copyable {
    let model: Model
    let tables: TokenizerTables?
    let limits: shrink_model_options
    let log: Log

    var allocator: Allocator { model.reference.allocator }
    var textLimit: Int {
        limits.max_text_bytes == 0 ? Tokenizer.maximumTextByteCount : Int(clamping: limits.max_text_bytes)
    }
    /// The most tokens of a session with state; nil: there is no limit.
    var context: Int? {
        let most = model.program.header.positionLimit
        return limits.max_context == 0 ? most : min(most ?? .max, Int(limits.max_context))
    }

    /// The verified tables. Throws `invalidArgument` when the model has none.
    func tokenizerTables() throws(RuntimeError) -> TokenizerTables {
        try tables.required("the model has no tokenizer")
    }

    init(_ model: consuming Model, limits: shrink_model_options) throws(RuntimeError) {
        var tables: TokenizerTables?
        if let bytes = model.bytes(of: .tokenizer) {
            tables = try TokenizerTables(checked: bytes)
            guard Int(tables?.header.vocabularySize ?? 0) <= Int(model.program.header.vocabularySize) else {
                throw RuntimeError(.invalidArtifact, "the tokenizer has more tokens than the model", Int(model.program.header.vocabularySize))
            }
        }
        self.model = model
        self.tables = tables
        self.limits = limits
        log = Log(function: limits.log, context: limits.log_context)
    }
}

extension Model.Options {
    /// Throws `invalidArgument` for half an allocator and for unknown flags.
    init(_ options: shrink_model_options) throws(RuntimeError) {
        self.init()
        let known = UInt32(SHRINK_MODEL_READ_INTO_MEMORY | SHRINK_MODEL_VERIFY_WEIGHTS)
        guard options.flags & ~known == 0, options.reserved == 0 else {
            throw RuntimeError(.invalidArgument, "an unknown flag of the model's options", Int(options.flags))
        }
        readsIntoMemory = options.flags & UInt32(SHRINK_MODEL_READ_INTO_MEMORY) != 0
        verifiesWeights = options.flags & UInt32(SHRINK_MODEL_VERIFY_WEIGHTS) != 0
        if options.max_file_bytes != 0 { maximumByteCount = Int(clamping: options.max_file_bytes) }
        guard let allocate = options.allocate, let deallocate = options.deallocate else {
            guard options.allocate == nil, options.deallocate == nil else {
                throw RuntimeError(.invalidArgument, "an allocator needs both of its functions")
            }
            return
        }
        allocator = Allocator(
            context: options.allocator_context, allocate: allocate,
            // The same function, whose pointer is never NULL.
            deallocate: unsafeBitCast(
                deallocate, to: (@convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer) -> Void).self))
    }
}

/// Opens a model by `open` and hands it over to C.
private func openModel(
    _ options: UnsafePointer<shrink_model_options>?, _ result: UnsafeMutablePointer<OpaquePointer?>?,
    _ open: (Model.Options) throws(RuntimeError) -> Model, describe: (inout TextWriter) -> Void
) throws(RuntimeError) {
    let result = try result.required("there is nowhere to put the model")
    result.pointee = nil
    let limits = try ShrinkRuntime.options(options, shrink_model_options())
    let modelOptions = try Model.Options(limits)
    let handle = try ModelHandle(open(modelOptions), limits: limits)
    let log = handle.log
    let (allocated, mapped) = handle.model.memory
    let pointer = try Handle.make(handle, from: modelOptions.allocator)
    Handle<ModelHandle>.counter(pointer).pointee = 1
    result.pointee = pointer
    log.write { line in
        line.add("opened a model ")
        describe(&line)
        line.add(": ")
        line.add(allocated)
        line.add(" bytes of memory, ")
        line.add(mapped)
        line.add(" bytes mapped")
    }
}

@c @implementation
public func shrink_model_open(
    _ path: UnsafePointer<CChar>!, _ options: UnsafePointer<shrink_model_options>!,
    _ model: UnsafeMutablePointer<OpaquePointer?>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        try openModel(options, model) { options throws(RuntimeError) in
            try Model(path: (path as UnsafePointer<CChar>?).required("the path is NULL"), options: options)
        } describe: { line in
            line.add("from ")
            line.add(cString: path)
        }
    }
}

@c @implementation
public func shrink_model_open_fd(
    _ descriptor: Int32, _ options: UnsafePointer<shrink_model_options>!, _ model: UnsafeMutablePointer<OpaquePointer?>!,
    _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        try openModel(options, model) { options throws(RuntimeError) in
            try Model(descriptor: descriptor, options: options)
        } describe: { line in
            line.add("from descriptor ")
            line.add(Int(descriptor))
        }
    }
}

@c @implementation
public func shrink_model_open_memory(
    _ bytes: UnsafeRawPointer!, _ byteCount: Int, _ options: UnsafePointer<shrink_model_options>!,
    _ model: UnsafeMutablePointer<OpaquePointer?>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let artifact = try UnsafeRawBufferPointer(elements((bytes as UnsafeRawPointer?)?.assumingMemoryBound(to: UInt8.self), byteCount))
        try openModel(options, model) { options throws(RuntimeError) in
            try Model(unowned: artifact, options: options)
        } describe: { $0.add("from memory") }
    }
}

@c @implementation
public func shrink_model_retain(_ model: OpaquePointer!) -> OpaquePointer! {
    if let model { _ = shrink_atomic_add(Handle<ModelHandle>.counter(model), 1) }
    return model
}

@c @implementation
public func shrink_model_release(_ model: OpaquePointer!) {
    guard let model, shrink_atomic_add(Handle<ModelHandle>.counter(model), -1) == 1 else { return }
    Handle<ModelHandle>.destroy(model, allocator: Handle<ModelHandle>.at(model).pointee.allocator)
}
