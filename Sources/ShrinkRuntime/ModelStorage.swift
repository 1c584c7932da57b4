import CShrinkKernels
import ShrinkFormat

/// What a model is made of, in one piece of raw memory that the model and its sessions count
/// references to.
struct ModelStorage: ~Copyable {
    var references: Int64 = 1
    let allocator: Allocator
    let bytes: ArtifactBytes
    let program: ProgramView
    let weights: UnsafeRawBufferPointer
    let directory: ArtifactDirectory?
    let tokenizer: UnsafeRawBufferPointer?
}

/// One counted reference to a model's storage; the last one frees it.
struct ModelReference: ~Copyable, @unchecked Sendable {
    private let storage: UnsafeMutablePointer<ModelStorage>

    init(_ storage: consuming ModelStorage) throws(RuntimeError) {
        let allocator = storage.allocator
        let byteCount = MemoryLayout<ModelStorage>.size
        guard let memory = allocator.allocate(allocator.context, byteCount, 64) else {
            throw RuntimeError(.outOfMemory, "the allocator gave no memory for the model", byteCount)
        }
        self.storage = memory.bindMemory(to: ModelStorage.self, capacity: 1)
        self.storage.initialize(to: storage)
    }

    private init(retained storage: UnsafeMutablePointer<ModelStorage>) {
        self.storage = storage
    }

    func another() -> ModelReference {
        _ = shrink_atomic_add(&storage.pointee.references, 1)
        return ModelReference(retained: storage)
    }

    deinit {
        guard shrink_atomic_add(&storage.pointee.references, -1) == 1 else { return }
        let allocator = storage.pointee.allocator
        storage.deinitialize(count: 1)
        allocator.deallocate(allocator.context, storage)
    }

    var allocator: Allocator { storage.pointee.allocator }
    var program: ProgramView { storage.pointee.program }
    var weights: UnsafeRawBufferPointer { storage.pointee.weights }
    var tokenizer: UnsafeRawBufferPointer? { storage.pointee.tokenizer }

    func bytes(of entry: ArtifactDirectory.Entry) -> UnsafeRawBufferPointer? {
        if entry == .tokenizer { return storage.pointee.tokenizer }
        guard let range = storage.pointee.directory?[entry] else { return nil }
        return UnsafeRawBufferPointer(rebasing: storage.pointee.bytes.bytes[range])
    }

    var fingerprint: SHA256.Digest { SHA256.digest(of: bytes(of: .checksums) ?? program.bytes) }

    var fileByteCount: Int { storage.pointee.bytes.bytes.count }
    var memory: (allocated: Int, mapped: Int) {
        (MemoryLayout<ModelStorage>.size + storage.pointee.bytes.allocatedByteCount,
            storage.pointee.bytes.isMapped ? storage.pointee.bytes.bytes.count : 0)
    }
    func isSame(as other: borrowing ModelReference) -> Bool { storage == other.storage }
}
