/// A program in memory that belongs to someone else. Only the header and the sizes of the sections
/// have been checked; records are read on demand.
public struct ProgramView: @unchecked Sendable {
    public let bytes: UnsafeRawBufferPointer
    public let header: ProgramHeader

    private let base: UnsafeRawPointer
    private let instructionOffset: Int
    private let entryOffset: Int
    private let labelOffset: Int
    private let stringOffset: Int

    /// Throws `invalidArtifact` when the sections do not fill the bytes exactly, `unsupportedVersion`
    /// with (major << 16 | minor) when a newer or older runtime is needed.
    public init(_ bytes: UnsafeRawBufferPointer) throws(RuntimeError) {
        guard let base = bytes.baseAddress, bytes.count >= ProgramHeader.byteCount, let header = ProgramHeader(reading: base)
        else { throw RuntimeError(.invalidArtifact, "the program has no valid header", 0) }
        guard header.majorVersion == Program.majorVersion, header.minorVersion == Program.minorVersion else {
            let isOlder = (header.majorVersion, header.minorVersion) < (Program.majorVersion, Program.minorVersion)
            throw RuntimeError(
                .unsupportedVersion,
                isOlder
                    ? "it was packed for an older version of shrink: pack the model again"
                    : "it was packed for a newer version of shrink: update this one, or pack the model with it",
                Int(header.majorVersion) << 16 | Int(header.minorVersion))
        }
        // 32-bit counts times at most 96: the sum fits 64 bits.
        instructionOffset = ProgramHeader.byteCount + Int(header.tensorCount) * TensorRecord.byteCount
        entryOffset = instructionOffset + Int(header.instructionCount) * InstructionRecord.byteCount
        labelOffset = entryOffset + Int(header.entryCount) * EntryRecord.byteCount
        stringOffset = labelOffset + Int(header.labelCount) * Self.labelByteCount
        guard stringOffset + Int(header.stringByteCount) == bytes.count else {
            throw RuntimeError(.invalidArtifact, "the sections of the program do not fill its entry", bytes.count)
        }
        self.bytes = bytes
        self.base = base
        self.header = header
    }

    static let labelByteCount = 8

    /// Nil when out of range or malformed; so are the others.
    public func tensor(_ index: Int) -> TensorRecord? {
        guard index >= 0, index < Int(header.tensorCount) else { return nil }
        return TensorRecord(reading: base + ProgramHeader.byteCount + index * TensorRecord.byteCount)
    }

    public func instruction(_ index: Int) -> InstructionRecord? {
        guard index >= 0, index < Int(header.instructionCount) else { return nil }
        return InstructionRecord(reading: base + instructionOffset + index * InstructionRecord.byteCount)
    }

    public func entry(_ index: Int) -> EntryRecord? {
        guard index >= 0, index < Int(header.entryCount) else { return nil }
        return EntryRecord(reading: base + entryOffset + index * EntryRecord.byteCount)
    }

    /// The first entry point of a kind.
    public func entry(_ kind: EntryRecord.Kind) -> EntryRecord? {
        for i in 0..<Int(header.entryCount) {
            if let entry = entry(i), entry.kind == kind { return entry }
        }
        return nil
    }

    /// The UTF-8 bytes of a label.
    public func label(_ index: Int) -> UnsafeRawBufferPointer? {
        guard index >= 0, index < Int(header.labelCount) else { return nil }
        var reader = RecordReader(base: base + labelOffset + index * Self.labelByteCount)
        let offset = Int(reader.read(UInt32.self))
        let count = Int(reader.read(UInt32.self))
        guard offset + count <= Int(header.stringByteCount) else { return nil }
        return UnsafeRawBufferPointer(start: base + stringOffset + offset, count: count)
    }
}
