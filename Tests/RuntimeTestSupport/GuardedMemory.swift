import CAllocationCounter
import ShrinkRuntime

/// Bytes, aligned to 64, before an unreadable page: reading past the end (rounded up to 64) ends the process.
public final class GuardedBytes {
    public let bytes: UnsafeMutableRawBufferPointer

    public init(_ content: [UInt8]) {
        let base = guarded_allocate(content.count)!
        bytes = UnsafeMutableRawBufferPointer(start: base, count: content.count)
        bytes.copyBytes(from: content)
    }

    public var raw: UnsafeRawBufferPointer { UnsafeRawBufferPointer(bytes) }

    deinit { guarded_free(bytes.baseAddress, bytes.count) }
}

/// An allocator that counts, can fail at the nth call, fills what it gives with a pattern and puts
/// it before an unreadable page. For one thread.
public final class CountingAllocator {
    public private(set) var calls = 0
    public private(set) var live: [UnsafeMutableRawPointer: Int] = [:]
    public private(set) var totalBytes = 0
    /// The call, counted from 0, that gives nothing.
    private let failingCall: Int?

    public init(failingCall: Int? = nil) { self.failingCall = failingCall }

    public var liveBytes: Int { live.values.reduce(0, +) }

    public var allocator: Allocator {
        Allocator(
            context: Unmanaged.passUnretained(self).toOpaque(),
            allocate: { context, byteCount, alignment in
                Unmanaged<CountingAllocator>.fromOpaque(context!).takeUnretainedValue().allocate(byteCount)
            },
            deallocate: { context, pointer in
                Unmanaged<CountingAllocator>.fromOpaque(context!).takeUnretainedValue().deallocate(pointer)
            })
    }

    private func allocate(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        defer { calls += 1 }
        guard calls != failingCall, let pointer = guarded_allocate(byteCount) else { return nil }
        // A pattern that is a large float and a large code, so that use of fresh memory shows.
        if byteCount < 1 << 24 { pointer.initializeMemory(as: UInt8.self, repeating: 0x7E, count: byteCount) }
        live[pointer] = byteCount
        totalBytes += byteCount
        return pointer
    }

    private func deallocate(_ pointer: UnsafeMutableRawPointer) {
        guarded_free(pointer, live.removeValue(forKey: pointer)!)
    }
}
