import CShrinkKernels
import Glibc

/// SplitMix64: the same inputs for every table and on every run.
struct Randomness: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Uniform in a range of whole numbers.
    mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
    mutating func unit() -> Float { Float.random(in: -1...1, using: &self) }
}

/// What the floats of one input look like.
enum Style: Int, CaseIterable {
    case ordinary, wide, subnormal, huge, zeros, special

    func value(_ random: inout Randomness) -> Float {
        switch self {
        case .ordinary: return random.unit() * 4
        case .wide: return random.unit() * 120
        case .subnormal: return Float(bitPattern: UInt32(random.int(0...0x00ff_ffff)) | UInt32(random.int(0...1)) << 31)
        case .huge: return random.unit() * 3e38
        case .zeros: return random.int(0...1) == 0 ? 0 : -0.0
        case .special:
            let values: [Float] = [.nan, -.nan, .infinity, -.infinity, 0, -0.0, 1, -1, .leastNonzeroMagnitude, 3.4e38, -3.4e38, 88.4, -87.4]
            return random.int(0...3) == 0 ? values[random.int(0...values.count - 1)] : random.unit()
        }
    }
}

/// Memory whose end touches a page that may not be accessed, so that a read or a write past it stops
/// the test, and which is preceded by bytes that nothing may change. Lives as long as its `Memory`.
final class Memory {
    private struct Region {
        var map: UnsafeMutableRawPointer, mapped: Int, base: UnsafeMutableRawPointer, byteCount: Int
    }
    private var regions: [Region] = []
    private static let page = 4096
    private static let canary: UInt8 = 0xA5
    private static let canaryCount = 64

    private func region(_ byteCount: Int) -> UnsafeMutableRawPointer {
        let pages = (byteCount + Memory.canaryCount + Memory.page - 1) / Memory.page + 1
        let mapped = pages * Memory.page
        let map = mmap(nil, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        precondition(map != MAP_FAILED)
        precondition(mprotect(map + (mapped - Memory.page), Memory.page, PROT_NONE) == 0)
        let base = map + (mapped - Memory.page - byteCount)
        (base - Memory.canaryCount).initializeMemory(as: UInt8.self, repeating: Memory.canary, count: Memory.canaryCount + byteCount)
        regions.append(Region(map: map, mapped: mapped, base: base, byteCount: byteCount))
        return base
    }

    /// Uninitialised but for the canary, which an untouched output still shows.
    func allocate<T>(_ type: T.Type, _ count: Int) -> UnsafeMutablePointer<T> {
        region(count * MemoryLayout<T>.stride).bindMemory(to: T.self, capacity: count)
    }

    func array<T>(_ values: [T]) -> UnsafeMutablePointer<T> {
        let pointer = allocate(T.self, values.count)
        pointer.update(from: values, count: values.count)
        return pointer
    }

    /// Quantized rows of positions, those of the heads side by side, in panels; what holds no row is anything.
    func panels(
        _ rows: UnsafePointer<UInt8>, stride: Int, _ positions: Int, heads: Int = 1, headStride: Int, dim: Int, _ random: inout Randomness
    ) -> UnsafePointer<UInt8> {
        let all = array((0..<(heads * headStride)).map { _ in UInt8(random.int(0...255)) })
        for t in 0..<positions {
            for head in 0..<heads {
                shrink_panel_store(
                    all + head * headStride + t / 32 * shrink_panel_bytes(dim), UInt32(t % 32),
                    rows + t * stride + head * shrink_qrow_bytes(dim), dim)
            }
        }
        return UnsafePointer(all)
    }

    func floats(_ count: Int, _ style: Style, _ random: inout Randomness) -> UnsafeMutablePointer<Float> {
        array((0..<count).map { _ in style.value(&random) })
    }

    /// A page that stops whoever reads it; asking memory for it does nothing.
    var untouchable: UnsafeRawPointer { UnsafeRawPointer(region(0)) }

    /// True if the bytes before every region are as they were.
    var isIntact: Bool {
        regions.allSatisfy { region in
            (1...Memory.canaryCount).allSatisfy { (region.base - $0).load(as: UInt8.self) == Memory.canary }
        }
    }

    static let untouched = Float(bitPattern: 0xA5A5_A5A5)

    deinit { for region in regions { munmap(region.map, region.mapped) } }
}

/// The bits of floats; a NaN is a NaN, for IEEE 754 leaves its sign and payload open.
func bits(_ pointer: UnsafePointer<Float>, _ count: Int) -> [UInt32] {
    (0..<count).map { pointer[$0].isNaN ? 0x7fc0_0000 : pointer[$0].bitPattern }
}

/// A quantized row with the given codes.
func row(_ codes: [UInt8], scale: Float, zero: Int32) -> [UInt8] {
    var tail = shrink_qrow_tail(scale: scale, zero: zero, sum: codes.reduce(0) { $0 + Int32($1) }, reserved: 0)
    let padding = [UInt8](repeating: 0, count: shrink_qrow_codes(codes.count) - codes.count)
    return codes + padding + withUnsafeBytes(of: &tail) { Array($0) }
}

func randomCodes(_ count: Int, _ random: inout Randomness) -> [UInt8] {
    let kind = random.int(0...3)
    return (0..<count).map { _ in kind == 0 ? 255 : kind == 1 ? (random.int(0...1) == 0 ? 0 : 255) : UInt8(random.int(0...255)) }
}

/// Weights [n][k] in the packed layout of the header.
func pack(_ w: [[Int8]], k: Int) -> [Int8] {
    let steps = (k + 3) / 4, blocks = (w.count + 31) / 32
    var packed = [Int8](repeating: 0, count: blocks * steps * 128)
    for (o, channel) in w.enumerated() {
        for (i, value) in channel.enumerated() {
            packed[(o / 32 * steps + i / 4) * 128 + o % 32 * 4 + i % 4] = value
        }
    }
    return packed
}

func pack(_ w: [[Float]], k: Int) -> [Float] {
    var packed = [Float](repeating: 0, count: (w.count + 31) / 32 * k * 32)
    for (o, channel) in w.enumerated() {
        for (i, value) in channel.enumerated() { packed[(o / 32 * k + i) * 32 + o % 32] = value }
    }
    return packed
}

let allSets: [shrink_isa] = (0..<SHRINK_ISA_COUNT.rawValue).map { shrink_isa(rawValue: $0) }
let readySets = allSets.filter { shrink_isa_query($0) == SHRINK_ISA_READY }
let scalar: shrink_kernels = shrink_kernels_for(SHRINK_ISA_SCALAR)!.pointee

func name(_ isa: shrink_isa) -> String { String(cString: shrink_isa_name(isa)) }

extension String {
    /// A file of /proc, which has no size to ask for.
    init(contentsOfProcFile path: String) throws {
        guard let file = fopen(path, "r") else { throw UnreadableFile(path: path) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
        self.init(decoding: bytes, as: UTF8.self)
    }
}

struct UnreadableFile: Error { let path: String }
