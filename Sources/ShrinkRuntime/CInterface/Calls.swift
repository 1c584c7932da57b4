import CShrink
import ShrinkFormat

/// Runs the body of a function of the C interface and tells its caller what became of it.
func report(
    to error: UnsafeMutablePointer<shrink_error>?, _ body: () throws(RuntimeError) -> Void
) -> shrink_code {
    var failure = RuntimeError(.invalidArgument, "success")
    var code = SHRINK_OK
    do throws(RuntimeError) {
        try body()
    } catch {
        failure = error
        code = shrink_code(rawValue: UInt32(truncatingIfNeeded: error.code.rawValue))
    }
    error?.pointee = shrink_error(
        code: code, reserved: 0, detail: Int64(failure.detail),
        message: UnsafeRawPointer(failure.message.utf8Start).assumingMemoryBound(to: CChar.self))
    return code
}

extension Optional {
    /// What a caller's pointer points to; throws `invalidArgument` for NULL.
    func required(_ message: StaticString) throws(RuntimeError) -> Wrapped {
        guard let self else { throw RuntimeError(.invalidArgument, message) }
        return self
    }
}

/// `count` elements from a caller; NULL only where there are none.
func elements<Element>(_ base: UnsafePointer<Element>?, _ count: Int) throws(RuntimeError) -> UnsafeBufferPointer<Element> {
    guard count >= 0, base != nil || count == 0 else {
        throw RuntimeError(.invalidArgument, "an array is NULL, or has an impossible size", count)
    }
    guard let base else { return UnsafeBufferPointer(start: nil, count: 0) }
    guard UInt(bitPattern: base) % UInt(MemoryLayout<Element>.alignment) == 0,
        count <= Int.max / max(MemoryLayout<Element>.stride, 1)
    else { throw RuntimeError(.invalidArgument, "an array is not aligned, or has an impossible size", count) }
    return UnsafeBufferPointer(start: base, count: count)
}

/// A caller's text of at most `limit` bytes.
func text(_ base: UnsafePointer<CChar>?, _ count: Int, limit: Int) throws(RuntimeError) -> UnsafeBufferPointer<UInt8> {
    let bytes = try elements(base, count)
    guard bytes.count <= limit else { throw RuntimeError(.limitExceeded, "the text is longer than the limit", limit) }
    return bytes.withMemoryRebound(to: UInt8.self) { $0 }
}

extension shrink_text {
    init(_ bytes: UnsafeRawBufferPointer) {
        self.init(bytes: bytes.baseAddress?.assumingMemoryBound(to: CChar.self), count: bytes.count)
    }
}

// MARK: Sized structs

/// A size beyond this is not a struct's, but memory that nobody has set.
private let largestStruct = 4096

/// The `struct_size` that a sized struct starts with: whole 8-byte words, the size itself included.
private func structSize(_ pointer: UnsafeRawPointer) throws(RuntimeError) -> Int {
    let size = pointer.load(as: Int.self)
    guard size >= 8, size <= largestStruct, size % 8 == 0 else {
        throw RuntimeError(.invalidArgument, "struct_size is not set: start from the _default() function of the options", size)
    }
    return size
}

/// A caller's options: `defaults` (all zero) where there are none, or where an older program knows of none. Throws
/// `invalidArgument` for options of a newer program that this library does not know.
func options<Options: BitwiseCopyable>(_ pointer: UnsafePointer<Options>?, _ defaults: Options) throws(RuntimeError) -> Options {
    var options = defaults
    guard let pointer else { return options }
    let source = UnsafeRawPointer(pointer)
    let size = try structSize(source)
    let known = min(size, MemoryLayout<Options>.size)
    for i in known..<max(known, size) where source.load(fromByteOffset: i, as: UInt8.self) != 0 {
        throw RuntimeError(.invalidArgument, "an option is set that this version of the library does not know", i)
    }
    withUnsafeMutablePointer(to: &options) { UnsafeMutableRawPointer($0).copyMemory(from: source, byteCount: known) }
    return options
}

/// Fills in a caller's info struct as far as it goes; what this library does not know becomes zero.
func fill<Info: BitwiseCopyable>(_ pointer: UnsafeMutablePointer<Info>?, _ info: Info) throws(RuntimeError) {
    let target = UnsafeMutableRawPointer(try pointer.required("the struct to fill in is NULL"))
    let size = try structSize(target)
    let known = min(size, MemoryLayout<Info>.size)
    withUnsafePointer(to: info) { (target + 8).copyMemory(from: UnsafeRawPointer($0) + 8, byteCount: known - 8) }
    for i in known..<max(known, size) { target.storeBytes(of: 0, toByteOffset: i, as: UInt8.self) }
}

// MARK: Handles

/// Values of the C interface behind opaque pointers, each in memory of an allocator, after 64 bytes that threads may
/// share. One memory, one owner: `destroy` ends both.
enum Handle<Value: ~Copyable> {
    static var byteCount: Int { 64 + MemoryLayout<Value>.size }

    static func make(_ value: consuming Value, from allocator: Allocator) throws(RuntimeError) -> OpaquePointer {
        let memory = try allocate(from: allocator)
        place(value, in: memory)
        return memory
    }

    /// Memory for a value that `place` puts there.
    static func allocate(from allocator: Allocator) throws(RuntimeError) -> OpaquePointer {
        guard let memory = allocator.allocate(allocator.context, byteCount, 64) else {
            throw RuntimeError(.outOfMemory, "the allocator gave no memory for a handle", byteCount)
        }
        memory.initializeMemory(as: UInt64.self, repeating: 0, count: 8)
        return OpaquePointer(memory)
    }

    static func place(_ value: consuming Value, in memory: OpaquePointer) {
        (UnsafeMutableRawPointer(memory) + 64).bindMemory(to: Value.self, capacity: 1).initialize(to: value)
    }

    static func value(_ handle: OpaquePointer?) throws(RuntimeError) -> UnsafeMutablePointer<Value> {
        at(try handle.required("a handle is NULL"))
    }

    static func at(_ handle: OpaquePointer) -> UnsafeMutablePointer<Value> {
        (UnsafeMutableRawPointer(handle) + 64).assumingMemoryBound(to: Value.self)
    }

    /// The shared words: a count of references, or whether to stop.
    static func counter(_ handle: OpaquePointer) -> UnsafeMutablePointer<Int64> {
        UnsafeMutableRawPointer(handle).assumingMemoryBound(to: Int64.self)
    }

    static func flag(_ handle: OpaquePointer) -> UnsafeMutablePointer<Int32> {
        UnsafeMutableRawPointer(handle).assumingMemoryBound(to: Int32.self)
    }

    static func destroy(_ handle: OpaquePointer, allocator: Allocator) {
        at(handle).deinitialize(count: 1)
        allocator.deallocate(allocator.context, UnsafeMutableRawPointer(handle))
    }
}
