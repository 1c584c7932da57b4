import ShrinkFormat

// What all targets share. They join the module ShrinkRuntime, as Embedded Swift hides the deinits of other modules.

@_extern(c) func fuzz_fail(_ message: UnsafePointer<UInt8>)
@_extern(c) func fuzz_allocator_reset(_ failingCall: Int, _ fill: Int32)
@_extern(c) func fuzz_allocator_live() -> Int
@_extern(c) func fuzz_block(_ byteCount: Int, _ alignment: Int) -> UnsafeMutableRawPointer?
@_extern(c) func fuzz_allocate(_ context: UnsafeMutableRawPointer?, _ byteCount: Int, _ alignment: Int) -> UnsafeMutableRawPointer?
@_extern(c) func fuzz_deallocate(_ context: UnsafeMutableRawPointer?, _ pointer: UnsafeMutableRawPointer)
@_extern(c, "memcmp") func fuzz_compare(_ a: UnsafeRawPointer, _ b: UnsafeRawPointer, _ byteCount: Int) -> Int32
@_extern(c) func LLVMFuzzerMutate(_ data: UnsafeMutablePointer<UInt8>, _ size: Int, _ capacity: Int) -> Int
@_extern(c) func __asan_poison_memory_region(_ base: UnsafeRawPointer, _ byteCount: Int)
@_extern(c) func __asan_unpoison_memory_region(_ base: UnsafeRawPointer, _ byteCount: Int)

/// Ends the process, which libFuzzer records as a finding.
func finding(_ message: StaticString) -> Never {
    fuzz_fail(message.utf8Start)
    fatalError()
}

/// A property that has to hold whatever the input is.
func check(_ condition: Bool, _ message: StaticString) { if !condition { finding(message) } }

extension Allocator {
    /// Every request gets its own block of exactly its size.
    static var exact: Allocator {
        Allocator(context: nil, allocate: { fuzz_allocate($0, $1, $2) }, deallocate: { fuzz_deallocate($0, $1) })
    }
}

/// Bytes in a block of exactly their size, so that reading past them is seen.
struct ExactBlock: ~Copyable {
    let bytes: UnsafeMutableRawBufferPointer

    init(count: Int, alignment: Int = 64) {
        guard let base = fuzz_block(count, alignment) else { finding("no memory for the harness itself") }
        bytes = UnsafeMutableRawBufferPointer(start: base, count: count)
    }

    init(copying data: UnsafePointer<UInt8>, count: Int, alignment: Int = 64) {
        self.init(count: count, alignment: alignment)
        bytes.copyMemory(from: UnsafeRawBufferPointer(start: data, count: count))
    }

    var base: UnsafeMutableRawPointer { bytes.baseAddress.unsafelyUnwrapped }
    var raw: UnsafeRawBufferPointer { UnsafeRawBufferPointer(bytes) }

    deinit { if let base = bytes.baseAddress { fuzz_deallocate(nil, base) } }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct FuzzRandom {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    /// The same input is always used in the same way.
    init(hashing bytes: UnsafeRawBufferPointer) {
        var hash = TokenizerHash.seed
        for byte in bytes { hash = TokenizerHash.appending(byte, to: hash) }
        state = hash
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    /// 0 ..< n, or 0 for n below 1.
    mutating func below(_ n: Int) -> Int { n < 1 ? 0 : Int(truncatingIfNeeded: next() >> 1) % n }

    /// True once in n times.
    mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }
}

/// The hash of floats by their bits; all NaNs are one.
struct FloatHash: Equatable {
    private var value = TokenizerHash.seed

    mutating func add(_ floats: UnsafeBufferPointer<Float>) {
        for float in floats {
            let bits = float.isNaN ? Float.nan.bitPattern : float.bitPattern
            value = (value ^ UInt64(bits)) &* 0x100_0000_01B3
        }
    }
}

/// Mutates one stretch of a buffer in place by libFuzzer's own means.
func mutateInPlace(_ base: UnsafeMutablePointer<UInt8>, _ count: Int) {
    if count > 0 { _ = LLVMFuzzerMutate(base, count, count) }
}
