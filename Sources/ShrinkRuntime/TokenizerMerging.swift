import ShrinkFormat

/// Byte-pair encoding of one word: of all neighbours that may merge, those of the lowest rank do,
/// leftmost first, until none may.
struct BytePairMerger: ~Copyable {
    let tables: TokenizerTables
    private var symbols: TokenizerBuffer<UInt32>
    /// Short words: the rank of each symbol with the next. Long words: what precedes and follows.
    private var ranks: TokenizerBuffer<UInt32>
    private var links: TokenizerBuffer<(previous: UInt32, next: UInt32)>
    private var queue: TokenizerBuffer<UInt64>

    /// Up to here scanning for the lowest rank is quicker than keeping a heap.
    private static var shortWord: Int { 48 }
    private static var none: UInt32 { .max }

    init(tables: TokenizerTables, allocator: Allocator) {
        self.tables = tables
        symbols = TokenizerBuffer(allocator: allocator)
        ranks = TokenizerBuffer(allocator: allocator)
        links = TokenizerBuffer(allocator: allocator)
        queue = TokenizerBuffer(allocator: allocator)
    }

    /// Appends the tokens of `word`; bytes that are no token are left out.
    mutating func encode(_ word: TokenizerText, typeID: UInt32, into output: inout TokenBuffer) throws(RuntimeError) {
        if tables.header.ignoresMerges, let token = wholeToken(word) {
            return try output.append(id: token, typeID: typeID)
        }
        symbols.truncate()
        try symbols.reserve(word.count)
        for i in 0..<word.count {
            let token = tables.token(ofByte: word.base[i])
            if token != TokenizerFormat.noToken { try symbols.append(token) }
        }
        if symbols.count > 1 {
            if symbols.count <= Self.shortWord { try mergeShort() } else { try mergeLong() }
        }
        for i in 0..<symbols.count where symbols[unchecked: i] != Self.none {
            try output.append(id: symbols[unchecked: i], typeID: typeID)
        }
    }

    private func wholeToken(_ word: TokenizerText) -> UInt32? {
        if word.count > Int(tables.header.maximumTokenByteCount) { return nil }
        var hash = TokenizerHash.seed
        for i in 0..<word.count { hash = TokenizerHash.appending(word.base[i], to: hash) }
        return tables.token(bytes: word.base, count: word.count, prefixCount: 0, hash: hash)
    }

    @inline(__always)
    private func rank(_ left: Int, _ right: Int) -> UInt32 {
        tables.rank(symbols[unchecked: left], symbols[unchecked: right]) ?? Self.none
    }

    private mutating func mergeShort() throws(RuntimeError) {
        var count = symbols.count
        try ranks.reserve(count)
        for i in 0..<count &- 1 { ranks[unchecked: i] = rank(i, i &+ 1) }
        while count > 1 {
            var best = 0
            var lowest = ranks[unchecked: 0]
            var i = 1
            while i < count &- 1 {
                if ranks[unchecked: i] < lowest { (best, lowest) = (i, ranks[unchecked: i]) }
                i &+= 1
            }
            if lowest == Self.none { break }
            symbols[unchecked: best] = tables.mergedToken(rank: lowest)
            count &-= 1
            i = best &+ 1
            while i < count {
                symbols[unchecked: i] = symbols[unchecked: i &+ 1]
                ranks[unchecked: i &- 1] = ranks[unchecked: i]
                i &+= 1
            }
            if best > 0 { ranks[unchecked: best &- 1] = rank(best &- 1, best) }
            if best &+ 1 < count { ranks[unchecked: best] = rank(best, best &+ 1) }
        }
        symbols.truncate(to: count)
    }

    /// Symbols as a linked list and a heap of (rank, position); entries that no longer hold are
    /// skipped when they come up. Merged-away symbols become `none`.
    private mutating func mergeLong() throws(RuntimeError) {
        let count = symbols.count
        try links.reserve(count)
        queue.truncate()
        // Each merge takes one entry for good and adds at most two.
        try queue.reserve(count &* 2)
        for i in 0..<count {
            links[unchecked: i] = (
                i == 0 ? Self.none : UInt32(truncatingIfNeeded: i &- 1),
                i &+ 1 == count ? Self.none : UInt32(truncatingIfNeeded: i &+ 1)
            )
            if i &+ 1 < count { try push(i, i &+ 1) }
        }
        while queue.count > 0 {
            let entry = pop()
            let rank = UInt32(truncatingIfNeeded: entry >> 32)
            let position = Int(entry & 0xFFFF_FFFF)
            let next = links[unchecked: position].next
            if symbols[unchecked: position] == Self.none || next == Self.none { continue }
            guard self.rank(position, Int(next)) == rank else { continue }
            symbols[unchecked: position] = tables.mergedToken(rank: rank)
            symbols[unchecked: Int(next)] = Self.none
            let after = links[unchecked: Int(next)].next
            links[unchecked: position].next = after
            if after != Self.none {
                links[unchecked: Int(after)].previous = UInt32(truncatingIfNeeded: position)
                try push(position, Int(after))
            }
            let previous = links[unchecked: position].previous
            if previous != Self.none { try push(Int(previous), position) }
        }
    }

    private mutating func push(_ left: Int, _ right: Int) throws(RuntimeError) {
        let rank = rank(left, right)
        if rank == Self.none { return }
        let entry = UInt64(rank) << 32 | UInt64(left)
        try queue.append(entry)
        var child = queue.count &- 1
        while child > 0 {
            let parent = (child &- 1) / 2
            if queue[unchecked: parent] <= entry { break }
            queue[unchecked: child] = queue[unchecked: parent]
            child = parent
        }
        queue[unchecked: child] = entry
    }

    private mutating func pop() -> UInt64 {
        let top = queue[unchecked: 0]
        let count = queue.count &- 1
        let entry = queue[unchecked: count]
        queue.truncate(to: count)
        var parent = 0
        while true {
            var child = parent &* 2 &+ 1
            if child >= count { break }
            if child &+ 1 < count, queue[unchecked: child &+ 1] < queue[unchecked: child] { child &+= 1 }
            if queue[unchecked: child] >= entry { break }
            queue[unchecked: parent] = queue[unchecked: child]
            parent = child
        }
        if count > 0 { queue[unchecked: parent] = entry }
        return top
    }
}
