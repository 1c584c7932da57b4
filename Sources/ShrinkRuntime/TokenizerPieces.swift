import ShrinkFormat

/// Finds the pieces of one pre-tokenizer stage, from left to right.
struct PieceScanner {
    let tables: TokenizerTables
    let text: TokenizerText

    @inline(__always)
    private func kind(at position: Int) -> (kind: CharacterClass, length: Int) {
        let (scalar, length) = text.scalar(at: position)
        return (tables.characterClass(scalar), length)
    }

    /// The end of the run from `position` of characters that have (or lack all of) some classes.
    @inline(__always)
    private func run(_ position: Int, of classes: CharacterClass, present: Bool = true) -> Int {
        var end = position
        while end < text.count {
            let (kind, length) = kind(at: end)
            if kind.isDisjoint(with: classes) == present { break }
            end &+= length
        }
        return end
    }

    /// Where the piece that starts at `position` (below the text's size) ends, and whether it is kept.
    @inline(__always)
    func piece(at position: Int, _ stage: PreTokenizerStage) -> (end: Int, isKept: Bool) {
        let (kind, length) = kind(at: position)
        switch stage.kind {
        case .bert:
            if kind.contains(.whitespace) { return (run(position, of: .whitespace), false) }
            if kind.contains(.punctuation) { return (position &+ length, true) }
            return (run(position, of: [.whitespace, .punctuation], present: false), true)
        case .whitespaceSplit:
            let isSpace = kind.contains(.whitespace)
            return (run(position, of: .whitespace, present: isSpace), !isSpace)
        case .words:
            if kind.contains(.word) { return (run(position, of: .word), true) }
            if kind.contains(.whitespace) { return (run(position, of: .whitespace), false) }
            return (run(position, of: [.word, .whitespace], present: false), true)
        case .digits:
            guard kind.contains(.numeric) else { return (run(position, of: .numeric, present: false), true) }
            return (stage.parameter == 1 ? position &+ length : run(position, of: .numeric), true)
        case .gpt2: return (gpt2(position, kind, length), true)
        case .tiktoken: return (tiktoken(position, kind, length, maximumDigits: Int(stage.parameter)), true)
        case .prefixSpace: return (text.count, true)
        }
    }

    /// The end of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll`, `'d` at `position`; nil where there is none.
    private func contraction(_ position: Int, ignoringCase: Bool) -> Int? {
        guard position &+ 1 < text.count, text.base[position] == UInt8(ascii: "'") else { return nil }
        let mask: UInt8 = ignoringCase ? 0x20 : 0
        let next = text.base[position &+ 1]
        switch next | mask {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return position &+ 2
        case UInt8(ascii: "r"), UInt8(ascii: "v"), UInt8(ascii: "l"):
            let last = (next | mask) == UInt8(ascii: "l") ? UInt8(ascii: "l") : UInt8(ascii: "e")
            return position &+ 2 < text.count && text.base[position &+ 2] | mask == last ? position &+ 3 : nil
        default:
            // U+017F, the long s, is an s when case is ignored.
            return ignoringCase && next >= 0x80 && text.scalar(at: position &+ 1).value == 0x17F ? position &+ 3 : nil
        }
    }

    /// `\s+(?!\S)|\s+`: white space up to the last one before a word, which belongs to the word. There is some
    /// at `known`, which is not before `position`.
    private func whitespace(_ position: Int, known: Int) -> Int {
        let end = run(known, of: .whitespace)
        if end == text.count { return end }
        let last = text.boundary(before: end)
        return last > position ? last : end
    }

    private func gpt2(_ position: Int, _ kind: CharacterClass, _ length: Int) -> Int {
        if let end = contraction(position, ignoringCase: false) { return end }
        var (start, kind) = (position, kind)
        if text.base[position] == 0x20, position &+ 1 < text.count {
            start = position &+ 1
            kind = self.kind(at: start).kind
        }
        if kind.contains(.letter) { return run(start, of: .letter) }
        if kind.contains(.number) { return run(start, of: .number) }
        // Tables may deny that a space is white space; what follows it is.
        if kind.contains(.whitespace) { return whitespace(position, known: start) }
        return run(start, of: [.letter, .number, .whitespace], present: false)
    }

    private func tiktoken(_ position: Int, _ kind: CharacterClass, _ length: Int, maximumDigits: Int) -> Int {
        if let end = contraction(position, ignoringCase: true) { return end }
        if kind.contains(.letter) { return run(position, of: .letter) }
        if kind.contains(.number) {
            var end = position &+ length
            var digits = 1
            while digits < maximumDigits, end < text.count {
                let next = self.kind(at: end)
                if !next.kind.contains(.number) { break }
                end &+= next.length
                digits &+= 1
            }
            return end
        }
        let first = text.base[position]
        let next = position &+ length < text.count ? self.kind(at: position &+ length).kind : .whitespace
        if first != 0x0A, first != 0x0D, next.contains(.letter) { return run(position &+ length, of: .letter) }
        let isSymbol = kind.isDisjoint(with: .whitespace)
        if isSymbol || first == 0x20 && next.isDisjoint(with: [.letter, .number, .whitespace]) {
            var end = run(isSymbol ? position : position &+ 1, of: [.letter, .number, .whitespace], present: false)
            while end < text.count, text.base[end] == 0x0A || text.base[end] == 0x0D { end &+= 1 }
            return end
        }
        // White space: through its last line break, if it has one.
        var end = run(position, of: .whitespace)
        while end > position {
            let byte = text.base[end &- 1]
            if byte == 0x0A || byte == 0x0D { return end }
            end = text.boundary(before: end)
        }
        return whitespace(position, known: position)
    }
}
