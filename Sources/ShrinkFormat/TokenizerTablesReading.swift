/// Verified tokenizer tables, used in place. Copies share the bytes, which must outlive them.
public struct TokenizerTables: @unchecked Sendable {
    public let header: TokenizerHeader
    public let addedTokenCount: Int
    let base: UnsafeRawPointer
    let sections: InlineArray<21, (offset: Int, byteCount: Int)>
    // The sections that are read for every character or word.
    let tokenOffsets: UnsafeRawPointer
    let tokenBytes: UnsafeRawPointer
    let tokenFlags: UnsafeRawPointer
    let classIndex: UnsafeRawPointer
    let classBlocks: UnsafeRawPointer
    let merges: UnsafeRawPointer
    let mergeSlots: UnsafeRawPointer
    let mergeShift: UInt64
    let mergeMask: Int
    let vocabularySlots: UnsafeRawPointer
    let vocabularyShift: UInt64
    let vocabularyMask: Int
    let byteTokens: UnsafeRawPointer

    /// Takes a directory that the verifier has checked against the size of the bytes.
    init(base: UnsafeRawPointer, header: TokenizerHeader, sections: InlineArray<21, (offset: Int, byteCount: Int)>) {
        func pointer(_ section: TokenizerSection) -> UnsafeRawPointer { base + sections[section.rawValue].offset }
        func slots(_ section: TokenizerSection) -> (shift: UInt64, mask: Int) {
            let count = sections[section.rawValue].byteCount / 4
            return count == 0 ? (63, 0) : (UInt64(64 - count.trailingZeroBitCount), count - 1)
        }
        self.base = base
        self.header = header
        self.sections = sections
        addedTokenCount = sections[TokenizerSection.addedTokens.rawValue].byteCount / AddedTokenRecord.byteCount
        tokenOffsets = pointer(.tokenOffsets)
        tokenBytes = pointer(.tokenBytes)
        tokenFlags = pointer(.tokenFlags)
        classIndex = pointer(.classIndex)
        classBlocks = pointer(.classBlocks)
        merges = pointer(.merges)
        mergeSlots = pointer(.mergeSlots)
        (mergeShift, mergeMask) = slots(.mergeSlots)
        vocabularySlots = pointer(.vocabularySlots)
        (vocabularyShift, vocabularyMask) = slots(.vocabularySlots)
        byteTokens = pointer(.byteTokens)
    }

    @inline(__always) static func word(_ base: UnsafeRawPointer, _ index: Int) -> UInt32 {
        UInt32(littleEndian: base.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self))
    }

    @inline(__always) static func half(_ base: UnsafeRawPointer, _ index: Int) -> Int {
        Int(UInt16(littleEndian: base.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self)))
    }

    public func bytes(of section: TokenizerSection) -> UnsafeRawBufferPointer {
        let place = sections[section.rawValue]
        return UnsafeRawBufferPointer(start: base + place.offset, count: place.byteCount)
    }
}

// Tokens.
extension TokenizerTables {
    @inline(__always) public func contains(_ id: UInt32) -> Bool { id < header.vocabularySize }

    /// The bytes of a token, for ids below the vocabulary size.
    @inline(__always) public func bytes(ofToken id: Int) -> UnsafeRawBufferPointer {
        let start = Int(Self.word(tokenOffsets, id))
        return UnsafeRawBufferPointer(start: tokenBytes + start, count: Int(Self.word(tokenOffsets, id &+ 1)) &- start)
    }

    @inline(__always) public func flags(ofToken id: Int) -> TokenFlags {
        TokenFlags(rawValue: tokenFlags.load(fromByteOffset: id, as: UInt8.self))
    }

    @inline(__always) public func token(ofByte byte: UInt8) -> UInt32 { Self.word(byteTokens, Int(byte)) }

    public func special(_ token: SpecialToken) -> UInt32? {
        let id = header.specialTokens[token.rawValue]
        return id == TokenizerFormat.noToken ? nil : id
    }

    public func isStop(_ id: UInt32) -> Bool {
        let stops = bytes(of: .stopTokens)
        guard let base = stops.baseAddress else { return false }
        for i in 0..<stops.count / 4 where Self.word(base, i) == id { return true }
        return false
    }

    /// The token that is `prefixCount` bytes of the prefix of continuing pieces and then these bytes;
    /// `hash` is the FNV-1a of all of that.
    @inline(__always)
    public func token(bytes: UnsafePointer<UInt8>, count: Int, prefixCount: Int, hash: UInt64) -> UInt32? {
        let mixed = TokenizerHash.mixed(hash)
        let fingerprint = TokenizerHash.fingerprint(mixed)
        var slot = Int(truncatingIfNeeded: mixed >> vocabularyShift) & vocabularyMask
        for _ in 0..<TokenizerFormat.maximumProbes {
            let entry = Self.word(vocabularySlots, slot)
            if entry == 0 { return nil }
            if entry >> 24 == fingerprint {
                let id = Int(entry & 0xFF_FFFF) &- 1
                let candidate = self.bytes(ofToken: id)
                if candidate.count == count &+ prefixCount, prefixCount == 0 || flags(ofToken: id).contains(.continuing) {
                    var i = 0
                    while i < count, candidate[i &+ prefixCount] == bytes[i] { i &+= 1 }
                    if i == count { return UInt32(truncatingIfNeeded: id) }
                }
            }
            slot = (slot &+ 1) & vocabularyMask
        }
        return nil
    }

    /// The rank of the merge of two tokens; nil when they do not merge.
    @inline(__always) public func rank(_ left: UInt32, _ right: UInt32) -> UInt32? {
        let mixed = TokenizerHash.mixed(TokenizerHash.pair(left, right))
        let fingerprint = TokenizerHash.fingerprint(mixed)
        var slot = Int(truncatingIfNeeded: mixed >> mergeShift) & mergeMask
        for _ in 0..<TokenizerFormat.maximumProbes {
            let entry = Self.word(mergeSlots, slot)
            if entry == 0 { return nil }
            if entry >> 24 == fingerprint {
                let rank = Int(entry & 0xFF_FFFF) &- 1
                if Self.word(merges, rank &* 3) == left, Self.word(merges, rank &* 3 &+ 1) == right {
                    return UInt32(truncatingIfNeeded: rank)
                }
            }
            slot = (slot &+ 1) & mergeMask
        }
        return nil
    }

    @inline(__always) public func mergedToken(rank: UInt32) -> UInt32 { Self.word(merges, Int(rank) &* 3 &+ 2) }
}

// Characters. Scalars are below 0x110000.
extension TokenizerTables {
    @inline(__always) public func characterClass(_ scalar: UInt32) -> CharacterClass {
        let block = Self.half(classIndex, Int(scalar >> 7))
        return CharacterClass(rawValue: UInt16(truncatingIfNeeded: Self.half(classBlocks, block &<< 7 | Int(scalar & 127))))
    }

    /// Where in `section` the scalars begin that `scalar` maps to, and how many; nil without an entry.
    public func mapping(of scalar: UInt32, in section: TokenizerSection) -> UnsafeRawBufferPointer? {
        guard let map = bytes(of: section).baseAddress, sections[section.rawValue].byteCount > 0 else { return nil }
        let count = Int(Self.word(map, 0))
        var (low, high) = (0, count)
        while low < high {
            let middle = (low &+ high) / 2
            if Self.word(map, 1 &+ middle &* 2) < scalar { low = middle &+ 1 } else { high = middle }
        }
        guard low < count, Self.word(map, 1 &+ low &* 2) == scalar else { return nil }
        let place = Self.word(map, 2 &+ low &* 2)
        return UnsafeRawBufferPointer(
            start: map + (1 &+ count &* 2 &+ Int(place >> 8)) &* 4, count: Int(place & 0xFF) &* 4)
    }

    /// The scalar that two compose to by the table; Hangul is computed elsewhere.
    public func composite(_ first: UInt32, _ second: UInt32) -> UInt32? {
        let table = bytes(of: .compositions)
        guard let base = table.baseAddress else { return nil }
        let key = UInt64(first) << 32 | UInt64(second)
        var (low, high) = (0, table.count / 12)
        while low < high {
            let middle = (low &+ high) / 2
            let candidate = UInt64(Self.word(base, middle &* 3)) << 32 | UInt64(Self.word(base, middle &* 3 &+ 1))
            if candidate == key { return Self.word(base, middle &* 3 &+ 2) }
            if candidate < key { low = middle &+ 1 } else { high = middle }
        }
        return nil
    }

    public func combiningClass(_ scalar: UInt32) -> UInt8 {
        let table = bytes(of: .combiningClasses)
        guard let base = table.baseAddress else { return 0 }
        var (low, high) = (0, table.count / 8)
        while low < high {
            let middle = (low &+ high) / 2
            if Self.word(base, middle &* 2 &+ 1) >> 8 < scalar { low = middle &+ 1 } else { high = middle }
        }
        guard low < table.count / 8, Self.word(base, low &* 2) <= scalar else { return 0 }
        return UInt8(truncatingIfNeeded: Self.word(base, low &* 2 &+ 1))
    }
}

// Added tokens and templates.
extension TokenizerTables {
    public func addedToken(_ index: Int) -> AddedTokenRecord {
        let base = bytes(of: .addedTokens).baseAddress ?? self.base
        return AddedTokenRecord(id: Self.word(base, index &* 2), flags: Self.word(base, index &* 2 &+ 1))
    }

    /// Whether a trie has any token at all.
    public func hasTokens(in trie: TokenizerSection) -> Bool { sections[trie.rawValue].byteCount > 0 }

    /// The longest added token of `trie` that starts at `start`: its index and where it ends.
    @inline(__always)
    public func longestAddedToken(
        in trie: TokenizerSection, _ text: UnsafePointer<UInt8>, from start: Int, count: Int
    ) -> (index: Int, end: Int)? {
        let root = base + sections[trie.rawValue].offset
        var node = Int(Self.word(root, Int(text[start])))
        if node == 0 { return nil }
        let nodes = root + TrieNode.rootByteCount
        var best: (index: Int, end: Int)?
        var position = start &+ 1
        while true {
            let value = Self.word(nodes, node &* 4 &+ 3)
            if value != 0 { best = (Int(value) &- 1, position) }
            guard position < count else { return best }
            let byte = UInt32(text[position])
            var child = Int(Self.word(nodes, node &* 4 &+ 1))
            while child != 0, Self.word(nodes, child &* 4) & 0xFF != byte { child = Int(Self.word(nodes, child &* 4 &+ 2)) }
            if child == 0 { return best }
            node = child
            position &+= 1
        }
    }

    public func templateCount(pair: Bool) -> Int {
        sections[(pair ? TokenizerSection.pairTemplate : .singleTemplate).rawValue].byteCount / TemplateItem.byteCount
    }

    public func templateItem(_ index: Int, pair: Bool) -> TemplateItem {
        let base = self.base + sections[(pair ? TokenizerSection.pairTemplate : .singleTemplate).rawValue].offset
        let word = Self.word(base, index &* 2)
        return TemplateItem(
            TemplateItem.Kind(rawValue: UInt8(truncatingIfNeeded: word)) ?? .token,
            typeID: UInt8(truncatingIfNeeded: word >> 8), id: Self.word(base, index &* 2 &+ 1))
    }
}
