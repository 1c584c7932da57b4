/// A field of a row: a text, or from a JSON array several.
public enum DataField: Sendable, Equatable {
    case text(String)
    case list([String])

    /// The text; of a list its elements with spaces between them.
    public var text: String {
        switch self {
        case .text(let text): text
        case .list(let list): list.joined(separator: " ")
        }
    }

    /// The elements; of a text what is between its spaces.
    public var words: [String] {
        switch self {
        case .text(let text): text.split(separator: " ").map(String.init)
        case .list(let list): list
        }
    }
}

/// How a file holds its rows.
public enum DataFormat: String, Sendable, CaseIterable {
    /// Every line is a row of one field.
    case text = "txt"
    /// Every line is a JSON object; columns are its members.
    case jsonLines = "jsonl"
    /// Fields with tabs between them, which nothing can quote.
    case tabs = "tsv"
    /// RFC 4180: fields with commas between them; quotes around a field protect commas, line ends, and quotes,
    /// which are doubled. A quote inside a field that does not start with one is a character like any other.
    case commas = "csv"

    /// By the ending of the name, before one for compression; nil for others.
    public init?(path: String) {
        var parts = path.split(separator: "/", omittingEmptySubsequences: false).last.map { $0.split(separator: ".") } ?? []
        if parts.count > 1, let last = parts.last, ["gz", "zst", "xz", "bz2"].contains(last.lowercased()) { parts.removeLast() }
        switch parts.count > 1 ? parts.last?.lowercased() : nil {
        case "txt", "text": self = .text
        case "jsonl", "ndjson": self = .jsonLines
        case "tsv": self = .tabs
        case "csv": self = .commas
        default: return nil
        }
    }
}

/// A column by its name in the first row (or in a JSON object), or by its number from 1 in a table without names.
public enum DataColumn: Sendable, Equatable, CustomStringConvertible {
    case name(String)
    case number(Int)

    /// As people write it: digits are a number.
    public init(_ text: String) { self = Int(text).map(DataColumn.number) ?? .name(text) }

    public var description: String {
        switch self {
        case .name(let name): "\"\(name)\""
        case .number(let number): "\(number)"
        }
    }
}

/// Splits the lines of a table into fields, one line at a time, as a quoted field may go on in the next.
struct RowSplitter {
    enum State: Equatable {
        /// The row is complete.
        case row
        /// A quoted field is still open: the next line belongs to the row.
        case open
        case bad(String)
    }

    private let separator: UInt8
    private let quotes: Bool
    private(set) var fields: [[UInt8]] = []
    private var field: [UInt8] = []
    private var isOpen = false
    private(set) var byteCount = 0

    init(separator: UInt8, quotes: Bool) {
        self.separator = separator
        self.quotes = quotes
    }

    /// Forgets the row.
    mutating func reset() {
        fields.removeAll(keepingCapacity: true)
        field.removeAll(keepingCapacity: true)
        isOpen = false
        byteCount = 0
    }

    /// - Parameter line: with its end, which counts when a quoted field is open.
    mutating func add(_ line: [UInt8]) -> State {
        byteCount += line.count
        var end = line.count
        if end > 0, line[end - 1] == 0x0A { end -= 1 }
        if end > 0, line[end - 1] == 0x0D { end -= 1 }
        var position = 0
        if !isOpen {
            isOpen = quotes && position < end && line[position] == UInt8(ascii: "\"")
            if isOpen { position += 1 }
        }
        while true {
            if isOpen {
                while position < line.count, line[position] != UInt8(ascii: "\"") {
                    field.append(line[position])
                    position += 1
                }
                if position == line.count { return .open }
                position += 1
                if position < line.count, line[position] == UInt8(ascii: "\"") {
                    field.append(UInt8(ascii: "\""))
                    position += 1
                    continue
                }
                isOpen = false
                guard position >= end || line[position] == separator else { return .bad("a quoted field goes on behind its closing quote") }
            } else {
                while position < end, line[position] != separator {
                    field.append(line[position])
                    position += 1
                }
            }
            fields.append(field)
            field.removeAll(keepingCapacity: true)
            if position >= end { return .row }
            position += 1
            isOpen = quotes && position < end && line[position] == UInt8(ascii: "\"")
            if isOpen { position += 1 }
        }
    }
}
