import ShrinkFormat

/// Canonical decomposition, ordering and composition of a stretch of characters that does not
/// interact with its neighbours (Unicode Standard, section 3.11, D108–D117).
struct CanonicalSegment: ~Copyable {
    /// Decomposed characters, combining class in the top byte.
    private var scalars: TokenizerBuffer<UInt32>
    private var sorted: TokenizerBuffer<UInt32>

    init(allocator: Allocator) {
        scalars = TokenizerBuffer(allocator: allocator)
        sorted = TokenizerBuffer(allocator: allocator)
    }

    /// Appends the full decomposition of a character.
    mutating func append(_ scalar: UInt32, _ kind: CharacterClass, tables: TokenizerTables) throws(RuntimeError) {
        if kind.contains(.decomposes) {
            if scalar >= Hangul.firstSyllable, scalar <= Hangul.lastSyllable {
                let index = scalar - Hangul.firstSyllable
                try scalars.append(Hangul.firstLead + index / Hangul.trailPairCount)
                try scalars.append(Hangul.firstVowel + index % Hangul.trailPairCount / Hangul.trailCount)
                if index % Hangul.trailCount > 0 { try scalars.append(Hangul.beforeTrails + index % Hangul.trailCount) }
                return
            }
            if let image = tables.mapping(of: scalar, in: .decompositions) {
                for i in 0..<image.count / 4 {
                    let part = UInt32(littleEndian: image.loadUnaligned(fromByteOffset: i &* 4, as: UInt32.self))
                    try scalars.append(part | combiningClass(part, tables.characterClass(part), tables) << 24)
                }
                return
            }
        }
        try scalars.append(scalar | combiningClass(scalar, kind, tables) << 24)
    }

    private func combiningClass(_ scalar: UInt32, _ kind: CharacterClass, _ tables: TokenizerTables) -> UInt32 {
        kind.contains(.combining) ? UInt32(tables.combiningClass(scalar)) : 0
    }

    /// Writes what has been appended, in canonical order, and starts again.
    mutating func flush(composing: Bool, tables: TokenizerTables, into output: inout TokenizerBuffer<UInt8>) throws(RuntimeError) {
        if scalars.count == 0 { return }
        try order()
        if composing { compose(tables) }
        for i in 0..<scalars.count { try output.appendScalar(scalars[unchecked: i] & 0x1F_FFFF) }
        scalars.truncate()
    }

    /// Sorts each run of non-starters by class, keeping equals in order.
    private mutating func order() throws(RuntimeError) {
        var start = 0
        while start < scalars.count {
            if scalars[unchecked: start] >> 24 == 0 {
                start &+= 1
                continue
            }
            var end = start &+ 1
            while end < scalars.count, scalars[unchecked: end] >> 24 != 0 { end &+= 1 }
            if end &- start <= 16 { insertionSort(start, end) } else { try countingSort(start, end) }
            start = end
        }
    }

    private mutating func insertionSort(_ start: Int, _ end: Int) {
        var i = start &+ 1
        while i < end {
            let item = scalars[unchecked: i]
            var j = i
            while j > start, scalars[unchecked: j &- 1] >> 24 > item >> 24 {
                scalars[unchecked: j] = scalars[unchecked: j &- 1]
                j &-= 1
            }
            scalars[unchecked: j] = item
            i &+= 1
        }
    }

    private mutating func countingSort(_ start: Int, _ end: Int) throws(RuntimeError) {
        try sorted.reserve(end &- start)
        var places = InlineArray<256, Int>(repeating: 0)
        for i in start..<end { places[Int(scalars[unchecked: i] >> 24)] &+= 1 }
        var sum = 0
        for i in 0..<256 {
            let count = places[i]
            places[i] = sum
            sum &+= count
        }
        for i in start..<end {
            let item = scalars[unchecked: i]
            let place = places[Int(item >> 24)]
            sorted[unchecked: place] = item
            places[Int(item >> 24)] = place &+ 1
        }
        for i in start..<end { scalars[unchecked: i] = sorted[unchecked: i &- start] }
    }

    private mutating func compose(_ tables: TokenizerTables) {
        var (starter, written) = (-1, 0)
        // The class of the last character kept after the starter; nil right after the starter.
        var last: UInt32?
        for i in 0..<scalars.count {
            let item = scalars[unchecked: i]
            let itemClass = item >> 24
            if starter >= 0, last.map({ $0 < itemClass }) ?? true,
                let composite = Self.composite(scalars[unchecked: starter], item & 0x1F_FFFF, tables)
            {
                scalars[unchecked: starter] = composite
                continue
            }
            if itemClass == 0 {
                starter = written
                last = nil
            } else {
                last = itemClass
            }
            scalars[unchecked: written] = item
            written &+= 1
        }
        scalars.truncate(to: written)
    }

    private static func composite(_ first: UInt32, _ second: UInt32, _ tables: TokenizerTables) -> UInt32? {
        let lead = first &- Hangul.firstLead
        let vowel = second &- Hangul.firstVowel
        if lead < Hangul.leadCount, vowel < Hangul.vowelCount {
            return Hangul.firstSyllable + lead * Hangul.trailPairCount + vowel * Hangul.trailCount
        }
        let syllable = first &- Hangul.firstSyllable
        let trail = second &- Hangul.beforeTrails
        if first >= Hangul.firstSyllable, first <= Hangul.lastSyllable, syllable % Hangul.trailCount == 0,
            trail > 0, trail < Hangul.trailCount
        {
            return first + trail
        }
        return tables.composite(first, second)
    }
}

/// Hangul syllables are computed (Unicode Standard, section 3.12).
private enum Hangul {
    static var firstSyllable: UInt32 { 0xAC00 }
    static var lastSyllable: UInt32 { 0xD7A3 }
    static var firstLead: UInt32 { 0x1100 }
    static var firstVowel: UInt32 { 0x1161 }
    static var beforeTrails: UInt32 { 0x11A7 }
    static var leadCount: UInt32 { 19 }
    static var vowelCount: UInt32 { 21 }
    static var trailCount: UInt32 { 28 }
    static var trailPairCount: UInt32 { 588 }
}
