import ShrinkFormat

/// The tokens of a model as its files spell them, by text and by id.
struct Vocabulary {
    let file: String
    private(set) var ids: [[UInt8]: Int] = [:]
    private(set) var texts: [[UInt8]?] = []

    init(file: String) { self.file = file }

    /// Ids may leave holes, but not so many that a small file asks for much memory.
    mutating func insert(_ text: [UInt8], id: Int, of count: Int, place: String) throws(TokenizerError) {
        guard id < 2 * count + 65_536, id < TokenizerFormat.maximumVocabulary else {
            throw TokenizerError(file: file, place: place, "the id \(id) is too large for a vocabulary of \(count) tokens")
        }
        guard text.count <= TokenizerFormat.maximumTokenByteCount else {
            throw TokenizerError(
                file: file, place: place,
                "the token has \(text.count) bytes; at most \(TokenizerFormat.maximumTokenByteCount) are supported")
        }
        if id >= texts.count { texts.append(contentsOf: repeatElement(nil, count: id + 1 - texts.count)) }
        guard texts[id] == nil else { throw TokenizerError(file: file, place: place, "two tokens have the id \(id)") }
        texts[id] = text
        ids[text] = id
    }

    // MARK: Byte-level BPE

    func byteLevelTokens() -> [TokenizerDefinition.Token?] { texts.map { $0.map(Self.byteLevelToken) } }

    static func byteLevelToken(_ text: [UInt8]) -> TokenizerDefinition.Token {
        let bytes = ByteAlphabet.bytes(of: text)
        return TokenizerDefinition.Token(bytes: bytes ?? text, isLookedUp: bytes != nil)
    }

    func byteTokens() -> [UInt32] {
        (0...UInt8.max).map { ids[ByteAlphabet.text(of: $0)].map(UInt32.init) ?? TokenizerFormat.noToken }
    }

    func merge(_ left: [UInt8], _ right: [UInt8], place: String) throws(TokenizerError) -> TokenizerDefinition.Merge {
        guard let leftID = ids[left], let rightID = ids[right], let merged = ids[left + right] else {
            let shown = "\"\(String(decoding: left, as: UTF8.self))\" and \"\(String(decoding: right, as: UTF8.self))\""
            throw TokenizerError(file: file, place: place, "\(shown), or what they merge to, are not in the vocabulary")
        }
        return TokenizerDefinition.Merge(left: UInt32(leftID), right: UInt32(rightID), merged: UInt32(merged))
    }

    /// A merge written as two tokens with a space between them.
    func merge(_ text: [UInt8], place: String) throws(TokenizerError) -> TokenizerDefinition.Merge {
        let parts = text.split(separator: 0x20, omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw TokenizerError(file: file, place: place, "a merge must be two tokens with a space between them") }
        return try merge(Array(parts[0]), Array(parts[1]), place: place)
    }

    // MARK: WordPiece

    func wordPieceTokens(prefix: [UInt8], cleanup: Bool) throws(TokenizerError) -> [TokenizerDefinition.Token?] {
        var tokens: [TokenizerDefinition.Token?] = []
        tokens.reserveCapacity(texts.count)
        for (id, text) in texts.enumerated() {
            guard let text else {
                tokens.append(nil)
                continue
            }
            var token = try Self.wordPieceToken(text, prefix: prefix, cleanup: cleanup, file: file)
            token.isLookedUp = ids[text] == id && !text.isEmpty
            tokens.append(token)
        }
        return tokens
    }

    /// - Parameter cleanup: whether the decoder joins punctuation and contractions to what they follow.
    static func wordPieceToken(
        _ text: [UInt8], prefix: [UInt8], cleanup: Bool, file: String
    ) throws(TokenizerError) -> TokenizerDefinition.Token {
        var token = TokenizerDefinition.Token(bytes: text, isLookedUp: false)
        if !prefix.isEmpty, text.starts(with: prefix) {
            token.flags.insert(.continuing)
        } else if cleanup {
            (token.bytes, token.flags) = try Self.cleaned(text, file: file)
        }
        return token
    }

    /// A token as the cleaning decoder writes it, and whether the space before it goes.
    private static func cleaned(_ text: [UInt8], file: String) throws(TokenizerError) -> (bytes: [UInt8], flags: TokenFlags) {
        let first = cleanup(text)
        let other = cleanup([0x20] + text)
        if other == [0x20] + first { return (first, []) }
        guard other == first else {
            throw TokenizerError(
                file: file, "the token \"\(String(decoding: text, as: UTF8.self))\" is cleaned up when decoding in a way that is not supported")
        }
        return (first, [.joined])
    }

    /// The clean-up of the WordPiece decoder: each replacement over the whole text, in this order.
    private static func cleanup(_ text: [UInt8]) -> [UInt8] {
        let replacements: [(String, String)] = [
            (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
        ]
        guard text.contains(0x20), text.contains(where: { ".?!,'".utf8.contains($0) }) || text.count > 6 else { return text }
        var text = text
        for (old, new) in replacements {
            let pattern = Array(old.utf8)
            var result: [UInt8] = []
            var position = 0
            while position < text.count {
                if text[position...].starts(with: pattern) {
                    result += Array(new.utf8)
                    position += pattern.count
                } else {
                    result.append(text[position])
                    position += 1
                }
            }
            text = result
        }
        return text
    }
}
