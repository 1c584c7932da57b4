import ShrinkFormat

/// Turns token ids into text, one at a time, so that what has come out is always whole UTF-8.
///
/// Over a whole sequence the result equals `decode` of the `tokenizers` library. Bytes that cannot
/// become a character any more come out as U+FFFD.
public struct Detokenizer {
    let tables: TokenizerTables
    private let skipsSpecialTokens: Bool
    private var stream = UTF8Stream()
    private var isFirst = true

    public init(tables: TokenizerTables, skipsSpecialTokens: Bool) {
        self.tables = tables
        self.skipsSpecialTokens = skipsSpecialTokens
    }

    /// Most bytes that one `push` appends.
    public var maximumPushByteCount: Int { (Int(tables.header.maximumTokenByteCount) + 4) * 3 }

    /// Appends the text that is certain once `id` is known; ids that are not tokens add nothing.
    public mutating func push(_ id: UInt32, into output: inout TokenizerBuffer<UInt8>) throws(RuntimeError) {
        guard tables.contains(id) else { return }
        let flags = tables.flags(ofToken: Int(id))
        if flags.contains(.absent) || skipsSpecialTokens && flags.contains(.special) { return }
        let bytes = tables.bytes(ofToken: Int(id))
        var start = 0
        if tables.header.model == .wordPiece, !isFirst {
            if flags.contains(.continuing) {
                start = tables.bytes(of: .continuingPrefix).count
            } else if !flags.contains(.joined) {
                try stream.push(0x20, into: &output)
            }
        }
        isFirst = false
        for i in start..<bytes.count { try stream.push(bytes[i], into: &output) }
    }

    /// Ends the text and makes the detokenizer ready for another one.
    public mutating func flush(into output: inout TokenizerBuffer<UInt8>) throws(RuntimeError) {
        try stream.flush(into: &output)
        isFirst = true
    }
}
