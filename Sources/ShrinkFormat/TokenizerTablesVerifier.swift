extension TokenizerTables {
    /// Checks every number of the tables once; afterwards no lookup can leave them or fail to end.
    public init(verifying bytes: UnsafeRawBufferPointer) throws(TokenizerTablesError) {
        guard bytes.count >= TokenizerFormat.headerByteCount, let base = bytes.baseAddress else {
            throw TokenizerTablesError("the tokenizer tables end inside their header", bytes.count)
        }
        let header = try TokenizerHeader(reading: base)
        let sections = try Self.directory(of: bytes)
        self.init(base: base, header: header, sections: sections)
        try verifyTokens()
        try verifyModel()
        try verifyCharacters()
        try verifyAddedTokens()
        try verifyTemplates()
    }

    private static func directory(
        of bytes: UnsafeRawBufferPointer
    ) throws(TokenizerTablesError) -> InlineArray<21, (offset: Int, byteCount: Int)> {
        var sections = InlineArray<21, (offset: Int, byteCount: Int)>(repeating: (0, 0))
        guard let base = bytes.baseAddress else { return sections }
        var end = TokenizerFormat.headerByteCount
        for i in 0..<TokenizerSection.allCases.count {
            let offset = Int(word(base + 256, i * 2))
            let byteCount = Int(word(base + 256, i * 2 + 1))
            if byteCount == 0 {
                guard offset == 0 else { throw TokenizerTablesError("an absent section has an offset", i) }
                continue
            }
            let aligned = (end + TokenizerFormat.sectionAlignment - 1) & ~(TokenizerFormat.sectionAlignment - 1)
            guard offset == aligned, byteCount <= bytes.count - min(offset, bytes.count) else {
                throw TokenizerTablesError("a section of the tokenizer tables is out of place", i)
            }
            for gap in end..<offset where bytes[gap] != 0 {
                throw TokenizerTablesError("padding between sections is not zero", gap)
            }
            sections[i] = (offset, byteCount)
            end = offset + byteCount
        }
        guard end == bytes.count else { throw TokenizerTablesError("bytes follow the last section of the tokenizer tables", end) }
        return sections
    }

    private func require(_ condition: Bool, _ section: TokenizerSection, _ message: StaticString) throws(TokenizerTablesError) {
        guard condition else { throw TokenizerTablesError(message, section.rawValue) }
    }

    private func byteCount(_ section: TokenizerSection) -> Int { sections[section.rawValue].byteCount }

    /// Whether an id is a token, or (where that is allowed) the mark of no token.
    private func isToken(_ id: UInt32, orNone: Bool = false) -> Bool {
        id < header.vocabularySize || orNone && id == TokenizerFormat.noToken
    }

    private func isScalar(_ value: UInt32) -> Bool { value < 0xD800 || value >= 0xE000 && value < 0x11_0000 }

    private func verifyTokens() throws(TokenizerTablesError) {
        let count = Int(header.vocabularySize)
        let limit = Int(header.maximumTokenByteCount)
        let prefix = bytes(of: .continuingPrefix)
        try require(count > 0 && count <= TokenizerFormat.maximumVocabulary, .tokenOffsets, "the vocabulary is empty or too large")
        try require(limit <= TokenizerFormat.maximumTokenByteCount, .tokenBytes, "the longest token is too long")
        try require(byteCount(.tokenOffsets) == (count + 1) * 4, .tokenOffsets, "the token offsets do not fit the vocabulary")
        try require(byteCount(.tokenFlags) == count, .tokenFlags, "the token flags do not fit the vocabulary")
        var start = Int(Self.word(tokenOffsets, 0))
        try require(start == 0, .tokenOffsets, "the first token does not start at 0")
        for id in 0..<count {
            let end = Int(Self.word(tokenOffsets, id + 1))
            try require(end >= start && end - start <= limit && end <= byteCount(.tokenBytes), .tokenOffsets, "a token is out of range")
            if flags(ofToken: id).contains(.continuing) {
                var matches = end - start >= prefix.count
                for i in 0..<(matches ? prefix.count : 0) where tokenBytes.load(fromByteOffset: start + i, as: UInt8.self) != prefix[i] {
                    matches = false
                }
                try require(matches, .tokenFlags, "a continuing token lacks the prefix")
            }
            start = end
        }
        try require(start == byteCount(.tokenBytes), .tokenBytes, "bytes follow the last token")
        for token in SpecialToken.allCases {
            try require(isToken(header.specialTokens[token.rawValue], orNone: true), .tokenOffsets, "a special token is not in the vocabulary")
        }
        try require(byteCount(.stopTokens) % 4 == 0, .stopTokens, "the stop tokens have no whole number")
        for i in 0..<byteCount(.stopTokens) / 4 {
            let id = Self.word(base + sections[TokenizerSection.stopTokens.rawValue].offset, i)
            try require(isToken(id), .stopTokens, "a stop token is not in the vocabulary")
        }
    }

    private func verifySlots(_ section: TokenizerSection, entries: Int) throws(TokenizerTablesError) {
        let count = byteCount(section) / 4
        try require(byteCount(section) % 4 == 0 && count >= 2 && count & (count - 1) == 0, section, "the slots are no power of two")
        let slots = base + sections[section.rawValue].offset
        for i in 0..<count {
            let entry = Self.word(slots, i)
            try require(entry == 0 || entry & 0xFF_FFFF != 0 && Int(entry & 0xFF_FFFF) <= entries, section, "a slot is out of range")
        }
    }

    private func verifyModel() throws(TokenizerTablesError) {
        switch header.model {
        case .byteLevelBPE:
            try require(byteCount(.byteTokens) == 1024, .byteTokens, "there is no token for each byte")
            for byte in 0..<256 {
                try require(isToken(Self.word(byteTokens, byte), orNone: true), .byteTokens, "the token of a byte is not in the vocabulary")
            }
            let count = byteCount(.merges) / 12
            try require(byteCount(.merges) % 12 == 0 && count < TokenizerFormat.maximumVocabulary, .merges, "the merges have no whole number")
            for i in 0..<count * 3 { try require(isToken(Self.word(merges, i)), .merges, "a merge is not in the vocabulary") }
            try verifySlots(.mergeSlots, entries: count)
            if header.ignoresMerges { try verifySlots(.vocabularySlots, entries: Int(header.vocabularySize)) }
        case .wordPiece:
            try verifySlots(.vocabularySlots, entries: Int(header.vocabularySize))
            try require(isToken(header.specialTokens[SpecialToken.unknown.rawValue]), .vocabularySlots, "WordPiece lacks its unknown token")
            try require(
                header.maximumWordLength <= TokenizerFormat.maximumWordLength, .vocabularySlots, "the longest word is too long")
        }
    }

    private func verifyCharacters() throws(TokenizerTablesError) {
        try require(byteCount(.classIndex) == 0x11_0000 / 128 * 2, .classIndex, "the character classes do not cover all code points")
        let blocks = byteCount(.classBlocks) / 256
        try require(byteCount(.classBlocks) % 256 == 0, .classBlocks, "the character classes have no whole number of blocks")
        for i in 0..<0x11_0000 / 128 { try require(Self.half(classIndex, i) < blocks, .classIndex, "a block is out of range") }
        try verifyMap(.decompositions)
        try verifyMap(.lowercase)

        let compositions = base + sections[TokenizerSection.compositions.rawValue].offset
        try require(byteCount(.compositions) % 12 == 0, .compositions, "the compositions have no whole number")
        for i in 0..<byteCount(.compositions) / 4 {
            try require(isScalar(Self.word(compositions, i)), .compositions, "a composition is no scalar")
        }
        try require(byteCount(.combiningClasses) % 8 == 0, .combiningClasses, "the combining classes have no whole number")

        var seen: UInt32 = 0
        for i in header.normalizerSteps.indices where header.normalizerSteps[i] != 0 {
            let bit = UInt32(1) << UInt32(header.normalizerSteps[i])
            try require(seen & bit == 0, .classBlocks, "a normalizer step occurs twice")
            seen |= bit
        }
        var prefixes = 0
        for i in 0..<header.preTokenizerStageCount {
            let stage = header.preTokenizerStages[i]
            if stage.kind == .prefixSpace { prefixes += 1 }
            try require(
                prefixes <= 1 && (stage.kind != .tiktoken || stage.parameter > 0), .classBlocks, "a pre-tokenizer stage is not valid")
        }
    }

    private func verifyMap(_ section: TokenizerSection) throws(TokenizerTablesError) {
        if byteCount(section) == 0 { return }
        try require(byteCount(section) % 4 == 0, section, "a map has no whole number of words")
        let words = byteCount(section) / 4
        let map = base + sections[section.rawValue].offset
        let count = Int(Self.word(map, 0))
        try require(count <= (words - 1) / 2, section, "a map is larger than its section")
        let scalars = words - 1 - count * 2
        for i in 0..<count {
            let place = Self.word(map, 2 + i * 2)
            let length = Int(place & 0xFF)
            try require(
                length <= TokenizerFormat.maximumMappingLength && Int(place >> 8) + length <= scalars, section, "a mapping is out of range")
        }
        for i in 0..<scalars { try require(isScalar(Self.word(map, 1 + count * 2 + i)), section, "a mapping is to no scalar") }
    }

    private func verifyAddedTokens() throws(TokenizerTablesError) {
        try require(byteCount(.addedTokens) % AddedTokenRecord.byteCount == 0, .addedTokens, "the added tokens have no whole number")
        for i in 0..<addedTokenCount {
            let record = addedToken(i)
            try require(isToken(record.id) && record.flags < 16, .addedTokens, "an added token is not valid")
        }
        try verifyTrie(.addedTrie)
        try verifyTrie(.normalizedAddedTrie)
    }

    /// Children and siblings lie behind their node, siblings ascend and depths are bounded, so that
    /// every walk is short.
    private func verifyTrie(_ section: TokenizerSection) throws(TokenizerTablesError) {
        if byteCount(section) == 0 { return }
        let count = (byteCount(section) - TrieNode.rootByteCount) / TrieNode.byteCount
        try require(
            byteCount(section) >= TrieNode.rootByteCount && byteCount(section) % TrieNode.byteCount == 0, section,
            "a trie has no whole number of nodes")
        let root = base + sections[section.rawValue].offset
        let nodes = root + TrieNode.rootByteCount
        for byte in 0..<256 {
            let child = Int(Self.word(root, byte))
            try require(child == 0 || child < count && Self.word(nodes, child * 4) == UInt32(byte) | 0x100, section, "a trie root is not valid")
        }
        for node in 0..<count {
            let step = Self.word(nodes, node * 4)
            let child = Int(Self.word(nodes, node * 4 + 1))
            let sibling = Int(Self.word(nodes, node * 4 + 2))
            let depth = step >> 8
            try require(
                depth <= UInt32(TokenizerFormat.maximumTokenByteCount)
                    && (child == 0 || child > node && child < count && Self.word(nodes, child * 4) >> 8 == depth + 1)
                    && (sibling == 0
                        || sibling > node && sibling < count && Self.word(nodes, sibling * 4) >> 8 == depth
                            && Self.word(nodes, sibling * 4) > step)
                    && Int(Self.word(nodes, node * 4 + 3)) <= addedTokenCount, section, "a trie node is not valid")
        }
    }

    private func verifyTemplates() throws(TokenizerTablesError) {
        for which in 0..<2 {
            let pair = which == 1
            let section = pair ? TokenizerSection.pairTemplate : .singleTemplate
            let items = templateCount(pair: pair)
            try require(
                byteCount(section) == items * TemplateItem.byteCount && items > 0 && items <= TokenizerFormat.maximumTemplateItems, section,
                "a template is missing or too long")
            for i in 0..<items {
                let kind = base.load(fromByteOffset: sections[section.rawValue].offset + i * TemplateItem.byteCount, as: UInt8.self)
                try require(kind <= 2 && (pair || kind != TemplateItem.Kind.second.rawValue), section, "a template item is not valid")
                try require(
                    kind != TemplateItem.Kind.token.rawValue || isToken(templateItem(i, pair: pair).id), section,
                    "a template token is not in the vocabulary")
            }
        }
        if header.chatTemplate == .chatML {
            try require(special(.chatStart) != nil && special(.chatEnd) != nil, .defaultSystemMessage, "the chat template lacks its tokens")
        }
    }
}
