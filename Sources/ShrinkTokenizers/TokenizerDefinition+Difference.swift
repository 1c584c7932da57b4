import ShrinkFormat

extension TokenizerDefinition {
    /// The first way in which another tokenizer would make other tokens of some text, for a message; nil when both make the same of
    /// every text. How chats are laid out, where generation ends and where texts are cut does not matter.
    public func difference(from other: TokenizerDefinition) throws(TokenizerError) -> String? {
        for id in 0..<max(tokens.count, other.tokens.count) {
            let (own, theirs) = (id < tokens.count ? tokens[id] : nil, id < other.tokens.count ? other.tokens[id] : nil)
            guard own?.bytes != theirs?.bytes else { continue }
            return "the token \(id) is \(Self.quoted(own)) in one and \(Self.quoted(theirs)) in the other"
        }
        guard try essence() != other.essence() else { return nil }
        switch (model, other.model) {
        case (.bytePair(let merges, _, _), .bytePair(let others, _, _)):
            let pairs = zip(merges, others).enumerated().first { $1.0.left != $1.1.left || $1.0.right != $1.1.right }
            if let place = pairs?.offset ?? (merges.count == others.count ? nil : min(merges.count, others.count)) {
                return "their merges differ from the merge \(place) on"
            }
        case (.wordPiece, .wordPiece): break
        default: return "one joins pairs of bytes (BPE), the other cuts words (WordPiece)"
        }
        if "\(normalizer)" != "\(other.normalizer)" { return "one normalizes text otherwise than the other (\(normalizer) and \(other.normalizer))" }
        if "\(preTokenizer)" != "\(other.preTokenizer)" { return "one divides text into words otherwise than the other" }
        if "\(singleTemplate) \(pairTemplate)" != "\(other.singleTemplate) \(other.pairTemplate)" { return "they put other special tokens around a text" }
        return "their added or special tokens differ"
    }

    /// All that decides about the tokens of a text, as tables.
    private func essence() throws(TokenizerError) -> [UInt8] {
        var copy = self
        copy.stopTokens = []
        copy.chat = .none
        copy.truncationLength = nil
        return try copy.encodedTables()
    }

    private static func quoted(_ token: Token?) -> String {
        guard let token else { return "missing" }
        return "\"\(String(decoding: token.bytes.prefix(40), as: UTF8.self))\""
    }
}
