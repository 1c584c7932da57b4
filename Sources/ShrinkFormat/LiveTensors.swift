/// What one instruction reads and writes outside the weights.
struct InstructionEffects {
    private(set) var reads = InlineArray<8, Int>(repeating: -1)
    private(set) var readCount = 0
    private(set) var writes = InlineArray<4, Int>(repeating: -1)
    private(set) var writeCount = 0
    /// Bit i: write i may be the same rows as something that is read.
    private var inPlace: UInt8 = 0

    mutating func read(_ tensor: Int) {
        reads[readCount] = tensor
        readCount += 1
    }

    mutating func write(_ tensor: Int, mayReplaceInput: Bool) {
        if mayReplaceInput { inPlace |= 1 << UInt8(writeCount) }
        writes[writeCount] = tensor
        writeCount += 1
    }

    func mayReplaceInput(write: Int) -> Bool { inPlace >> UInt8(write) & 1 == 1 }
}

/// The tensors whose values are in the arena or in the state at one point of an entry point. It
/// finds values that are read before they exist or after something else took their memory, and so
/// checks the memory plan again.
struct LiveTensors {
    private struct Region {
        var tensor: Int
        var storage: TensorStorage
        var begin: UInt64
        var end: UInt64

        init(_ index: Int, _ record: TensorRecord) {
            tensor = index
            storage = record.storage
            begin = record.offset
            end = record.offset &+ record.arenaByteCount
        }

        func overlaps(_ other: Region) -> Bool {
            storage == other.storage && begin < other.end && other.begin < end
        }
    }

    private let regions: UnsafeMutablePointer<Region>
    private let isLive: UnsafeMutablePointer<Bool>
    private let tensorCount: Int
    private var count = 0

    /// Working memory, aligned to 8. Live tensors do not overlap, so there are never more of them
    /// than tensors outside the weights.
    static func byteCount(tensorCount: Int) -> Int {
        tensorCount + min(tensorCount, ProgramVerifier.Limit.arenaTensors) * MemoryLayout<Region>.stride
    }

    init(memory: UnsafeMutableRawPointer, tensorCount: Int) {
        let capacity = min(tensorCount, ProgramVerifier.Limit.arenaTensors)
        regions = memory.bindMemory(to: Region.self, capacity: capacity)
        isLive = (memory + capacity * MemoryLayout<Region>.stride)
            .initializeMemory(as: Bool.self, repeating: false, count: tensorCount)
        self.tensorCount = tensorCount
    }

    mutating func reset() {
        for i in 0..<count { isLive[regions[i].tensor] = false }
        count = 0
    }

    func contains(_ tensor: Int) -> Bool {
        tensor >= 0 && tensor < tensorCount && isLive[tensor]
    }

    mutating func apply(_ effects: InstructionEffects, of index: Int, in program: ProgramView) throws(RuntimeError) {
        func fail(_ message: StaticString) -> RuntimeError { RuntimeError(.invalidArtifact, message, index) }
        for r in 0..<effects.readCount where !contains(effects.reads[r]) {
            throw fail("instruction: it reads a tensor that is not there (never written, or overwritten)")
        }
        for w in 0..<effects.writeCount {
            guard let output = program.tensor(effects.writes[w]) else { throw fail("instruction: no such tensor") }
            for r in 0..<effects.readCount {
                guard let input = program.tensor(effects.reads[r]) else { throw fail("instruction: no such tensor") }
                if output.overlaps(input), !(effects.mayReplaceInput(write: w) && output.coincides(with: input)) {
                    throw fail("instruction: an output overlaps an input")
                }
            }
            for other in 0..<w {
                if let earlier = program.tensor(effects.writes[other]), output.overlaps(earlier) {
                    throw fail("instruction: two outputs overlap")
                }
            }
        }
        for w in 0..<effects.writeCount {
            guard let output = program.tensor(effects.writes[w]) else { continue }
            let region = Region(effects.writes[w], output)
            if output.storage == .state || output.storage == .carry, overlapsLive(region) {
                // It would also change what earlier positions hold, by how the tokens were split.
                throw fail("instruction: state is written twice")
            }
            insert(region)
        }
    }

    private func overlapsLive(_ region: Region) -> Bool {
        for i in 0..<count where regions[i].overlaps(region) { return true }
        return false
    }

    private mutating func insert(_ region: Region) {
        var kept = 0
        for i in 0..<count {
            if regions[i].overlaps(region) {
                isLive[regions[i].tensor] = false
            } else {
                if kept != i { regions[kept] = regions[i] }
                kept += 1
            }
        }
        regions[kept] = region
        count = kept + 1
        isLive[region.tensor] = true
    }
}
