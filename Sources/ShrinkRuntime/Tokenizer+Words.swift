import ShrinkFormat

extension Tokenizer {
    /// Appends the tokens of a text outside any template; special tokens that it spells are plain text.
    ///
    /// Throws as `encode`; `output` may then have some of the tokens.
    public mutating func append(plainText text: UnsafeBufferPointer<UInt8>, to output: inout TokenBuffer) throws(RuntimeError) {
        try append(text, parseSpecialTokens: false, typeID: 0, to: &output)
    }

    /// Calls `body` with each word that the model would be given: the pieces of the normalized text.
    ///
    /// Added tokens are text like any other here, and no space is put before the first word. A word is
    /// valid only until `body` returns.
    ///
    /// Throws `invalidArgument` for text that is not UTF-8 and `outOfMemory`.
    public mutating func forEachWord(
        of text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void
    ) throws(RuntimeError) {
        guard let base = text.baseAddress, text.count > 0 else { return }
        let wellFormed = UTF8Stream.wellFormedCount(text)
        guard wellFormed == text.count else { throw RuntimeError(.invalidArgument, "the text is not UTF-8", wellFormed) }
        let normal = try normalizer.normalize(TokenizerText(base, count: text.count))
        words(of: normal, stage: 0, body)
    }

    private func words(of text: TokenizerText, stage: Int, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
        if stage == tables.header.preTokenizerStageCount { return body(UnsafeBufferPointer(start: text.base, count: text.count)) }
        let record = tables.header.preTokenizerStages[stage]
        let scanner = PieceScanner(tables: tables, text: text)
        var position = 0
        while position < text.count {
            let (end, isKept) = scanner.piece(at: position, record)
            if isKept { words(of: text.slice(position, end), stage: stage + 1, body) }
            position = end
        }
    }
}
