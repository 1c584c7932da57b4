import CShrinkKernels
import ShrinkFormat

/// The bytes of an artifact and how to get rid of them.
struct ArtifactBytes: ~Copyable {
    enum Origin {
        /// The caller keeps them.
        case unowned
        case mapped
        case allocated(Allocator)
    }

    let bytes: UnsafeRawBufferPointer
    private let origin: Origin

    init(unowned bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        origin = .unowned
    }

    /// A copy of bytes in memory of the allocator.
    init(copying bytes: UnsafeRawBufferPointer, options: Model.Options) throws(RuntimeError) {
        let allocator = options.allocator
        guard let memory = allocator.allocate(allocator.context, max(bytes.count, 1), 64) else {
            throw RuntimeError(.outOfMemory, "the allocator gave no memory for the artifact", bytes.count)
        }
        if let base = bytes.baseAddress { memory.copyMemory(from: base, byteCount: bytes.count) }
        self.bytes = UnsafeRawBufferPointer(start: memory, count: bytes.count)
        origin = .allocated(allocator)
    }

    var isMapped: Bool { if case .mapped = origin { true } else { false } }
    /// Bytes that it took from the allocator.
    var allocatedByteCount: Int { if case .allocated = origin { bytes.count } else { 0 } }

    /// Maps a file, or reads it into memory of the allocator. Throws `inputOutput` with errno,
    /// `limitExceeded` with the file's size, `outOfMemory`.
    init(path: UnsafePointer<CChar>, options: Model.Options) throws(RuntimeError) {
        var descriptor: Int32 = -1
        let error = shrink_file_open(path, &descriptor)
        guard error == 0 else { throw RuntimeError(.inputOutput, "the artifact cannot be opened", Int(error)) }
        defer { shrink_file_close(descriptor) }
        try self.init(descriptor: descriptor, options: options)
    }

    /// The same of an open file, which stays the caller's.
    init(descriptor: Int32, options: Model.Options) throws(RuntimeError) {
        let allocator = options.allocator
        var size: UInt64 = 0
        let error = shrink_file_size(descriptor, &size)
        guard error == 0 else { throw RuntimeError(.inputOutput, "the artifact is not a regular file", Int(error)) }
        guard let count = Int(exactly: size), count <= options.maximumByteCount else {
            throw RuntimeError(.limitExceeded, "the artifact is larger than the limit", Int(clamping: size))
        }
        guard count > 0 else { throw RuntimeError(.invalidArtifact, "the file is empty", 0) }
        if options.readsIntoMemory {
            guard let memory = allocator.allocate(allocator.context, count, 64) else {
                throw RuntimeError(.outOfMemory, "the allocator gave no memory for the artifact", count)
            }
            let error = shrink_file_read(descriptor, memory, size)
            guard error == 0 else {
                allocator.deallocate(allocator.context, memory)
                throw RuntimeError(.inputOutput, "the artifact cannot be read", Int(error))
            }
            bytes = UnsafeRawBufferPointer(start: memory, count: count)
            origin = .allocated(allocator)
        } else {
            var base: UnsafeRawPointer?
            let error = shrink_file_map(descriptor, size, &base)
            guard error == 0 else { throw RuntimeError(.inputOutput, "the artifact cannot be mapped", Int(error)) }
            bytes = UnsafeRawBufferPointer(start: base, count: count)
            origin = .mapped
        }
    }

    deinit {
        guard let base = bytes.baseAddress else { return }
        switch origin {
        case .unowned: break
        case .mapped: shrink_file_unmap(base, UInt64(bytes.count))
        case .allocated(let allocator): allocator.deallocate(allocator.context, UnsafeMutableRawPointer(mutating: base))
        }
    }
}
