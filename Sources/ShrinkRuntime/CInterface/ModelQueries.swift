import CShrink
import ShrinkFormat

@c @implementation
public func shrink_model_get_info(
    _ model: OpaquePointer!, _ info: UnsafeMutablePointer<shrink_model_info>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<ModelHandle>.value(model)
        let program = handle.pointee.model.program
        var result = shrink_model_info()
        result.file_bytes = UInt64(handle.pointee.model.reference.fileByteCount)
        result.vocabulary_size = program.header.vocabularySize
        result.max_context = handle.pointee.context.map { UInt32(truncatingIfNeeded: $0) } ?? .max
        result.label_count = program.header.labelCount
        result.entry_count = program.header.entryCount
        if let tables = handle.pointee.tables {
            result.flags |= UInt32(SHRINK_MODEL_HAS_TOKENIZER)
            if tables.header.chatTemplate != .none { result.flags |= UInt32(SHRINK_MODEL_HAS_CHAT_TEMPLATE) }
        }
        if handle.pointee.model.bytes(of: .selfTest) != nil { result.flags |= UInt32(SHRINK_MODEL_HAS_SELF_TEST) }
        let fingerprint = handle.pointee.model.fingerprint
        withUnsafeMutableBytes(of: &result.fingerprint) { bytes in
            for i in fingerprint.indices { bytes[i] = fingerprint[i] }
        }
        try fill(info, result)
    }
}

@c @implementation
public func shrink_model_get_entry(
    _ model: OpaquePointer!, _ index: UInt32, _ info: UnsafeMutablePointer<shrink_entry_info>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<ModelHandle>.value(model)
        let program = handle.pointee.model.program
        guard let entry = program.entry(Int(index)), let output = program.tensor(Int(entry.outputTensor)) else {
            throw RuntimeError(.invalidArgument, "there is no entry point of this index", Int(program.header.entryCount))
        }
        var result = shrink_entry_info()
        result.name = entry.kind.cName
        result.max_tokens = entry.maximumTokens
        result.columns = UInt32(truncatingIfNeeded: output.rowElements)
        if entry.kind.isIncremental { result.flags |= UInt32(SHRINK_ENTRY_HAS_STATE) }
        if entry.kind.hasRowPerToken { result.flags |= UInt32(SHRINK_ENTRY_ROW_PER_TOKEN) }
        if entry.scores == .sigmoid { result.flags |= UInt32(SHRINK_ENTRY_SCORES_SIGMOID) }
        if entry.scores == .value { result.flags |= UInt32(SHRINK_ENTRY_SCORES_VALUE) }
        try fill(info, result)
    }
}

@c @implementation
public func shrink_model_get_label(
    _ model: OpaquePointer!, _ index: UInt32, _ label: UnsafeMutablePointer<shrink_text>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<ModelHandle>.value(model)
        let target = try (label as UnsafeMutablePointer<shrink_text>?).required("there is nowhere to put the label")
        guard let bytes = handle.pointee.model.program.label(Int(index)) else {
            throw RuntimeError(.invalidArgument, "there is no label of this index", Int(handle.pointee.model.program.header.labelCount))
        }
        target.pointee = shrink_text(bytes)
    }
}

@c @implementation
public func shrink_model_get_manifest(
    _ model: OpaquePointer!, _ manifest: UnsafeMutablePointer<shrink_text>!, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<ModelHandle>.value(model)
        let target = try (manifest as UnsafeMutablePointer<shrink_text>?).required("there is nowhere to put the manifest")
        target.pointee = try shrink_text(handle.pointee.model.bytes(of: .manifest).required("there is no manifest"))
    }
}

@c @implementation
public func shrink_model_self_test(
    _ model: OpaquePointer!, _ instructionSet: UnsafePointer<CChar>!, _ threads: UInt32, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<ModelHandle>.value(model)
        let test = try SelfTest(reading: handle.pointee.model.bytes(of: .selfTest).required("the model has no self-test"))
        var wanted = shrink_session_options()
        wanted.instruction_set = UnsafePointer(instructionSet)
        wanted.threads = threads
        var options = try handle.pointee.sessionOptions(wanted, kind: test.kind)
        options.maximumByteCount = handle.pointee.byteLimit(wanted)
        guard try handle.pointee.model.selfTest(test, options) else {
            handle.pointee.log.write(SHRINK_LOG_WARNING) { $0.add("the self-test failed: this machine computes something else") }
            throw RuntimeError(.selfTestFailed, "this machine computes something else than the one that packed the model")
        }
    }
}

extension EntryRecord.Kind {
    var cName: UnsafePointer<CChar> {
        switch self {
        case .generate: cString("generate")
        case .score: cString("score")
        case .embed: cString("embed")
        case .classify: cString("classify")
        case .tag: cString("tag")
        case .encode: cString("encode")
        }
    }

    /// Whether the output has a row for each token of a step, or one.
    var hasRowPerToken: Bool {
        switch self {
        case .generate, .embed, .classify: false
        case .score, .tag, .encode: true
        }
    }
}
