import CShrinkKernels
import ShrinkFormat

/// How the next token is chosen.
public struct SamplerOptions: Sendable {
    /// 0: always the most likely token.
    public var temperature: Float = 0
    /// Only the most likely ones are drawn from; 0: all.
    public var topK = 0
    /// Of those, only the most likely ones that together reach this probability; 1: all.
    public var topP: Float = 1
    public var seed: UInt64 = 0

    public init() {}

    func check() throws(RuntimeError) {
        guard temperature.isFinite, temperature >= 0 else {
            throw RuntimeError(.invalidArgument, "the temperature is not a number from 0 up")
        }
        guard topP > 0, topP <= 1 else { throw RuntimeError(.invalidArgument, "top-p is not above 0 and at most 1") }
        guard topK >= 0 else { throw RuntimeError(.invalidArgument, "top-k is negative", topK) }
    }
}

/// Chooses tokens from logits: divided by the temperature, the `topK` largest, their softmax, the
/// shortest run of the most likely with at least `topP`, one of them in proportion. Equal logits are
/// in the order of their ids. The same logits and seed give the same tokens on every instruction set.
public struct Sampler: ~Copyable {
    private var options: SamplerOptions
    private let count: Int
    private let memory: RawMemory
    private let kernels: UnsafePointer<shrink_kernels>
    private var random: RandomSource

    /// For logits of `vocabularySize` tokens. Throws `invalidArgument` for options out of range,
    /// `outOfMemory`.
    public init(
        vocabularySize: Int, options: SamplerOptions, allocator: Allocator = .system
    ) throws(RuntimeError) {
        try options.check()
        guard vocabularySize >= 1, vocabularySize <= ProgramVerifier.Limit.rows else {
            throw RuntimeError(.invalidArgument, "the vocabulary size is out of range", vocabularySize)
        }
        let kernels = try InstructionSet.best.kernels()
        let memory = try RawMemory(byteCount: Self.byteCount(vocabularySize: vocabularySize), from: allocator)
        self.options = options
        count = vocabularySize
        self.kernels = kernels
        self.memory = memory
        random = RandomSource(seed: options.seed)
    }

    /// Chooses by other options from now on, with random numbers from their seed on. Throws `invalidArgument`.
    public mutating func restart(_ options: SamplerOptions) throws(RuntimeError) {
        try options.check()
        self.options = options
        random = RandomSource(seed: options.seed)
    }

    /// Exactly what a sampler asks the allocator for, in bytes.
    public static func byteCount(vocabularySize: Int) -> Int { vocabularySize * 12 }

    private var values: UnsafeMutablePointer<Float> { memory.base.assumingMemoryBound(to: Float.self) }
    private var probabilities: UnsafeMutablePointer<Float> { values + count }
    private var ids: UnsafeMutablePointer<UInt32> {
        (memory.base + count * 8).assumingMemoryBound(to: UInt32.self)
    }

    /// The next token. Throws `invalidArgument` when there are not as many logits as tokens. NaN
    /// counts as the least likely.
    public mutating func sample(_ logits: UnsafeBufferPointer<Float>) throws(RuntimeError) -> UInt32 {
        guard logits.count == count else {
            throw RuntimeError(.invalidArgument, "not as many logits as the vocabulary has tokens", logits.count)
        }
        if options.temperature == 0 { return mostLikely(logits) }
        // Relative to the largest, so that a tiny temperature cannot make different logits equal.
        let largest = Self.finite(logits[Int(mostLikely(logits))])
        for i in 0..<count { values[i] = Self.finite((Self.finite(logits[i]) - largest) / options.temperature) }
        let limit = options.topK == 0 ? count : min(options.topK, count)
        if limit == count && options.topP == 1 {
            for i in 0..<count {
                probabilities[i] = values[i]
                ids[i] = UInt32(truncatingIfNeeded: i)
            }
            kernels.pointee.softmax(probabilities, count)
            return ids[draw(count, mass: 1)]
        }
        return sampleMostLikely(limit)
    }

    private func mostLikely(_ logits: UnsafeBufferPointer<Float>) -> UInt32 {
        var best = 0
        for i in 1..<max(count, 1) where Self.finite(logits[i]) > Self.finite(logits[best]) { best = i }
        return UInt32(truncatingIfNeeded: best)
    }

    private static func finite(_ x: Float) -> Float {
        x.isNaN ? -.greatestFiniteMagnitude : max(-.greatestFiniteMagnitude, min(.greatestFiniteMagnitude, x))
    }

    /// Takes tokens from a heap, most likely first, until `limit` or `topP` is reached.
    private mutating func sampleMostLikely(_ limit: Int) -> UInt32 {
        let isWhole = limit == count
        if isWhole {
            for i in 0..<count { probabilities[i] = values[i] }
            kernels.pointee.softmax(probabilities, count)
        }
        for i in 0..<count { ids[i] = UInt32(truncatingIfNeeded: i) }
        for i in stride(from: count / 2 - 1, through: 0, by: -1) { siftDown(i, count) }

        // The heap shrinks from the end, and what leaves it goes there: ids[count - 1], ids[count - 2] …
        var taken = 0
        var mass: Float = 0
        while taken < limit, !isWhole || mass < options.topP {
            let last = count - 1 - taken
            let id = ids[0]
            ids[0] = ids[last]
            ids[last] = id
            siftDown(0, last)
            taken += 1
            if isWhole { mass += probabilities[Int(id)] }
        }
        // From here on in order of likelihood; the values are not needed any more in order of ids.
        for i in 0..<(taken / 2) {
            let (a, b) = (count - 1 - i, count - taken + i)
            (ids[a], ids[b]) = (ids[b], ids[a])
        }
        let first = count - taken
        if isWhole {
            for i in 0..<taken { values[i] = probabilities[Int(ids[first + i])] }
            for i in 0..<taken { probabilities[i] = values[i] }
        } else {
            for i in 0..<taken { probabilities[i] = values[Int(ids[first + i])] }
            kernels.pointee.softmax(probabilities, taken)
            mass = 0
            var kept = 0
            while kept < taken, kept == 0 || mass < options.topP {
                mass += probabilities[kept]
                kept += 1
            }
            taken = kept
        }
        return ids[first + draw(taken, mass: mass)]
    }

    private func isMoreLikely(_ a: UInt32, _ b: UInt32) -> Bool {
        let (x, y) = (values[Int(a)], values[Int(b)])
        return x > y || (x == y && a < b)
    }

    private func siftDown(_ start: Int, _ end: Int) {
        var parent = start
        while true {
            var child = 2 * parent + 1
            if child >= end { return }
            if child + 1 < end, isMoreLikely(ids[child + 1], ids[child]) { child += 1 }
            if !isMoreLikely(ids[child], ids[parent]) { return }
            (ids[child], ids[parent]) = (ids[parent], ids[child])
            parent = child
        }
    }

    /// An index into the first `n` probabilities, whose sum is about `mass`.
    private mutating func draw(_ n: Int, mass: Float) -> Int {
        let target = random.nextUnit() * mass
        var sum: Float = 0
        for i in 0..<n {
            sum += probabilities[i]
            if sum > target { return i }
        }
        // Rounding left the sum below the target: the last one that can be drawn at all.
        var last = n - 1
        while last > 0, !(probabilities[last] > 0) { last -= 1 }
        return last
    }
}
