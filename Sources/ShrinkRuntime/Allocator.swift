import ShrinkFormat

/// Where a model and its sessions get their memory. The functions are the caller's; they may be
/// called from any thread that calls into this library, never from its workers.
public struct Allocator: @unchecked Sendable {
    public var context: UnsafeMutableRawPointer?
    /// Bytes aligned to `alignment` (a power of two), or nil when there are none.
    public var allocate: @convention(c) (_ context: UnsafeMutableRawPointer?, _ byteCount: Int, _ alignment: Int) -> UnsafeMutableRawPointer?
    public var deallocate: @convention(c) (_ context: UnsafeMutableRawPointer?, _ pointer: UnsafeMutableRawPointer) -> Void

    public init(
        context: UnsafeMutableRawPointer?,
        allocate: @escaping @convention(c) (UnsafeMutableRawPointer?, Int, Int) -> UnsafeMutableRawPointer?,
        deallocate: @escaping @convention(c) (UnsafeMutableRawPointer?, UnsafeMutableRawPointer) -> Void
    ) {
        self.context = context
        self.allocate = allocate
        self.deallocate = deallocate
    }
}

/// A piece of raw memory from an `Allocator`, given back when its owner goes.
struct RawMemory: ~Copyable {
    let base: UnsafeMutableRawPointer
    let byteCount: Int
    let allocator: Allocator

    init(byteCount: Int, alignment: Int = 64, from allocator: Allocator) throws(RuntimeError) {
        guard let base = allocator.allocate(allocator.context, max(byteCount, 1), alignment) else {
            throw RuntimeError(.outOfMemory, "the allocator gave no memory", byteCount)
        }
        self.base = base
        self.byteCount = byteCount
        self.allocator = allocator
    }

    deinit { allocator.deallocate(allocator.context, base) }
}
