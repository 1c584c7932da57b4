import ShrinkFormat

/// Puts a tokenizer's special tokens around one text or two, and cuts what is too long.
struct SequenceTemplate {
    let single: [TemplateItem]
    let pair: [TemplateItem]

    init(_ tables: TokenizerTables) {
        single = (0..<tables.templateCount(pair: false)).map { tables.templateItem($0, pair: false) }
        pair = (0..<tables.templateCount(pair: true)).map { tables.templateItem($0, pair: true) }
    }

    /// Special tokens around the texts.
    func overhead(isPair: Bool) -> Int { (isPair ? pair : single).count { $0.kind == .token } }

    /// - Parameter limit: of all tokens, above `overhead`. Texts lose their ends.
    /// - Returns: also the places of the first text's tokens.
    func assemble(_ first: [Int32], _ second: [Int32]?, limit: Int) -> (example: Example, first: Range<Int>) {
        let room = limit - overhead(isPair: second != nil)
        let kept = second.map { Self.lengths(first.count, $0.count, room: room) } ?? (min(first.count, room), 0)
        var (tokens, segments): ([Int32], [Int32]) = ([], [])
        var place = 0..<0
        for item in second == nil ? single : pair {
            let part: ArraySlice<Int32> = switch item.kind {
            case .first: first.prefix(kept.0)
            case .second: second?.prefix(kept.1) ?? []
            case .token: [Int32(item.id)]
            }
            if item.kind == .first { place = tokens.count..<tokens.count + part.count }
            tokens += part
            segments += [Int32](repeating: Int32(item.typeID), count: part.count)
        }
        return (Example(tokens: tokens, segments: segments), place)
    }

    /// What is left of two texts: the longer one is cut down to the room that the shorter leaves, but not below half of all,
    /// as `longest_first` of Hugging Face `tokenizers`; of two equal texts the second keeps the odd token.
    static func lengths(_ first: Int, _ second: Int, room: Int) -> (Int, Int) {
        if first + second <= room { return (first, second) }
        let shorter = min(first, second)
        let (small, large) = shorter <= room - shorter ? (shorter, room - shorter) : (room / 2, room - room / 2)
        return first > second ? (large, small) : (small, large)
    }
}
