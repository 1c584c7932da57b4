/// An entry of the tensor list: name, extents, type and offset.
struct TensorRecord {
    /// Empty name, no extents.
    static let minimumByteCount = 8 + 4 + 4 + 8

    private let name: String
    private let type: TensorType
    private let shape: [Int]
    private let offset: UInt64
    private let elementCount: Int
    private let byteCount: Int

    init(reading reader: inout ByteReader) throws(CheckpointError) {
        name = try reader.name()
        reader.subject = "tensor \(name)"
        let dimensionCount: UInt32 = try reader.read()
        guard dimensionCount <= 4 else {
            throw reader.error(.tooManyDimensions, "has \(dimensionCount) dimensions; GGUF allows 4")
        }
        var shape: [Int] = []
        for _ in 0..<dimensionCount {
            let extent: UInt64 = try reader.read()
            guard let extent = Int(exactly: extent) else {
                throw reader.error(.sizeOverflow, "the extent \(extent) is too large")
            }
            shape.append(extent)
        }
        let rowLength = shape.first ?? 1
        shape.reverse()
        let number: UInt32 = try reader.read()
        guard let type = Self.type(number) else {
            let known = Self.unsupportedNames[number].map { " (\($0))" } ?? ""
            throw reader.error(.unsupportedType, "the type \(number)\(known) is not supported")
        }
        guard rowLength % type.blockSize == 0 else {
            throw reader.error(.partialBlock,
                "rows of \(rowLength) elements are no whole number of \(type.name) blocks of \(type.blockSize)")
        }
        guard let elementCount = checkedElementCount(shape),
            let byteCount = type.byteCount(elementCount: elementCount)
        else {
            throw reader.error(.sizeOverflow, "the shape \(shape) is too large")
        }
        offset = try reader.read()
        self.type = type
        self.shape = shape
        self.elementCount = elementCount
        self.byteCount = byteCount
    }

    func tensor(in file: MappedFile, dataStart: Int, alignment: Int) throws(CheckpointError) -> CheckpointTensor {
        func failure(_ code: CheckpointError.Code, _ message: String) -> CheckpointError {
            CheckpointError(code, file: file.path, place: "tensor \(name)", message: message)
        }
        guard offset % UInt64(alignment) == 0 else {
            throw failure(.misalignedTensor, "the offset \(offset) is no multiple of the alignment \(alignment)")
        }
        guard let offset = Int(exactly: offset), dataStart <= file.bytes.count,
            offset <= file.bytes.count - dataStart, byteCount <= file.bytes.count - dataStart - offset
        else {
            throw failure(.dataBeyondFile, "\(byteCount) bytes at offset \(offset) lie outside "
                + "the \(max(0, file.bytes.count - dataStart)) bytes of data")
        }
        let start = dataStart + offset
        return CheckpointTensor(name: name, type: type, shape: shape, elementCount: elementCount,
            byteRange: start..<start + byteCount, file: file)
    }

    /// The numbers of `enum ggml_type` that this library reads.
    private static func type(_ number: UInt32) -> TensorType? {
        switch number {
        case 0: .f32
        case 1: .f16
        case 2: .q4_0
        case 3: .q4_1
        case 6: .q5_0
        case 7: .q5_1
        case 8: .q8_0
        case 12: .q4_K
        case 13: .q5_K
        case 14: .q6_K
        case 24: .i8
        case 25: .i16
        case 26: .i32
        case 27: .i64
        case 28: .f64
        case 30: .bf16
        default: nil
        }
    }

    /// The others that have a name, to tell the user what the file is made of.
    private static let unsupportedNames: [UInt32: String] = [
        9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
        20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
        40: "NVFP4", 41: "Q1_0",
    ]
}
