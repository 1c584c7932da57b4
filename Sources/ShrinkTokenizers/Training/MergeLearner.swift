/// Learns merges of neighbouring symbols from counted words: again and again the most frequent pair
/// becomes one symbol (Sennrich, Haddow, Birch: Neural Machine Translation of Rare Words with Subword
/// Units, 2016, algorithm 1).
///
/// All words lie in one row of symbols with links to their neighbours, and every pair knows where it
/// occurs, so that a merge costs what it changes: training takes O(n log n) for n symbols in distinct
/// words, and about 40 bytes for each of them.
struct MergeLearner {
    private static let none = UInt32.max

    private var symbols: [UInt32] = []
    private var previous: [UInt32] = []
    private var next: [UInt32] = []
    private var words: [UInt32] = []
    private var weights: [Int] = []

    private var indices: [UInt64: Int] = [:]
    private var pairs: [UInt64] = []
    private var counts: [Int] = []
    /// Positions of left symbols; some may have been merged away since.
    private var occurrences: [[UInt32]] = []
    /// Pairs that have become more frequent since they were last put into the queue.
    private var grown: [Int] = []
    private var isGrown: [Bool] = []
    private var queue = MergeQueue()

    /// Adds a word that occurs `weight` times.
    ///
    /// False, and no change, when the symbols have become too many to be numbered.
    mutating func add(_ word: [UInt32], weight: Int) -> Bool {
        guard word.count > 1 else { return true }
        let start = symbols.count
        guard start + word.count < Int(Self.none) else { return false }
        for (offset, symbol) in word.enumerated() {
            let position = UInt32(start + offset)
            symbols.append(symbol)
            previous.append(offset == 0 ? Self.none : position - 1)
            next.append(offset == word.count - 1 ? Self.none : position + 1)
            words.append(UInt32(weights.count))
        }
        weights.append(weight)
        return true
    }

    /// Learns until `merge` or the text has had enough.
    ///
    /// - Parameters:
    ///   - minimumCount: pairs that are rarer are left alone.
    ///   - merge: gets the two ids of a pair and gives the id of what they become; nil to leave the
    ///     pair alone for good.
    ///   - isDone: asked before every merge.
    mutating func learn(
        minimumCount: Int, isDone: () throws -> Bool, merge: (UInt32, UInt32) -> UInt32?
    ) rethrows {
        for position in symbols.indices where next[position] != Self.none {
            change(symbols[position], symbols[Int(next[position])], by: weights[Int(words[position])], at: UInt32(position))
        }
        enqueueGrown()
        while try !isDone(), let entry = queue.pop() {
            let count = counts[entry.index]
            guard count == entry.count else {
                if count > 0 { queue.push(MergeQueue.Entry(count: count, pair: entry.pair, index: entry.index)) }
                continue
            }
            guard count >= max(minimumCount, 1) else { return }
            let (left, right) = (UInt32(entry.pair >> 32), UInt32(truncatingIfNeeded: entry.pair))
            if let merged = merge(left, right) { apply(left, right, merged, entry.index) }
            // Also where it was left alone: then it never comes up again.
            counts[entry.index] = 0
            enqueueGrown()
        }
    }

    private mutating func apply(_ left: UInt32, _ right: UInt32, _ merged: UInt32, _ index: Int) {
        var positions: [UInt32] = []
        swap(&positions, &occurrences[index])
        // Of overlapping pairs, as in "aaa", the first merges.
        positions.sort()
        for position in positions {
            let first = Int(position)
            guard symbols[first] == left, next[first] != Self.none else { continue }
            let second = Int(next[first])
            guard symbols[second] == right else { continue }
            let weight = weights[Int(words[first])]
            let (before, after) = (previous[first], next[second])
            symbols[first] = merged
            symbols[second] = Self.none
            next[first] = after
            if before != Self.none {
                change(symbols[Int(before)], left, by: -weight, at: before)
                change(symbols[Int(before)], merged, by: weight, at: before)
            }
            if after != Self.none {
                previous[Int(after)] = position
                change(right, symbols[Int(after)], by: -weight, at: position)
                change(merged, symbols[Int(after)], by: weight, at: position)
            }
        }
    }

    private mutating func change(_ left: UInt32, _ right: UInt32, by weight: Int, at position: UInt32) {
        let pair = UInt64(left) << 32 | UInt64(right)
        let index: Int
        if let known = indices[pair] {
            index = known
        } else {
            index = pairs.count
            indices[pair] = index
            pairs.append(pair)
            counts.append(0)
            occurrences.append([])
            isGrown.append(false)
        }
        counts[index] += weight
        if weight > 0 {
            occurrences[index].append(position)
            if !isGrown[index] { grown.append(index) }
            isGrown[index] = true
        }
    }

    private mutating func enqueueGrown() {
        for index in grown {
            isGrown[index] = false
            if counts[index] > 0 { queue.push(MergeQueue.Entry(count: counts[index], pair: pairs[index], index: index)) }
        }
        grown.removeAll(keepingCapacity: true)
    }
}
