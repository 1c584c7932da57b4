import CShrinkKernels

extension Allocator {
    /// The C library's memory.
    public static var system: Allocator {
        Allocator(
            context: nil, allocate: { shrink_system_allocate($0, $1, $2) }, deallocate: { shrink_system_deallocate($0, $1) })
    }
}
