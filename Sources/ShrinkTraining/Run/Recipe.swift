import Glibc
import ShrinkCheckpoints
import Yams

/// A setting of a run: an option of the command line by its name without dashes.
public struct RecipeKey: Sendable, Equatable {
    public enum Kind: Sendable { case text, texts, integer, number, flag }

    public var name: String
    public var kind: Kind

    public init(_ name: String, _ kind: Kind) {
        self.name = name
        self.kind = kind
    }
}

/// The settings of a run by name: read from YAML, overridden by options, and recorded.
public struct Recipe: Sendable, Equatable {
    public enum Value: Sendable, Equatable {
        case text(String)
        case texts([String])
        case integer(Int)
        case number(Double)
        case flag(Bool)
    }

    /// In the order in which they are written.
    public let keys: [RecipeKey]
    private var values: [String: Value] = [:]

    public init(keys: [RecipeKey]) { self.keys = keys }

    public subscript(name: String) -> Value? {
        get { values[name] }
        set { values[name] = newValue }
    }

    public func text(_ name: String) -> String? { if case .text(let value)? = values[name] { value } else { nil } }
    public func texts(_ name: String) -> [String]? { if case .texts(let value)? = values[name] { value } else { nil } }
    public func integer(_ name: String) -> Int? { if case .integer(let value)? = values[name] { value } else { nil } }
    public func number(_ name: String) -> Double? { if case .number(let value)? = values[name] { value } else { nil } }
    public func flag(_ name: String) -> Bool? { if case .flag(let value)? = values[name] { value } else { nil } }
}

extension Recipe {
    /// A recipe is a page of text; what is longer is something else.
    public static let maximumByteCount = 1 << 20

    /// Reads a YAML file: one mapping from names of keys to values, or to lists of texts.
    /// - Throws: `TrainingError` `badRecipe` with file and line for what is not YAML, an unknown or repeated key, or a value of another kind;
    ///   `CheckpointError` when the file cannot be read.
    public init(path: String, keys: [RecipeKey]) throws {
        self.init(keys: keys)
        let file = try MappedFile(path: path)
        let content = withExtendedLifetime(file) {
            file.bytes.count <= Self.maximumByteCount ? String(validating: file.bytes, as: UTF8.self) : nil
        }
        guard let text = content else {
            throw TrainingError(.badRecipe, path, "is no recipe: it must be YAML in UTF-8 of at most \(Self.maximumByteCount) bytes")
        }
        let root: Node?
        do { root = try compose(yaml: text) } catch {
            throw TrainingError(.badRecipe, path, "is not valid YAML: \(Self.words(error))")
        }
        guard let root else { return }
        guard case .mapping(let mapping) = root else {
            throw TrainingError(.badRecipe, path, "must consist of lines like \"learning-rate: 0.001\"")
        }
        for (name, node) in mapping {
            let place = "\(path), line \((name.mark ?? node.mark)?.line ?? 1)"
            guard let name = name.scalar?.string, let key = keys.first(where: { $0.name == name }) else {
                let name = name.scalar?.string.prefix(60) ?? "that is no word"
                let similar = keys.map(\.name).filter { Self.isSimilar($0, String(name)) }
                throw TrainingError(
                    .badRecipe, place, "there is no setting \(name)\(similar.isEmpty ? "" : "; do you mean \(similar.joined(separator: " or "))?")")
            }
            guard let value = Self.value(node, key.kind) else {
                throw TrainingError(.badRecipe, place, "\(name) must be \(key.kind.description)")
            }
            values[name] = value
        }
    }

    private static func value(_ node: Node, _ kind: RecipeKey.Kind) -> Value? {
        if kind == .texts {
            if let text = node.scalar?.string { return .texts([text]) }
            guard let list = node.sequence else { return nil }
            let texts = list.compactMap { $0.scalar?.string }
            return texts.count == list.count ? .texts(texts) : nil
        }
        guard let text = node.scalar?.string else { return nil }
        switch kind {
        case .text, .texts: return text.isEmpty ? nil : .text(text)
        case .integer: return Int(text).map(Value.integer)
        case .number: return Double(text).flatMap { $0.isFinite ? .number($0) : nil }
        case .flag: return text == "true" ? .flag(true) : text == "false" ? .flag(false) : nil
        }
    }

    private static func words(_ error: any Error) -> String {
        guard let error = error as? YamlError else { return "\(error)" }
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _), .composer(_, let problem, let mark, _):
            return "line \(mark.line): \(problem)"
        case .duplicatedKeysInMapping(let duplicates, _):
            return "a setting occurs twice: \(duplicates.map { "\($0)".prefix(60) }.joined(separator: ", "))"
        default: return "\(error)".split(separator: "\n").first.map(String.init) ?? "unknown error"
        }
    }

    /// The same letters, whatever is between them, or one a part of the other.
    private static func isSimilar(_ a: String, _ b: String) -> Bool {
        func letters(_ text: String) -> String { text.lowercased().filter { $0.isLetter || $0.isNumber } }
        let (a, b) = (letters(a), letters(b))
        return b.count > 3 && (a == b || a.hasPrefix(b) || b.hasPrefix(a))
    }

    /// The settings that are there, as YAML that gives them again.
    public func yaml(heading: String = "") throws -> String {
        let pairs: [(Node, Node)] = try keys.compactMap { key in
            guard let value = values[key.name] else { return nil }
            let node: Node = switch value {
            case .text(let text): try text.represented()
            case .texts(let texts): try Node(texts.map { text in try text.represented() as Node })
            case .integer(let number): Node("\(number)")
            case .number(let number): Node("\(number)")
            case .flag(let flag): Node("\(flag)")
            }
            return (Node(key.name), node)
        }
        return heading.split(separator: "\n").map { "# \($0)\n" }.joined() + (pairs.isEmpty ? "" : try serialize(node: Node(pairs), allowUnicode: true))
    }
}

extension RecipeKey.Kind: CustomStringConvertible {
    public var description: String {
        switch self {
        case .text: "a text"
        case .texts: "a text or a list of texts"
        case .integer: "a whole number"
        case .number: "a number"
        case .flag: "true or false"
        }
    }
}
