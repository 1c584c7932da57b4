extension JSON {
    /// The document as compact JSON: no white space, members in order.
    ///
    /// Numbers are the shortest that read back as the same value. JSON has no NaN and no infinities;
    /// they become `null`.
    public var serialized: String {
        var text = ""
        append(to: &text)
        return text
    }

    private func append(to text: inout String) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        case .number(let value): text += value.isFinite ? value.description : "null"
        case .string(let value): Self.append(quoted: value, to: &text)
        case .array(let elements):
            text += "["
            for (position, element) in elements.enumerated() {
                if position > 0 { text += "," }
                element.append(to: &text)
            }
            text += "]"
        case .object(let object):
            text += "{"
            for (position, (key, value)) in object.members.enumerated() {
                if position > 0 { text += "," }
                Self.append(quoted: key, to: &text)
                text += ":"
                value.append(to: &text)
            }
            text += "}"
        }
    }

    /// Escapes what RFC 8259 section 7 says must be escaped, and nothing else.
    private static func append(quoted string: String, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{8}": text += "\\b"
            case "\u{C}": text += "\\f"
            case "\0"..<" ":
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
