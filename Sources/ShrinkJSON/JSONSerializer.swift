extension JSON {
    /// The document as compact JSON: no white space, members in order.
    ///
    /// Numbers are the shortest that read back as the same value. JSON has no NaN and no infinities;
    /// they become `null`.
    public var serialized: String {
        var text = ""
        append(to: &text, indent: nil)
        return text
    }

    /// The document for people: one element or member a line, indented by two spaces, and a newline at the end.
    public var indented: String {
        var text = ""
        append(to: &text, indent: 0)
        return text + "\n"
    }

    /// `indent`: the depth in spaces; nil for the compact form.
    private func append(to text: inout String, indent: Int?) {
        let inner = indent.map { $0 + 2 }
        func newline(_ depth: Int?) { if let depth { text += "\n" + String(repeating: " ", count: depth) } }
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
                newline(inner)
                element.append(to: &text, indent: inner)
            }
            if !elements.isEmpty { newline(indent) }
            text += "]"
        case .object(let object):
            text += "{"
            for (position, (key, value)) in object.members.enumerated() {
                if position > 0 { text += "," }
                newline(inner)
                Self.append(quoted: key, to: &text)
                text += indent == nil ? ":" : ": "
                value.append(to: &text, indent: inner)
            }
            if !object.members.isEmpty { newline(indent) }
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
