/// A heap of pairs of neighbours: the most frequent comes first, of equal ones that of the smaller
/// left id, then of the smaller right id.
struct MergeQueue {
    struct Entry {
        var count: Int
        /// The left id in the upper half, the right id in the lower.
        var pair: UInt64
        /// Where the pair is kept.
        var index: Int

        @inline(__always)
        func precedes(_ other: Entry) -> Bool { count != other.count ? count > other.count : pair < other.pair }
    }

    private var entries: [Entry] = []

    mutating func push(_ entry: Entry) {
        entries.append(entry)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entry.precedes(entries[parent]) else { break }
            entries[child] = entries[parent]
            child = parent
        }
        entries[child] = entry
    }

    mutating func pop() -> Entry? {
        guard let top = entries.first, let last = entries.popLast() else { return nil }
        if entries.isEmpty { return top }
        var parent = 0
        while true {
            var child = parent * 2 + 1
            if child >= entries.count { break }
            if child + 1 < entries.count, entries[child + 1].precedes(entries[child]) { child += 1 }
            guard entries[child].precedes(last) else { break }
            entries[parent] = entries[child]
            parent = child
        }
        entries[parent] = last
        return top
    }
}
