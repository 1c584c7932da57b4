extension TensorRecord {
    /// Elements of a row.
    public var rowElements: Int { Int(groups) &* Int(columns) }

    /// What is wrong with this record on its own; nil when nothing is. The arena's bounds belong to
    /// the entry points that use it.
    func problem(in header: ProgramHeader) -> StaticString? {
        guard groups >= 1, columns >= 1, groups <= ProgramVerifier.Limit.rowElements,
            columns <= ProgramVerifier.Limit.rowElements, rowElements <= ProgramVerifier.Limit.rowElements
        else { return "tensor: groups or columns out of range" }
        switch type {
        case .quantizedRow, .packedInt8, .packedFloat32:
            guard columns <= Program.maximumColumns else { return "tensor: more columns than an exact sum takes" }
        case .float32, .int32:
            break
        }
        return storage == .weights ? weightProblem(in: header) : arenaProblem(in: header)
    }

    private func weightProblem(in header: ProgramHeader) -> StaticString? {
        guard type != .quantizedRow, groups == 1 else { return "tensor: weights of this type do not exist" }
        guard rows >= 1, rows <= ProgramVerifier.Limit.rows else { return "tensor: rows out of range" }
        guard offset % UInt64(Program.weightAlignment) == 0 else { return "tensor: unaligned offset" }
        guard let bytes = weightByteCount else { return "tensor: too large" }
        let (end, overflow) = offset.addingReportingOverflow(bytes)
        return overflow || end > header.weightByteCount ? "tensor: outside the weights" : nil
    }

    private func arenaProblem(in header: ProgramHeader) -> StaticString? {
        guard type == .float32 || type == .quantizedRow else { return "tensor: activations of this type do not exist" }
        guard offset % UInt64(Program.rowAlignment) == 0 else { return "tensor: unaligned offset" }
        guard hasFixedRows ? rows >= 1 && rows <= ProgramVerifier.Limit.rows : rows == 0 else {
            return "tensor: rows out of range"
        }
        guard let end = arenaEnd else { return "tensor: too large" }
        if storage == .state, end > header.stateBytesPerPosition { return "tensor: outside the state" }
        if storage == .carry, end > header.carryByteCount { return "tensor: outside the carry" }
        return end > ProgramVerifier.Limit.regionBytes ? "tensor: too large" : nil
    }

    /// Whether `rows` says how many there are; else tokens or positions do.
    private var hasFixedRows: Bool { storage == .fixed || storage == .carry }

    /// Bytes outside the weights: per token or position, or of all rows of a fixed tensor. Rows have
    /// at most 2^24 elements of at most 32 bytes, and there are at most 2^24 rows.
    var arenaByteCount: UInt64 { hasFixedRows ? UInt64(rows) &* rowByteCount : rowByteCount }

    /// The end of the tensor in the units of its offset; nil on overflow.
    var arenaEnd: UInt64? {
        let (end, overflow) = offset.addingReportingOverflow(arenaByteCount)
        return overflow ? nil : end
    }

    /// Whether two tensors outside the weights, whose ends are known to exist, share bytes. Offsets
    /// of `tokens` and `state` scale with the capacity as sizes do, so this holds for every capacity.
    func overlaps(_ other: TensorRecord) -> Bool {
        storage == other.storage && offset < other.offset &+ other.arenaByteCount
            && other.offset < offset &+ arenaByteCount
    }

    /// Whether two tensors are the same rows of the same type, however they are split into groups.
    func coincides(with other: TensorRecord) -> Bool {
        storage == other.storage && offset == other.offset && type == other.type && rows == other.rows
            && rowElements == other.rowElements && (type == .float32 || groups == other.groups)
    }
}
