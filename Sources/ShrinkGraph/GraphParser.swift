extension Graph {
    /// Reads the text form that `text` prints. Parameters are unbound.
    public init(parsing text: String) throws(GraphError) {
        var parser = GraphParser(text: Array(text.utf8))
        self = try parser.parse()
    }
}

private struct GraphParser {
    let text: [UInt8]
    var position = 0
    var line = 1
    var builder = GraphBuilder(name: "")
    var values: [String: ValueID] = [:]

    init(text: [UInt8]) { self.text = text }

    mutating func parse() throws(GraphError) -> Graph {
        do {
            return try graph()
        } catch {
            var error = error
            if error.line == nil { error.line = line }
            throw error
        }
    }

    mutating func graph() throws(GraphError) -> Graph {
        try expect("graph")
        builder = GraphBuilder(name: try quotedString())
        try expect("{")
        while !take("}") {
            if take("input") {
                let name = try reference()
                try expect(":")
                values[name] = try builder.input(name, try type())
            } else if take("parameter") {
                try parameter()
            } else if take("output") {
                let name = try quotedString()
                try expect("=")
                try builder.output(name, try value())
            } else {
                try node()
            }
        }
        skipSpace()
        guard position == text.count else { throw syntax("text after the graph") }
        return builder.graph
    }

    mutating func parameter() throws(GraphError) {
        let name = try reference()
        try expect(":")
        let type = try type()
        try expect("stored")
        try expect("(")
        let stored = try word()
        try expect(",")
        guard case .integer(let bytes) = try attributeValue() else { throw syntax("expected a number of bytes") }
        try expect(")")
        var quantization: WeightQuantization?
        if take("quantized") {
            try expect("(")
            let text = try word()
            guard let known = WeightQuantization(rawValue: text) else { throw syntax("there is no weight quantization \(text)") }
            quantization = known
            try expect(")")
        }
        values[name] = try builder.parameter(
            name, type, Parameter(storedType: stored, storedByteCount: bytes, quantization: quantization))
    }

    mutating func node() throws(GraphError) {
        var names = [try reference()]
        while take(",") { names.append(try reference()) }
        try expect("=")
        let mnemonic = try word()
        try expect("(")
        var inputs: [ValueID] = []
        if !take(")") {
            repeat { inputs.append(try value()) } while take(",")
            try expect(")")
        }
        var attributes: [(String, Attribute)] = []
        if take("{"), !take("}") {
            repeat {
                let name = try word()
                try expect("=")
                attributes.append((name, try attributeValue()))
            } while take(",")
            try expect("}")
        }
        var reader = try AttributeReader(attributes)
        let operation = try Operation(mnemonic: mnemonic, attributes: &reader)
        try reader.finish()
        try expect(":")
        var types = [try type()]
        while take(",") { types.append(try type()) }
        let origin = take("@") ? try quotedString() : ""
        let results = try builder.addMultiple(operation, inputs, names: names, origin: origin)
        guard results.count == names.count else { throw syntax("\(mnemonic) has \(results.count) results, \(names.count) are named") }
        for (position, result) in results.enumerated() {
            guard position < types.count, builder.graph[result].type == types[position], types.count == results.count else {
                throw GraphError(.resultType, "\(names[position]) is declared otherwise than \(builder.graph[result].type)")
            }
            values[names[position]] = result
        }
    }

    mutating func type() throws(GraphError) -> ValueType {
        let text = try word()
        guard let element = ElementType(rawValue: text) else { throw syntax("there is no element type \(text)") }
        try expect("[")
        var shape: [Dimension] = []
        if !take("]") {
            repeat {
                let text = try word()
                let extent = Int(text)
                guard extent ?? 1 > 0 else { throw syntax("the extent \(text) is not positive") }
                shape.append(extent.map(Dimension.fixed) ?? .symbol(text))
            } while take(",")
            try expect("]")
        }
        return ValueType(element, shape)
    }

    mutating func attributeValue() throws(GraphError) -> Attribute {
        let text = try word()
        if let integer = Int(text) { return .integer(integer) }
        if let flag = Bool(text) { return .flag(flag) }
        if let real = Double(text) { return .real(real) }
        return .word(text)
    }

    mutating func value() throws(GraphError) -> ValueID {
        let name = try reference()
        guard let value = values[name] else { throw GraphError(.undefinedValue, "%\(name) is not defined above") }
        return value
    }

    mutating func reference() throws(GraphError) -> String {
        try expect("%")
        return position < text.count && text[position] == UInt8(ascii: "\"") ? try quotedString() : try word()
    }

    // MARK: Characters

    func syntax(_ reason: String) -> GraphError { GraphError(.syntax, reason, line: line) }

    mutating func skipSpace() {
        while position < text.count, text[position] == 0x20 || text[position] == 0x0A || text[position] == 0x09 {
            if text[position] == 0x0A { line += 1 }
            position += 1
        }
    }

    /// Passes over `token` if it is next; otherwise stays, so that errors bear the line of what was read last.
    mutating func take(_ token: StaticString) -> Bool {
        let start = (position, line)
        skipSpace()
        let end = position + token.utf8CodeUnitCount
        let isNext = end <= text.count && (position..<end).allSatisfy { text[$0] == token.utf8Start[$0 - position] }
        let isCut = GraphText.isNameByte(token.utf8Start[0]) && end < text.count && GraphText.isNameByte(text[end])
        if isNext && !isCut {
            position = end
        } else {
            (position, line) = start
        }
        return isNext && !isCut
    }

    mutating func expect(_ token: StaticString) throws(GraphError) {
        guard take(token) else {
            skipSpace()
            throw syntax("expected \(token)")
        }
    }

    mutating func word() throws(GraphError) -> String {
        skipSpace()
        let start = position
        while position < text.count, GraphText.isNameByte(text[position]) || text[position] == UInt8(ascii: "+") { position += 1 }
        guard position > start else { throw syntax("expected a name") }
        return String(decoding: text[start..<position], as: UTF8.self)
    }

    mutating func quotedString() throws(GraphError) -> String {
        try expect("\"")
        var bytes: [UInt8] = []
        while position < text.count, text[position] != UInt8(ascii: "\"") {
            if text[position] == UInt8(ascii: "\\"), position + 1 < text.count {
                position += 1
                bytes.append(text[position] == UInt8(ascii: "n") ? 0x0A : text[position])
            } else {
                if text[position] == 0x0A { line += 1 }
                bytes.append(text[position])
            }
            position += 1
        }
        guard position < text.count else { throw syntax("the string is not closed") }
        position += 1
        return String(decoding: bytes, as: UTF8.self)
    }
}
