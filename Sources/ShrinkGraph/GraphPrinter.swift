extension Graph {
    /// The text form; `Graph(parsing:)` reads it back. Parameter numbers are not part of it.
    ///
    /// ```
    /// graph "tiny" {
    ///   input %tokens: i32[batch, tokens]
    ///   parameter %wte.weight: f32[32, 8] stored(f16, 512) quantized(w8)
    ///   %h = embedding(%tokens, %wte.weight) : f32[batch, tokens, 8] @ "wte"
    ///   output "hidden" = %h
    /// }
    /// ```
    public var text: String {
        var lines = ["graph \(quoted(name)) {"]
        for id in inputs { lines.append("  input \(reference(id)): \(self[id].type)") }
        for index in values.indices {
            guard case .parameter(let parameter) = values[index].definition else { continue }
            var line = "  parameter \(reference(ValueID(index: index))): \(values[index].type)"
            line += " stored(\(parameter.storedType), \(parameter.storedByteCount))"
            if let quantization = parameter.quantization { line += " quantized(\(quantization.rawValue))" }
            lines.append(line)
        }
        for id in order { lines.append("  " + text(of: self[id])) }
        for output in outputs { lines.append("  output \(quoted(output.name)) = \(reference(output.value))") }
        lines.append("}")
        return lines.joined(separator: "\n") + "\n"
    }

    private func text(of node: Node) -> String {
        var text = node.results.map(reference).joined(separator: ", ")
        text += " = \(node.operation.mnemonic)(\(node.inputs.map(reference).joined(separator: ", ")))"
        let attributes = node.operation.payload.attributes
        if !attributes.isEmpty {
            text += " {\(attributes.map { "\($0) = \($1.text)" }.joined(separator: ", "))}"
        }
        text += " : \(node.results.map { self[$0].type.description }.joined(separator: ", "))"
        if !node.origin.isEmpty { text += " @ \(quoted(node.origin))" }
        return text
    }

    private func reference(_ value: ValueID) -> String {
        let name = self[value].name
        return !name.isEmpty && name.utf8.allSatisfy(GraphText.isNameByte) ? "%\(name)" : "%\(quoted(name))"
    }

    private func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\n": result += "\\n"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

extension Attribute {
    var text: String {
        switch self {
        case .integer(let value): "\(value)"
        case .real(let value): "\(value)"  // the shortest text that reads back to the same bits
        case .flag(let value): "\(value)"
        case .word(let value): value
        }
    }
}

enum GraphText {
    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"),
            UInt8(ascii: "/"):
            true
        default: false
        }
    }
}
