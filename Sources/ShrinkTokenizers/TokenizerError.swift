import ShrinkJSON

/// What in a tokenizer's files cannot be used, where, and what could be instead.
public struct TokenizerError: Error, Equatable, CustomStringConvertible {
    public var file: String
    /// A JSON path such as `$.model.type`, a line, or a metadata key; empty for the file as a whole.
    public var place: String
    public var reason: String

    public init(file: String, place: String = "", _ reason: String) {
        self.file = file
        self.place = place
        self.reason = reason
    }

    public var description: String { place.isEmpty ? "\(file): \(reason)" : "\(file), \(place): \(reason)" }
}

/// A value of a JSON document with the path that leads to it.
struct JSONField {
    let file: String
    let path: String
    let value: JSON

    init(file: String, path: String = "$", _ value: JSON) {
        self.file = file
        self.path = path
        self.value = value
    }

    func error(_ reason: String) -> TokenizerError { TokenizerError(file: file, place: path, reason) }

    /// A member that is there and not `null`.
    func optional(_ key: String) -> JSONField? {
        value[key].map { JSONField(file: file, path: "\(path).\(key)", $0) }
    }

    func member(_ key: String) throws(TokenizerError) -> JSONField {
        guard let field = optional(key) else { throw error("the member \"\(key)\" is missing") }
        return field
    }

    func elements() throws(TokenizerError) -> [JSONField] {
        guard let array = value.array else { throw error("expected an array") }
        return array.enumerated().map { JSONField(file: file, path: "\(path)[\($0)]", $1) }
    }

    func string() throws(TokenizerError) -> String {
        guard let string = value.string else { throw error("expected a string") }
        return string
    }

    func string(_ key: String) throws(TokenizerError) -> String { try member(key).string() }

    func string(_ key: String, default standard: String) throws(TokenizerError) -> String {
        guard let field = optional(key) else { return standard }
        return try field.string()
    }

    func bool(_ key: String, default standard: Bool) throws(TokenizerError) -> Bool {
        guard let field = optional(key) else { return standard }
        guard let bool = field.value.bool else { throw field.error("expected true or false") }
        return bool
    }

    func tokenID() throws(TokenizerError) -> Int {
        guard let id = value.int, id >= 0, id < TokenizerDefinition.maximumVocabulary else {
            throw error("expected a token id from 0 to \(TokenizerDefinition.maximumVocabulary - 1)")
        }
        return id
    }

    /// Refuses a setting that is on.
    func refuse(_ key: String, unless isHarmless: (JSON) -> Bool, _ supported: String) throws(TokenizerError) {
        if let field = optional(key), !isHarmless(field.value) {
            throw field.error("\(field.shown) is not supported; \(supported)")
        }
    }

    /// The value as an error message shows it.
    var shown: String {
        switch value {
        case .string(let text): "\"\(text)\""
        case .integer(let number): "\(number)"
        case .number(let number): "\(number)"
        case .bool(let bool): "\(bool)"
        case .null: "null"
        case .array: "an array"
        case .object: "an object"
        }
    }
}
