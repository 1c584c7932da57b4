import ShrinkFormat

/// WordPiece: the longest token that starts the word, then the longest continuing token, and so on;
/// the whole word is unknown when that fails.
struct WordPieceMatcher {
    let tables: TokenizerTables
    private let unknown: UInt32
    private let prefixCount: Int
    private let prefixHash: UInt64

    init(tables: TokenizerTables) {
        self.tables = tables
        unknown = tables.special(.unknown) ?? 0
        let prefix = tables.bytes(of: .continuingPrefix)
        prefixCount = prefix.count
        var hash = TokenizerHash.seed
        for byte in prefix { hash = TokenizerHash.appending(byte, to: hash) }
        prefixHash = hash
    }

    func encode(_ word: TokenizerText, typeID: UInt32, into output: inout TokenBuffer) throws(RuntimeError) {
        let before = output.count
        guard hasAllowedLength(word) else { return try output.append(id: unknown, typeID: typeID) }
        var start = 0
        while start < word.count {
            let prefix = start == 0 ? 0 : prefixCount
            let limit = min(word.count, start &+ max(Int(tables.header.maximumTokenByteCount) &- prefix, 0))
            var hash = start == 0 ? TokenizerHash.seed : prefixHash
            var longest: (token: UInt32, end: Int)?
            var end = start
            while end < limit {
                hash = TokenizerHash.appending(word.base[end], to: hash)
                end &+= 1
                if end < word.count, word.base[end] & 0xC0 == 0x80 { continue }
                if let token = tables.token(bytes: word.base + start, count: end &- start, prefixCount: prefix, hash: hash) {
                    longest = (token, end)
                }
            }
            guard let longest else {
                output.truncate(to: before)
                return try output.append(id: unknown, typeID: typeID)
            }
            try output.append(id: longest.token, typeID: typeID)
            start = longest.end
        }
    }

    private func hasAllowedLength(_ word: TokenizerText) -> Bool {
        let maximum = Int(tables.header.maximumWordLength)
        if word.count <= maximum { return true }
        var characters = 0
        for i in 0..<word.count where word.base[i] & 0xC0 != 0x80 {
            characters &+= 1
            if characters > maximum { return false }
        }
        return true
    }
}
