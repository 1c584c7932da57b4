import ShrinkJSON

/// Writes a safetensors file in one pass, holding no tensor in memory.
///
/// Names, types and shapes are declared first and make the header; then the data is handed in, tensor
/// by tensor in the declared order, in pieces of any size. `finish` puts the file in its place. Before
/// that, or when the writer goes without it, no file of that name appears and an older one is untouched.
/// The header is padded with spaces so that the data starts at a multiple of 8; declaring wide types
/// first keeps every tensor aligned, as other writers do.
public final class SafetensorsWriter {
    public struct Declaration: Sendable {
        public var name: String
        public var type: TensorType
        /// Outermost dimension first.
        public var shape: [Int]

        public init(name: String, type: TensorType, shape: [Int]) {
            self.name = name
            self.type = type
            self.shape = shape
        }
    }

    public let path: String
    /// Bytes of the finished file.
    public let byteCount: Int
    private let tensors: [(name: String, type: TensorType, byteCount: Int)]
    private let output: ReplacementFile
    private var current = 0
    private var writtenOfCurrent = 0

    /// - Throws: `duplicateTensor`, `unsupportedType`, `invalidShape`, `sizeOverflow`, `headerTooLarge` for the
    ///   declarations; `duplicateKey` for the metadata; `cannotCreate`, `diskFull`, `writeFailed` for the file.
    public init(
        path: String, tensors declarations: [Declaration], metadata: [(key: String, value: String)] = []
    ) throws(CheckpointError) {
        var header = JSON.Object()
        if !metadata.isEmpty {
            var strings = JSON.Object()
            for (key, value) in metadata {
                guard strings.append(key, .string(value)) else {
                    throw CheckpointError(.duplicateKey, file: path, place: "__metadata__",
                        message: "the key \"\(key)\" occurs twice")
                }
            }
            header.append("__metadata__", .object(strings))
        }
        var tensors: [(name: String, type: TensorType, byteCount: Int)] = []
        var offset = 0
        for declaration in declarations {
            func refuse(_ code: CheckpointError.Code, _ message: String) -> CheckpointError {
                CheckpointError(code, file: path, place: "tensor \(declaration.name)", message: message)
            }
            let type = declaration.type
            guard type.blockSize == 1 else {
                throw refuse(.unsupportedType, "safetensors has no type \(type.name)")
            }
            guard declaration.shape.allSatisfy({ $0 >= 0 }) else {
                throw refuse(.invalidShape, "the shape \(declaration.shape) has a negative extent")
            }
            guard let elementCount = checkedElementCount(declaration.shape),
                let byteCount = type.byteCount(elementCount: elementCount),
                case let (end, overflow) = offset.addingReportingOverflow(byteCount), !overflow
            else {
                throw refuse(.sizeOverflow, "the shape \(declaration.shape) is too large")
            }
            var entry = JSON.Object()
            entry.append("dtype", .string(type.name))
            entry.append("shape", .array(declaration.shape.map(JSON.integer)))
            entry.append("data_offsets", .array([.integer(offset), .integer(end)]))
            guard header.append(declaration.name, .object(entry)), declaration.name != "__metadata__" else {
                throw refuse(.duplicateTensor, "the name is taken")
            }
            tensors.append((declaration.name, type, byteCount))
            offset = end
        }

        var text = Array(JSON.object(header).serialized.utf8)
        text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - text.count % 8) % 8))
        guard text.count <= SafetensorsFile.maximumHeaderByteCount else {
            throw CheckpointError(.headerTooLarge, file: path, message: "the header would take \(text.count) bytes")
        }
        let (byteCount, overflow) = offset.addingReportingOverflow(8 + text.count)
        guard !overflow else { throw CheckpointError(.sizeOverflow, file: path, message: "the tensors are too large") }

        self.path = path
        self.tensors = tensors
        self.byteCount = byteCount
        output = try ReplacementFile(path: path, expectedByteCount: byteCount)
        let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) }
        try writeOut(length + text)
    }

    /// Appends stored bytes of the tensor `name`, which must be the next incomplete one.
    /// - Throws: `wrongTensorData` for another tensor or too many bytes; `diskFull`, `writeFailed`.
    public func write(_ bytes: UnsafeRawBufferPointer, to name: String) throws(CheckpointError) {
        try checkRoom(for: bytes.count, of: name)
        try output.write(bytes)
        writtenOfCurrent += bytes.count
    }

    /// Appends elements of a tensor declared as F32, F16 or BF16, rounded to nearest, ties to even.
    /// - Throws: as `write(_:to:)`, and `unsupportedType` for another type.
    public func write(_ floats: UnsafeBufferPointer<Float>, to name: String) throws(CheckpointError) {
        try checkRoom(for: 0, of: name)
        switch tensors[current].type {
        case .f32: try write(UnsafeRawBufferPointer(floats), to: name)
        case .f16: try writeConverted(floats, to: name) { Float16($0).bitPattern }
        case .bf16: try writeConverted(floats, to: name, bfloat16)
        default:
            throw CheckpointError(.unsupportedType, file: path, place: "tensor \(name)",
                message: "floats cannot be stored as \(tensors[current].type.name)")
        }
    }

    /// Brings the file to the disk and under its name.
    /// - Throws: `wrongTensorData` when tensors are incomplete; `diskFull`, `writeFailed`.
    public func finish() throws(CheckpointError) {
        skipComplete { _ in true }
        guard current == tensors.count else {
            throw wrongData("has \(writtenOfCurrent) of its \(tensors[current].byteCount) bytes", tensors[current].name)
        }
        try output.commit()
    }

    private func writeConverted(
        _ floats: UnsafeBufferPointer<Float>, to name: String, _ convert: (Float) -> UInt16
    ) throws(CheckpointError) {
        var rest = floats[...]
        while !rest.isEmpty {
            let piece = rest.prefix(16384).map { convert($0).littleEndian }
            rest = rest.dropFirst(piece.count)
            try writeOut(piece, to: name)
        }
    }

    private func writeOut<T: BitwiseCopyable>(_ values: [T], to name: String? = nil) throws(CheckpointError) {
        let result = values.withUnsafeBytes { bytes in
            Result { () throws(CheckpointError) in
                if let name { try write(bytes, to: name) } else { try output.write(bytes) }
            }
        }
        try result.get()
    }

    private func checkRoom(for byteCount: Int, of name: String) throws(CheckpointError) {
        skipComplete { $0 != name }
        guard current < tensors.count else { throw wrongData("no declared tensor is left to write", name) }
        guard tensors[current].name == name else {
            throw wrongData("the next tensor is \(tensors[current].name)", name)
        }
        guard byteCount <= tensors[current].byteCount - writtenOfCurrent else {
            throw wrongData("has \(tensors[current].byteCount) bytes, more were given", name)
        }
    }

    /// Moves on while the current tensor has all its bytes and `condition` holds for its name.
    private func skipComplete(while condition: (String) -> Bool) {
        while current < tensors.count, writtenOfCurrent == tensors[current].byteCount,
            condition(tensors[current].name)
        {
            current += 1
            writtenOfCurrent = 0
        }
    }

    private func wrongData(_ message: String, _ name: String) -> CheckpointError {
        CheckpointError(.wrongTensorData, file: path, place: "tensor \(name)", message: message)
    }
}

/// The upper half of the float, rounded to nearest even; NaNs stay NaNs.
private func bfloat16(_ value: Float) -> UInt16 {
    let bits = value.bitPattern
    if value.isNaN { return UInt16(truncatingIfNeeded: bits >> 16) | 0x40 }
    return UInt16(truncatingIfNeeded: (bits + 0x7FFF + (bits >> 16 & 1)) >> 16)
}
