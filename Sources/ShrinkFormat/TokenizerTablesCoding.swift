extension TokenizerHeader {
    /// Writes 256 bytes; the section directory follows them.
    public func write(to base: UnsafeMutableRawPointer) {
        var cursor = RecordCursor(base: base)
        cursor.write(TokenizerFormat.magic)
        cursor.write(majorVersion)
        cursor.write(minorVersion)
        cursor.write(model.rawValue)
        cursor.write(chatTemplate.rawValue)
        cursor.write(UInt8(ignoresMerges ? 1 : 0))
        cursor.write(UInt8(truncatingIfNeeded: preTokenizerStageCount))
        cursor.write(vocabularySize)
        cursor.write(maximumTokenByteCount)
        cursor.write(maximumWordLength)
        cursor.write(truncationLength)
        for i in specialTokens.indices { cursor.write(specialTokens[i]) }
        for i in normalizerSteps.indices { cursor.write(normalizerSteps[i]) }
        for i in 0..<TokenizerFormat.maximumPreTokenizerStages {
            let used = i < preTokenizerStageCount
            cursor.write(used ? preTokenizerStages[i].kind.rawValue : 0)
            cursor.write(used ? preTokenizerStages[i].parameter : 0)
            cursor.write(UInt16(0))
        }
        cursor.fill(to: 256)
    }

    /// Reads what `write` wrote and checks each field by itself; ids are for the caller to bound.
    init(reading base: UnsafeRawPointer) throws(TokenizerTablesError) {
        var reader = RecordReader(base: base)
        guard reader.read(UInt64.self) == TokenizerFormat.magic else {
            throw TokenizerTablesError("these bytes are not tokenizer tables", 0)
        }
        majorVersion = reader.read()
        minorVersion = reader.read()
        guard majorVersion == TokenizerFormat.majorVersion, minorVersion == TokenizerFormat.minorVersion else {
            throw TokenizerTablesError("the tokenizer tables have another version: pack the model again", Int(majorVersion), isVersion: true)
        }
        guard let model = TokenizerModel(rawValue: reader.read()), let chat = ChatTemplateKind(rawValue: reader.read()) else {
            throw TokenizerTablesError("unknown tokenizer model or chat template", 12)
        }
        self.model = model
        chatTemplate = chat
        let ignores = reader.read(UInt8.self)
        preTokenizerStageCount = Int(reader.read(UInt8.self))
        guard ignores <= 1, preTokenizerStageCount <= TokenizerFormat.maximumPreTokenizerStages else {
            throw TokenizerTablesError("a tokenizer header field is out of range", 14)
        }
        ignoresMerges = ignores == 1
        vocabularySize = reader.read()
        maximumTokenByteCount = reader.read()
        maximumWordLength = reader.read()
        truncationLength = reader.read()
        for i in specialTokens.indices { specialTokens[i] = reader.read() }
        for i in normalizerSteps.indices {
            let step = reader.read(UInt8.self)
            guard step == 0 || NormalizerStep(rawValue: step) != nil else {
                throw TokenizerTablesError("unknown normalizer step", i)
            }
            normalizerSteps[i] = step
        }
        for i in 0..<TokenizerFormat.maximumPreTokenizerStages {
            let kind = reader.read(UInt8.self)
            let parameter = reader.read(UInt8.self)
            guard reader.read(UInt16.self) == 0 else { throw TokenizerTablesError("reserved bytes are not zero", reader.offset) }
            if i < preTokenizerStageCount {
                guard let kind = PreTokenizerKind(rawValue: kind) else { throw TokenizerTablesError("unknown pre-tokenizer", i) }
                preTokenizerStages[i] = PreTokenizerStage(kind, parameter)
            }
        }
        guard reader.isZero(to: 256) else { throw TokenizerTablesError("reserved bytes are not zero", reader.offset) }
    }
}
