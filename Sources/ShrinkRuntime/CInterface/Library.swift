import CShrink
import ShrinkFormat

@c @implementation
public func shrink_abi_version() -> UInt32 { UInt32(SHRINK_ABI_VERSION) }

@c @implementation
public func shrink_version() -> UnsafePointer<CChar>! { cString("0.1.0") }

@c @implementation
public func shrink_code_name(_ code: shrink_code) -> UnsafePointer<CChar>! {
    switch code {
    case SHRINK_OK: cString("success")
    case SHRINK_ERROR_INPUT_OUTPUT: cString("input or output failed")
    case SHRINK_ERROR_INVALID_ARTIFACT: cString("invalid artifact")
    case SHRINK_ERROR_UNSUPPORTED_VERSION: cString("unsupported version")
    case SHRINK_ERROR_OUT_OF_MEMORY: cString("out of memory")
    case SHRINK_ERROR_INVALID_ARGUMENT: cString("invalid argument")
    case SHRINK_ERROR_LIMIT_EXCEEDED: cString("limit exceeded")
    case SHRINK_ERROR_UNSUPPORTED_ISA: cString("unsupported instruction set")
    case SHRINK_ERROR_CANCELLED: cString("cancelled")
    case SHRINK_ERROR_SELF_TEST: cString("self-test failed")
    case SHRINK_ERROR_INVALID_STATE: cString("invalid state")
    default: cString("unknown error")
    }
}

/// Literals end with a zero byte.
func cString(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

@c @implementation
public func shrink_cpu_describe(_ buffer: UnsafeMutablePointer<CChar>!, _ capacity: Int) -> Int {
    var writer = TextWriter(buffer, capacity: capacity)
    var chosen: InstructionSet?
    var isForced = false
    do throws(RuntimeError) {
        let forced = try InstructionSet.forced()
        isForced = forced != nil
        chosen = forced ?? .best
    } catch {
        isForced = true
    }
    for value in 0..<InstructionSet.count {
        guard let set = InstructionSet(rawValue: value) else { continue }
        let start = writer.count
        writer.add(set == chosen ? "* " : "  ")
        writer.add(cString: set.name)
        writer.pad(to: 16, from: start)
        switch set.status {
        case .ready: writer.add(" ready\n")
        case .notOnCPU: writer.add(" not on this CPU\n")
        case .notBuilt: writer.add(" not built\n")
        }
    }
    if !isForced {
        writer.add("the best that this CPU and library have\n")
    } else if let chosen {
        writer.add(chosen.status == .ready ? "as SHRINK_ISA says\n" : "as SHRINK_ISA says, but it does not run here\n")
    } else {
        writer.add("none: SHRINK_ISA names no instruction set\n")
    }
    return writer.count
}
