extension JSON {
    /// Parses one document; anything but white space after it is an error.
    ///
    /// Nesting is limited to 128 levels, so that a hostile file cannot exhaust the stack.
    /// - Parameter maximumValueCount: more values than this are an error. In memory a value takes many
    ///   times its two bytes of text, so a caller who knows what to expect of a stranger's file should say so.
    public init(parsing bytes: UnsafeRawBufferPointer, maximumValueCount: Int = .max) throws(JSONError) {
        var parser = JSONParser(bytes: bytes, remainingValueCount: maximumValueCount)
        parser.skipSpace()
        self = try parser.value(depth: 0)
        parser.skipSpace()
        guard parser.position == bytes.count else { throw parser.error("text after the document") }
    }

    public init(parsing bytes: [UInt8]) throws(JSONError) {
        let result = bytes.withUnsafeBytes { buffer in
            Result { () throws(JSONError) in try JSON(parsing: buffer) }
        }
        self = try result.get()
    }

    public init(parsing text: String) throws(JSONError) {
        try self.init(parsing: Array(text.utf8))
    }
}

private struct JSONParser {
    let bytes: UnsafeRawBufferPointer
    var position = 0
    var remainingValueCount: Int

    init(bytes: UnsafeRawBufferPointer, remainingValueCount: Int) {
        self.bytes = bytes
        self.remainingValueCount = remainingValueCount
    }

    func error(_ reason: String) -> JSONError { JSONError(byteOffset: position, reason: reason) }

    var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    mutating func skipSpace() {
        while let byte = current, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    mutating func take(_ byte: UInt8) -> Bool {
        guard current == byte else { return false }
        position += 1
        return true
    }

    mutating func value(depth: Int) throws(JSONError) -> JSON {
        guard depth < 128 else { throw error("nested more than 128 levels deep") }
        guard remainingValueCount > 0 else { throw error("there are more values than expected") }
        remainingValueCount -= 1
        switch current {
        case UInt8(ascii: "{"): return .object(try object(depth: depth))
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): try word("true"); return .bool(true)
        case UInt8(ascii: "f"): try word("false"); return .bool(false)
        case UInt8(ascii: "n"): try word("null"); return .null
        case nil: throw error("the text ends where a value should be")
        default: return try number()
        }
    }

    mutating func word(_ text: StaticString) throws(JSONError) {
        for offset in 0..<text.utf8CodeUnitCount {
            guard take(text.utf8Start[offset]) else { throw error("expected \(text)") }
        }
    }

    mutating func object(depth: Int) throws(JSONError) -> JSON.Object {
        var object = JSON.Object()
        position += 1
        skipSpace()
        if take(UInt8(ascii: "}")) { return object }
        while true {
            skipSpace()
            guard current == UInt8(ascii: "\"") else { throw error("expected a member name in quotes") }
            let keyPosition = position
            let key = try string()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw error("expected ':' after the member name") }
            skipSpace()
            guard object.append(key, try value(depth: depth + 1)) else {
                throw JSONError(byteOffset: keyPosition, kind: .duplicateKey, reason: "the key \"\(key)\" occurs twice in one object")
            }
            skipSpace()
            if take(UInt8(ascii: "}")) { return object }
            guard take(UInt8(ascii: ",")) else { throw error("expected ',' or '}'") }
        }
    }

    mutating func array(depth: Int) throws(JSONError) -> [JSON] {
        var array: [JSON] = []
        position += 1
        skipSpace()
        if take(UInt8(ascii: "]")) { return array }
        while true {
            skipSpace()
            array.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: "]")) { return array }
            guard take(UInt8(ascii: ",")) else { throw error("expected ',' or ']'") }
        }
    }

    mutating func string() throws(JSONError) -> String {
        position += 1
        let start = position
        while let byte = current, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
        var text = Array(bytes[start..<position])
        while true {
            guard let byte = current else { throw error("the string is not closed") }
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw JSONError(byteOffset: start, reason: "the string is not valid UTF-8")
                }
                return string
            case UInt8(ascii: "\\"): try escape(into: &text)
            case 0..<0x20: throw error("a control character stands unescaped in a string")
            default: text.append(byte)
            }
        }
    }

    mutating func escape(into text: inout [UInt8]) throws(JSONError) {
        guard let byte = current else { throw error("the string is not closed") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if 0xD800..<0xDC00 ~= code {
                guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw error("a lone surrogate") }
                let low = try hexadecimal()
                guard 0xDC00..<0xE000 ~= low else { throw error("a lone surrogate") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error("a lone surrogate") }
            text.append(contentsOf: UTF8.encode(scalar)!)
        default: throw error("unknown escape sequence")
        }
    }

    mutating func hexadecimal() throws(JSONError) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = current, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw error("expected four hexadecimal digits")
            }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }

    mutating func number() throws(JSONError) -> JSON {
        let start = position
        var isIntegral = true
        _ = take(UInt8(ascii: "-"))
        if !take(UInt8(ascii: "0")) { try digits() }
        if take(UInt8(ascii: ".")) { isIntegral = false; try digits() }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            isIntegral = false
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try digits()
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isIntegral, let integer = Int(text) { return .integer(integer) }
        guard let number = Double(text), number.isFinite else {
            throw JSONError(byteOffset: start, reason: "the number \(text) is out of range")
        }
        return .number(number)
    }

    mutating func digits() throws(JSONError) {
        guard let byte = current, 0x30...0x39 ~= byte else { throw error("expected a value") }
        while let byte = current, 0x30...0x39 ~= byte { position += 1 }
    }
}
