/// Counts rows that cannot be used, tells of the first ones, and refuses data with too many.
public final class BadRows {
    /// Of all rows; 0 refuses the first.
    public let maximumShare: Double
    public private(set) var count = 0
    public private(set) var rows = 0
    private let report: (DataError) -> Void
    private var last: DataError?

    /// So many are told of one by one.
    public static let reportedCount = 10

    /// - Parameter report: gets a description of each of the first bad rows.
    public init(maximumShare: Double, report: @escaping (DataError) -> Void = { _ in }) {
        self.maximumShare = maximumShare
        self.report = report
    }

    public func accept() { rows += 1 }

    /// - Parameter wasAccepted: whether the row has been taken for a good one before.
    /// - Throws: `tooManyBadRows` as soon as it is certain that the data is not as it should be: at the
    ///   first bad row where none is allowed, or when of a thousand or more twice the share is bad.
    public func refuse(file: String, line: Int, _ reason: String, wasAccepted: Bool = false) throws(DataError) {
        if !wasAccepted { rows += 1 }
        count += 1
        let error = DataError(.tooManyBadRows, file: file, line: line, reason)
        last = error
        if maximumShare <= 0 { throw error }
        if count <= Self.reportedCount { report(error) }
        if rows >= 1000, Double(count) > 2 * maximumShare * Double(rows) { try check() }
    }

    /// Called when all rows have been seen.
    /// - Throws: `tooManyBadRows` when their share is above the maximum.
    public func check() throws(DataError) {
        guard let last, Double(count) > maximumShare * Double(rows) else { return }
        throw DataError(
            .tooManyBadRows, file: last.file, line: last.line,
            "\(last.message); \(count) of \(rows) are bad, more than the allowed share of \(maximumShare)")
    }
}
