/// Distinct words, each with how often it occurs, in the order in which they came.
///
/// Memory follows the distinct words: their bytes and about 30 bytes for each.
public struct WordCounts: Sendable {
    private var bytes: [UInt8] = []
    /// Where each word ends in `bytes`.
    private var ends: [Int] = []
    private var hashes: [UInt32] = []
    private var occurrences: [Int] = []
    /// Open addressing: 0, or the index of a word plus one.
    private var slots = [UInt32](repeating: 0, count: 1 << 10)

    public init() {}

    /// Distinct words.
    public var count: Int { ends.count }
    /// Words with repetitions.
    public private(set) var total = 0

    /// - Parameter occurrences: at least 1.
    public mutating func add(_ word: UnsafeBufferPointer<UInt8>, occurrences more: Int = 1) {
        total += more
        // Seeded by the process, so that no file can be made to collide; no result depends on it.
        var hasher = Hasher()
        hasher.combine(bytes: UnsafeRawBufferPointer(word))
        let hash = UInt32(truncatingIfNeeded: hasher.finalize())
        var place = Int(hash) & (slots.count - 1)
        while slots[place] != 0 {
            let index = Int(slots[place]) - 1
            if hashes[index] == hash, isEqual(index, word) {
                occurrences[index] += more
                return
            }
            place = (place + 1) & (slots.count - 1)
        }
        bytes.append(contentsOf: word)
        ends.append(bytes.count)
        hashes.append(hash)
        occurrences.append(more)
        slots[place] = UInt32(ends.count)
        if ends.count * 2 > slots.count { grow() }
    }

    /// Calls `body` with each word and its count.
    func forEach(_ body: (ArraySlice<UInt8>, Int) -> Void) {
        var start = 0
        for (end, count) in zip(ends, occurrences) {
            body(bytes[start..<end], count)
            start = end
        }
    }

    private func isEqual(_ index: Int, _ word: UnsafeBufferPointer<UInt8>) -> Bool {
        let start = index == 0 ? 0 : ends[index - 1]
        guard ends[index] - start == word.count else { return false }
        for i in 0..<word.count where bytes[start + i] != word[i] { return false }
        return true
    }

    private mutating func grow() {
        slots = [UInt32](repeating: 0, count: slots.count * 2)
        for (index, hash) in hashes.enumerated() {
            var place = Int(hash) & (slots.count - 1)
            while slots[place] != 0 { place = (place + 1) & (slots.count - 1) }
            slots[place] = UInt32(index + 1)
        }
    }
}
