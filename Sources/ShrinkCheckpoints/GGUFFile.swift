/// A GGUF file, version 2 or 3, little-endian: header, metadata, tensor list, data.
///
/// The layout is that of the GGUF specification (`docs/gguf.md` of the ggml repository, section "File
/// Structure"). Every count and length is checked against the bytes that are left before anything is
/// allocated for it, and every tensor against the end of the file, the alignment and its neighbours.
/// Beyond the specification, a file may have 2²⁰ tensors, 2²⁰ metadata entries and strings of 2²⁴ bytes.
public struct GGUFFile: Sendable {
    public let version: Int
    /// Where tensors may start, in bytes: `general.alignment`, or 32.
    public let alignment: Int
    /// In file order; keys are unique.
    public let metadata: [(key: String, value: GGUFValue)]
    /// The tensors in file order, their shapes outermost dimension first.
    public let checkpoint: Checkpoint
    private let index: [[UInt8]: Int]

    private static let magic: UInt32 = 0x4655_4747

    /// Whether the file starts with the letters GGUF.
    static func isGGUF(_ file: MappedFile) -> Bool {
        var reader = ByteReader(file: file)
        return (try? reader.read(UInt32.self)) == magic
    }

    public subscript(key: String) -> GGUFValue? {
        index[Array(key.utf8)].map { metadata[$0].value }
    }

    public init(path: String) throws(CheckpointError) {
        try self.init(MappedFile(path: path))
    }

    public init(_ file: MappedFile) throws(CheckpointError) {
        guard Self.isGGUF(file) else {
            throw CheckpointError(.notGGUF, file: file.path, place: "byte 0", message: "is not a GGUF file")
        }
        var reader = ByteReader(file: file, position: 4)
        version = try Self.version(&reader)
        let tensorCount = try reader.count(of: "tensors", minimumBytes: TensorRecord.minimumByteCount, limit: 1 << 20)
        let entryCount = try reader.count(of: "metadata entries", minimumBytes: 13, limit: 1 << 20)

        var metadata: [(key: String, value: GGUFValue)] = []
        var index: [[UInt8]: Int] = [:]
        var alignment = 32
        for entry in 0..<entryCount {
            reader.subject = "metadata entry \(entry)"
            let key = try reader.name()
            reader.subject = "metadata \(key)"
            guard index.updateValue(entry, forKey: Array(key.utf8)) == nil else {
                throw reader.error(.duplicateKey, "the key occurs twice")
            }
            let type = try reader.valueType()
            let value = try reader.value(type)
            metadata.append((key, value))
            if key == "general.alignment" {
                guard type == .uint32, let number = value.int, number >= 8, number.nonzeroBitCount == 1 else {
                    throw reader.error(.invalidAlignment, "must be a 32-bit unsigned power of two from 8 on")
                }
                alignment = number
            }
        }

        var records: [TensorRecord] = []
        for number in 0..<tensorCount {
            reader.subject = "tensor \(number)"
            records.append(try TensorRecord(reading: &reader))
        }
        let (padded, overflow) = reader.position.addingReportingOverflow(alignment - 1)
        let dataStart = overflow ? reader.position : padded & ~(alignment - 1)
        var tensors: [CheckpointTensor] = []
        for record in records {
            tensors.append(try record.tensor(in: file, dataStart: dataStart, alignment: alignment))
        }
        try Self.checkOverlap(tensors)

        self.alignment = alignment
        self.metadata = metadata
        self.index = index
        checkpoint = try Checkpoint(tensors: tensors, files: [file])
    }

    private static func version(_ reader: inout ByteReader) throws(CheckpointError) -> Int {
        let start = reader
        let version: UInt32 = try reader.read()
        switch version {
        case 2, 3: return Int(version)
        case _ where (1...0xFFFF).contains(version.byteSwapped):
            throw start.error(.bigEndian, "the file is big-endian (version \(version.byteSwapped))")
        default: throw start.error(.unsupportedVersion, "GGUF version \(version) is not supported, only 2 and 3")
        }
    }

    private static func checkOverlap(_ tensors: [CheckpointTensor]) throws(CheckpointError) {
        let sorted = tensors.filter { $0.byteCount > 0 }.sorted { $0.byteOffset < $1.byteOffset }
        for (before, tensor) in zip(sorted, sorted.dropFirst())
        where before.byteOffset + before.byteCount > tensor.byteOffset {
            throw CheckpointError(.dataOverlap, file: tensor.file.path, place: "tensor \(tensor.name)",
                message: "its data overlaps that of \(before.name)")
        }
    }
}
