import ShrinkFormat

extension TokenizerDefinition {
    /// The `tokenizer` entry of an artifact; see `TokenizerFormat`. Equal definitions give equal bytes.
    ///
    /// Throws when the vocabulary cannot be hashed within the format's limits.
    public func encodedTables() throws(TokenizerError) -> [UInt8] {
        var writer = TokenizerTableWriter()
        try writer.write(self)
        return writer.finish()
    }
}

private struct TokenizerTableWriter {
    var header = TokenizerHeader()
    var sections = [[UInt8]](repeating: [], count: TokenizerSection.allCases.count)

    mutating func write(_ definition: TokenizerDefinition) throws(TokenizerError) {
        guard !definition.tokens.isEmpty, definition.tokens.count <= TokenizerFormat.maximumVocabulary else {
            throw TokenizerError(
                file: definition.file, "a vocabulary of \(definition.tokens.count) tokens; 1 to \(TokenizerFormat.maximumVocabulary) are supported")
        }
        if let stop = definition.stopTokens.first(where: { !definition.tokens.indices.contains($0) }) {
            throw TokenizerError(file: definition.file, "the stop token \(stop) is not in the vocabulary")
        }
        header.vocabularySize = UInt32(definition.tokens.count)
        header.truncationLength = UInt32(definition.truncationLength ?? 0)
        for (role, id) in definition.specialTokens { header.specialTokens[role.rawValue] = UInt32(id) }
        for (i, step) in definition.normalizer.enumerated() { header.normalizerSteps[i] = step.rawValue }
        header.preTokenizerStageCount = definition.preTokenizer.count
        for (i, stage) in definition.preTokenizer.enumerated() { header.preTokenizerStages[i] = stage }
        if case .chatML(_, let message) = definition.chat {
            header.chatTemplate = .chatML
            self[.defaultSystemMessage] = Array(message.utf8)
        }
        try writeTokens(definition)
        try writeModel(definition)
        writeCharacters(definition)
        writeAddedTokens(definition)
        append(definition.stopTokens.map { UInt32($0) }, to: .stopTokens)
        for (section, template) in [(TokenizerSection.singleTemplate, definition.singleTemplate), (.pairTemplate, definition.pairTemplate)] {
            append(template.flatMap { [UInt32($0.kind.rawValue) | UInt32($0.typeID) << 8, $0.id] }, to: section)
        }
    }

    private subscript(section: TokenizerSection) -> [UInt8] {
        get { sections[section.rawValue] }
        set { sections[section.rawValue] = newValue }
    }

    private mutating func append<T: FixedWidthInteger>(_ values: [T], to section: TokenizerSection) {
        for value in values { withUnsafeBytes(of: value.littleEndian) { self.sections[section.rawValue] += $0 } }
    }

    private mutating func writeTokens(_ definition: TokenizerDefinition) throws(TokenizerError) {
        guard definition.tokens.reduce(0, { $0 + ($1?.bytes.count ?? 0) }) < 1 << 30 else {
            throw TokenizerError(file: definition.file, "the vocabulary has more than 1 GiB of text")
        }
        var offsets: [UInt32] = [0]
        for token in definition.tokens {
            self[.tokenBytes] += token?.bytes ?? []
            self[.tokenFlags].append((token?.flags ?? .absent).rawValue)
            offsets.append(UInt32(self[.tokenBytes].count))
        }
        append(offsets, to: .tokenOffsets)
        header.maximumTokenByteCount = UInt32(definition.tokens.map { $0?.bytes.count ?? 0 }.max() ?? 0)
    }

    private mutating func writeModel(_ definition: TokenizerDefinition) throws(TokenizerError) {
        var looksUp = true
        switch definition.model {
        case .bytePair(let merges, let byteTokens, let ignoresMerges):
            header.model = .byteLevelBPE
            header.ignoresMerges = ignoresMerges
            looksUp = ignoresMerges
            append(byteTokens, to: .byteTokens)
            append(merges.flatMap { [$0.left, $0.right, $0.merged] }, to: .merges)
            // A pair that occurs twice has its last rank.
            var ranks: [UInt64: Int] = [:]
            for (rank, merge) in merges.enumerated() { ranks[UInt64(merge.left) << 32 | UInt64(merge.right)] = rank }
            let kept = merges.enumerated().filter { ranks[UInt64($1.left) << 32 | UInt64($1.right)] == $0 }
            append(
                try slots(kept.map { (TokenizerHash.pair($1.left, $1.right), $0) }, "merges", definition.file), to: .mergeSlots)
        case .wordPiece(let prefix, let maximumWordLength):
            header.model = .wordPiece
            header.maximumWordLength = UInt32(maximumWordLength)
            self[.continuingPrefix] = prefix
        }
        if looksUp {
            let hashes = definition.tokens.enumerated().compactMap { id, token in
                token.flatMap { $0.isLookedUp ? ($0.bytes.reduce(TokenizerHash.seed) { TokenizerHash.appending($1, to: $0) }, id) : nil }
            }
            append(try slots(hashes, "tokens", definition.file), to: .vocabularySlots)
        }
    }

    /// Open addressing in the smallest power of two that is at most two thirds full and needs no more
    /// probes than the format allows.
    private func slots(_ entries: [(hash: UInt64, index: Int)], _ what: String, _ file: String) throws(TokenizerError) -> [UInt32] {
        var bits = 3
        while (1 << bits) * 2 < entries.count * 3 { bits += 1 }
        search: while bits <= 28 {
            var slots = [UInt32](repeating: 0, count: 1 << bits)
            for (hash, index) in entries {
                let mixed = TokenizerHash.mixed(hash)
                var place = Int(truncatingIfNeeded: mixed >> UInt64(64 - bits))
                var probes = 1
                while slots[place] != 0 {
                    place = (place + 1) & (slots.count - 1)
                    probes += 1
                    if probes > TokenizerFormat.maximumProbes {
                        bits += 1
                        continue search
                    }
                }
                slots[place] = TokenizerHash.fingerprint(mixed) << 24 | UInt32(index + 1)
            }
            return slots
        }
        throw TokenizerError(file: file, "the \(what) collide too often to be stored; is the file made up?")
    }

    private mutating func writeCharacters(_ definition: TokenizerDefinition) {
        var used: CharacterClass = []
        for step in definition.normalizer {
            switch step {
            case .cleanText: used.formUnion([.control, .whitespace])
            case .padIdeographs: used.insert(.ideograph)
            case .decompose: used.formUnion([.decomposes, .combining])
            case .compose: used.formUnion([.decomposes, .combining, .mayChangeInNFC])
            case .removeNonspacingMarks: used.insert(.nonspacingMark)
            case .removeMarks: used.insert(.mark)
            case .lowercase: used.insert(.hasLowercase)
            }
        }
        for stage in definition.preTokenizer {
            switch stage.kind {
            case .bert: used.formUnion([.whitespace, .punctuation])
            case .whitespaceSplit: used.insert(.whitespace)
            case .words: used.formUnion([.whitespace, .word])
            case .digits: used.insert(.numeric)
            case .gpt2, .tiktoken: used.formUnion([.letter, .number, .whitespace])
            case .prefixSpace: break
            }
        }
        for token in definition.addedTokens {
            if token.isSingleWord { used.insert(.word) }
            if token.stripsLeft || token.stripsRight { used.insert(.whitespace) }
        }
        let classes = CharacterClassTables(used: used)
        append(classes.index, to: .classIndex)
        append(classes.blocks, to: .classBlocks)

        let unicode = UnicodeTables.shared
        if used.contains(.decomposes) {
            append(map(unicode.decompositions), to: .decompositions)
            append(
                unicode.combiningClasses.flatMap { [$0.range.lowerBound, $0.range.upperBound << 8 | UInt32($0.class)] },
                to: .combiningClasses)
        }
        if used.contains(.hasLowercase) { append(map(unicode.lowercase), to: .lowercase) }
        if used.contains(.mayChangeInNFC) {
            let sorted = unicode.compositions.sorted { ($0.key.first, $0.key.second) < ($1.key.first, $1.key.second) }
            append(sorted.flatMap { [$0.key.first, $0.key.second, $0.value] }, to: .compositions)
        }
    }

    private func map(_ mappings: [UInt32: [UInt32]]) -> [UInt32] {
        var (entries, scalars): ([UInt32], [UInt32]) = ([], [])
        for (scalar, image) in mappings.sorted(by: { $0.key < $1.key }) {
            entries += [scalar, UInt32(scalars.count) << 8 | UInt32(image.count)]
            scalars += image
        }
        return [UInt32(mappings.count)] + entries + scalars
    }

    private mutating func writeAddedTokens(_ definition: TokenizerDefinition) {
        var raw: [(content: [UInt8], index: Int)] = []
        var normalized: [(content: [UInt8], index: Int)] = []
        for (index, token) in definition.addedTokens.enumerated() {
            var flags: UInt32 = 0
            if token.stripsLeft { flags |= AddedTokenRecord.stripsLeft }
            if token.stripsRight { flags |= AddedTokenRecord.stripsRight }
            if token.isSingleWord { flags |= AddedTokenRecord.singleWord }
            if token.isSpecial { flags |= AddedTokenRecord.special }
            append([UInt32(token.id), flags], to: .addedTokens)
            if token.isNormalized {
                let content = TextNormalization.normalized(token.content, by: definition.normalizer)
                if !content.isEmpty { normalized.append((content, index)) }
            } else {
                raw.append((token.content, index))
            }
        }
        append(trie(raw), to: .addedTrie)
        append(trie(normalized), to: .normalizedAddedTrie)
    }

    /// Nodes in the order of a walk over the sorted contents, so that children and siblings follow.
    private func trie(_ tokens: [(content: [UInt8], index: Int)]) -> [UInt32] {
        if tokens.isEmpty { return [] }
        var root = [UInt32](repeating: 0, count: 256)
        var nodes = [TrieNode(byte: 0)]
        // The nodes on the way to the last content.
        var way: [Int] = []
        var last: [UInt8] = []
        // Of equal contents the first in the list stands.
        let sorted = tokens.sorted { $0.content == $1.content ? $0.index > $1.index : $0.content.lexicographicallyPrecedes($1.content) }
        for (content, index) in sorted {
            let shared = min(zip(content, last).prefix { $0 == $1 }.count, last.count)
            let previous = shared < way.count ? way[shared] : nil
            way.removeLast(way.count - shared)
            for depth in shared..<content.count {
                let node = nodes.count
                nodes.append(TrieNode(byte: UInt32(content[depth]) | UInt32(depth + 1) << 8))
                if depth == 0 {
                    root[Int(content[0])] = UInt32(node)
                } else if depth == shared, let previous {
                    nodes[previous].nextSibling = UInt32(node)
                } else {
                    nodes[way[depth - 1]].firstChild = UInt32(node)
                }
                way.append(node)
            }
            if let end = way.last { nodes[end].value = UInt32(index + 1) }
            last = content
        }
        return root + nodes.flatMap { [$0.byte, $0.firstChild, $0.nextSibling, $0.value] }
    }

    func finish() -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 256)
        bytes.withUnsafeMutableBytes { if let base = $0.baseAddress { header.write(to: base) } }
        var offset = TokenizerFormat.headerByteCount
        var directory: [UInt8] = []
        var body: [UInt8] = []
        for section in sections {
            var place: (UInt32, UInt32) = (0, 0)
            if !section.isEmpty {
                while offset % TokenizerFormat.sectionAlignment != 0 {
                    body.append(0)
                    offset += 1
                }
                place = (UInt32(offset), UInt32(section.count))
                body += section
                offset += section.count
            }
            for value in [place.0, place.1] { withUnsafeBytes(of: value.littleEndian) { directory += $0 } }
        }
        return bytes + directory + body
    }
}
