import ShrinkFormat
import ShrinkJSON

extension TokenizerDefinition {
    /// Reads the post-processor of a `tokenizer.json` into the two templates.
    mutating func readPostProcessor(_ field: JSONField) throws(TokenizerError) {
        var hasTemplate = false
        try readPostProcessor(field, &hasTemplate)
    }

    private mutating func readPostProcessor(_ field: JSONField, _ hasTemplate: inout Bool) throws(TokenizerError) {
        let type = try field.string("type")
        switch type {
        case "ByteLevel": return  // Offsets only.
        case "Sequence":
            for element in try field.member("processors").elements() { try readPostProcessor(element, &hasTemplate) }
            return
        case "TemplateProcessing", "BertProcessing", "RobertaProcessing": break
        default:
            throw field.error(
                "the post-processor \"\(type)\" is not supported; supported: TemplateProcessing, BertProcessing, "
                    + "RobertaProcessing, ByteLevel, Sequence")
        }
        guard !hasTemplate else { throw field.error("a second template in one post-processor is not supported") }
        hasTemplate = true
        if type == "TemplateProcessing" {
            let special = try field.member("special_tokens")
            singleTemplate = try template(field.member("single"), special, allowsSecond: false)
            pairTemplate = try template(field.member("pair"), special, allowsSecond: true)
            return
        }
        let first = try boundary(field.member("cls"))
        let last = try boundary(field.member("sep"))
        setEncoderTemplates(first: first, last: last, isRoberta: type == "RobertaProcessing")
    }

    /// `[CLS] A [SEP] B [SEP]` with types 0 and 1, or RoBERTa's `<s> A </s></s> B </s>` with type 0.
    mutating func setEncoderTemplates(first: Int, last: Int, isRoberta: Bool) {
        let first = TemplateItem(.token, typeID: 0, id: UInt32(first))
        let end = TemplateItem(.token, typeID: 0, id: UInt32(last))
        singleTemplate = [first, TemplateItem(.first, typeID: 0), end]
        let second = TemplateItem(.second, typeID: isRoberta ? 0 : 1)
        pairTemplate = singleTemplate + (isRoberta ? [end, second, end] : [second, TemplateItem(.token, typeID: 1, id: UInt32(last))])
    }

    private func boundary(_ field: JSONField) throws(TokenizerError) -> Int {
        let parts = try field.elements()
        guard parts.count == 2 else { throw field.error("expected a token and its id") }
        return try known(parts[1])
    }

    private func known(_ field: JSONField) throws(TokenizerError) -> Int {
        let id = try field.tokenID()
        guard id < tokens.count, tokens[id] != nil else { throw field.error("the token \(id) is not in the vocabulary") }
        return id
    }

    private func template(_ field: JSONField, _ special: JSONField, allowsSecond: Bool) throws(TokenizerError) -> [TemplateItem] {
        var items: [TemplateItem] = []
        for element in try field.elements() {
            if let token = element.optional("SpecialToken") {
                let typeID = try typeID(token)
                for id in try special.member(token.string("id")).member("ids").elements() {
                    items.append(TemplateItem(.token, typeID: typeID, id: UInt32(try known(id))))
                }
            } else {
                let sequence = try element.member("Sequence")
                let name = try sequence.string("id")
                guard name == "A" || name == "B" && allowsSecond else { throw sequence.error("unexpected sequence \"\(name)\"") }
                items.append(TemplateItem(name == "A" ? .first : .second, typeID: try typeID(sequence)))
            }
        }
        guard !items.isEmpty, items.count <= TokenizerFormat.maximumTemplateItems else {
            throw field.error("a template must have 1 to \(TokenizerFormat.maximumTemplateItems) items")
        }
        return items
    }

    private func typeID(_ field: JSONField) throws(TokenizerError) -> UInt8 {
        let type = try field.member("type_id")
        guard let value = type.value.int, let id = UInt8(exactly: value) else { throw type.error("expected a type id from 0 to 255") }
        return id
    }
}
