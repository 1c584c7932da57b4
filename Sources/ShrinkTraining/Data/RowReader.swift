import ShrinkJSON

/// Rows of a data file with the fields of some columns, one at a time.
public final class RowReader {
    private let lines: LineReader
    let format: DataFormat
    private let columns: [DataColumn]
    private let badRows: BadRows
    private let limits: DataLimits
    private var splitter: RowSplitter
    /// Where the columns are in a row of a table.
    private var places: [Int] = []
    /// Fields in the row of names.
    private var width: Int?
    /// The line in which the row starts, from 1.
    public private(set) var line = 0

    /// - Parameters:
    ///   - format: nil to tell by the name of the file.
    ///   - columns: of the fields that are wanted, in their order, all by name or all by number; ignored for plain text. With
    ///     names, the first row of a table holds them, and every row must have as many fields as it; with
    ///     numbers every row is data and must reach to the last column that is wanted.
    /// - Throws: `DataError`; `badTable` when a column is not there.
    public init(
        path: String, format: DataFormat? = nil, columns: [DataColumn], badRows: BadRows, limits: DataLimits = DataLimits()
    ) throws(DataError) {
        guard let format = format ?? DataFormat(path: path) else {
            throw DataError(.badTable, file: path, "the name does not tell what it is: .txt, .jsonl, .tsv or .csv, perhaps with .gz, .zst, .xz or .bz2")
        }
        self.format = format
        self.columns = columns
        self.badRows = badRows
        self.limits = limits
        lines = try LineReader(path: path, limits: limits)
        splitter = RowSplitter(separator: UInt8(ascii: format == .tabs ? "\t" : ","), quotes: format == .commas)
        if format == .tabs || format == .commas { try findColumns() }
    }

    public var path: String { lines.path }
    /// The line of plain text that `next` gave, with its end.
    var lineBytes: [UInt8] { lines.bytes }
    public var byteCount: Int { lines.byteCount }
    public var consumed: Int { lines.consumed }

    private func findColumns() throws(DataError) {
        var names: [String] = []
        for column in columns {
            switch column {
            case .name(let name): names.append(name)
            case .number(let number):
                guard number > 0 else { throw DataError(.badTable, file: path, "columns are numbered from 1, not \(number)") }
                places.append(number - 1)
            }
        }
        if names.isEmpty { return }
        guard places.isEmpty else { throw DataError(.badTable, file: path, "some columns are given by name and some by number; choose one") }
        var header: [String]?
        while header == nil, try lines.next() {
            if let problem = lines.problem { throw DataError(.badTable, file: path, line: lines.number, "the row of names \(problem)") }
            if lines.content.isEmpty { continue }
            header = try splitRow { reason throws(DataError) in
                throw DataError(.badTable, file: self.path, line: self.line, "the row of names: \(reason)")
            }
        }
        guard let header else { throw DataError(.noData, file: path, "is empty") }
        width = header.count
        for name in names {
            let found = header.indices.filter { Array(header[$0].utf8) == Array(name.utf8) }
            guard let place = found.first, found.count == 1 else {
                let what = found.isEmpty ? "no column is named" : "several columns are named"
                let shown = header.prefix(20).map { "\"\($0.prefix(40))\"" }.joined(separator: ", ")
                throw DataError(.badTable, file: path, line: line, "\(what) \"\(name)\"; there are \(shown)")
            }
            places.append(place)
        }
    }

    /// The fields of the next good row, one for each column; nil at the end. Empty lines are no rows, except in plain text.
    /// - Throws: `DataError`; `tooManyBadRows` by way of `badRows`.
    public func next() throws(DataError) -> [DataField]? {
        while try lines.next() {
            line = lines.number
            if let problem = lines.problem {
                try badRows.refuse(file: path, line: line, problem)
                continue
            }
            if format == .text {
                badRows.accept()
                return [.text(String(decoding: lines.content, as: UTF8.self))]
            }
            if lines.content.isEmpty { continue }
            let row = format == .jsonLines ? try members() : try tableRow()
            if let row {
                badRows.accept()
                return row
            }
        }
        return nil
    }

    /// Refuses the row that `next` gave: its fields are not what they should be.
    public func refuse(_ reason: String) throws(DataError) { try badRows.refuse(file: path, line: line, reason, wasAccepted: true) }

    /// Leaves out what has not become a row.
    private func skip(_ reason: String) throws(DataError) { try badRows.refuse(file: path, line: line, reason) }

    private func tableRow() throws(DataError) -> [DataField]? {
        guard let fields = try splitRow({ reason throws(DataError) in try self.skip(reason) }) else { return nil }
        if let width, fields.count != width {
            try skip("has \(fields.count) fields, the row of names \(width)")
            return nil
        }
        guard let last = places.max(), last < fields.count else {
            if places.isEmpty { return [] }
            try skip("has \(fields.count) fields, but column \((places.max() ?? 0) + 1) is wanted")
            return nil
        }
        return places.map { .text(fields[$0]) }
    }

    /// The fields of the row that starts in the current line; nil after `refuse` took it.
    private func splitRow(_ refuse: (String) throws(DataError) -> Void) throws(DataError) -> [String]? {
        splitter.reset()
        line = lines.number
        while true {
            switch splitter.add(lines.bytes) {
            case .row: return splitter.fields.map { String(decoding: $0, as: UTF8.self) }
            case .bad(let reason):
                try refuse(reason)
                return nil
            case .open:
                guard splitter.byteCount <= limits.lineByteCount, try lines.next() else {
                    try refuse("a quoted field is not closed")
                    return nil
                }
                if let problem = lines.problem {
                    try refuse("line \(lines.number) \(problem)")
                    return nil
                }
            }
        }
    }

    private func members() throws(DataError) -> [DataField]? {
        let object: JSON
        do { object = try JSON(parsing: Array(lines.content)) } catch {
            try skip(error.description)
            return nil
        }
        var row: [DataField] = []
        for column in columns {
            guard case .name(let name) = column else {
                throw DataError(.badTable, file: path, "columns of .jsonl are given by name, not by number")
            }
            guard let value = object[name] else {
                try skip("the member \"\(name)\" is missing")
                return nil
            }
            guard let field = Self.field(value) else {
                try skip("the member \"\(name)\" is neither text nor a number nor a list of them")
                return nil
            }
            row.append(field)
        }
        return row
    }

    private static func field(_ value: JSON) -> DataField? {
        if let text = text(value) { return .text(text) }
        guard let array = value.array else { return nil }
        let list = array.compactMap(text)
        return list.count == array.count ? .list(list) : nil
    }

    private static func text(_ value: JSON) -> String? {
        switch value {
        case .string(let text): text
        // 1 and 1.0 are the same label.
        case .number(let number): Int(exactly: number).map(String.init) ?? value.serialized
        case .integer, .bool: value.serialized
        default: nil
        }
    }
}
