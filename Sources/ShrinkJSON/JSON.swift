/// A JSON document as RFC 8259 defines it, with object members in file order.
///
/// Foundation's parser keeps the last of two equal keys and gives no position; a checkpoint from a
/// stranger needs both refused and named, which is why this type exists.
public enum JSON: Sendable, Equatable {
    case null
    case bool(Bool)
    /// A number without fraction or exponent that fits 64 bits.
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSON])
    case object(Object)

    /// Members in file order; keys are unique.
    public struct Object: Sendable, Equatable {
        public private(set) var members: [(key: String, value: JSON)] = []
        /// Keyed by bytes: Swift's strings compare by canonical equivalence, JSON's do not.
        private var index: [[UInt8]: Int] = [:]

        public init() {}

        public subscript(key: String) -> JSON? {
            index[Array(key.utf8)].map { members[$0].value }
        }

        /// False, and no change, when `key` is already there.
        @discardableResult
        public mutating func append(_ key: String, _ value: JSON) -> Bool {
            guard index.updateValue(members.count, forKey: Array(key.utf8)) == nil else { return false }
            members.append((key, value))
            return true
        }

        /// Gives the member `key` another value, where it stands, or appends it.
        public mutating func set(_ key: String, _ value: JSON) {
            if let place = index[Array(key.utf8)] { members[place].value = value } else { append(key, value) }
        }

        public mutating func remove(_ key: String) {
            guard let place = index.removeValue(forKey: Array(key.utf8)) else { return }
            members.remove(at: place)
            for (later, member) in members.enumerated().dropFirst(place) { index[Array(member.key.utf8)] = later }
        }

        public static func == (a: Object, b: Object) -> Bool {
            a.members.elementsEqual(b.members) { $0.key.utf8.elementsEqual($1.key.utf8) && $0.value == $1.value }
        }
    }
}

extension JSON {
    /// An object with these members in their order; of two with one key the first counts.
    public static func object(_ members: KeyValuePairs<String, JSON>) -> JSON {
        .object(members.reduce(into: Object()) { $0.append($1.key, $1.value) })
    }

    /// The member `key` of an object; nil for other values, for a missing member and for `null`.
    public subscript(key: String) -> JSON? {
        guard case .object(let object) = self, let value = object[key], value != .null else { return nil }
        return value
    }

    public var string: String? { if case .string(let value) = self { value } else { nil } }
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var array: [JSON]? { if case .array(let value) = self { value } else { nil } }
    public var object: Object? { if case .object(let value) = self { value } else { nil } }

    /// An integer, or a number with an integral value that fits.
    public var int: Int? {
        switch self {
        case .integer(let value): value
        case .number(let value): Int(exactly: value)
        default: nil
        }
    }

    public var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .number(let value): value
        default: nil
        }
    }
}

/// Where and why a text is not JSON.
public struct JSONError: Error, Equatable, CustomStringConvertible {
    public enum Kind: Sendable { case syntax, duplicateKey }

    public var byteOffset: Int
    public var kind = Kind.syntax
    public var reason: String
    public var description: String { "not valid JSON at byte \(byteOffset): \(reason)" }
}
