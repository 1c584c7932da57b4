import ShrinkJSON

/// A safetensors file: eight bytes of header length, a JSON header, the data.
///
/// Every rule of the format (safetensors README, sections "Format" and "Benefits") is enforced before
/// the first tensor is handed out: the header is at most 100,000,000 bytes, starts with `{` and has no key
/// twice; the tensors' ranges cover the data without hole and overlap; each range fits type and shape.
public struct SafetensorsFile: Sendable {
    /// The tensors by increasing offset.
    public let checkpoint: Checkpoint
    /// The strings of `__metadata__`, in file order.
    public let metadata: [(key: String, value: String)]

    static let maximumHeaderByteCount = 100_000_000
    /// Enough for half a million tensors.
    static let maximumHeaderValueCount = 4_000_000

    public init(path: String) throws(CheckpointError) {
        try self.init(MappedFile(path: path))
    }

    public init(_ file: MappedFile) throws(CheckpointError) {
        let parser = SafetensorsParser(file: file)
        let (header, dataStart) = try parser.header()
        var metadata: [(key: String, value: String)] = []
        var tensors: [CheckpointTensor] = []
        for (name, value) in header.members {
            if name == "__metadata__" {
                metadata = try parser.metadata(value)
            } else {
                tensors.append(try parser.tensor(name, value, dataStart: dataStart))
            }
        }
        tensors.sort { ($0.byteOffset, $0.byteCount) < ($1.byteOffset, $1.byteCount) }
        try parser.checkCoverage(tensors, dataStart: dataStart)
        self.metadata = metadata
        checkpoint = try Checkpoint(tensors: tensors, files: [file])
    }
}

private struct SafetensorsParser {
    let file: MappedFile

    func error(_ code: CheckpointError.Code, _ place: String, _ message: String) -> CheckpointError {
        CheckpointError(code, file: file.path, place: place, message: message)
    }

    func header() throws(CheckpointError) -> (JSON.Object, dataStart: Int) {
        var reader = ByteReader(file: file)
        let length: UInt64 = try reader.read()
        guard let count = Int(exactly: length), count <= SafetensorsFile.maximumHeaderByteCount else {
            throw error(.headerTooLarge, "byte 0",
                "the header claims \(length) bytes, more than the \(SafetensorsFile.maximumHeaderByteCount) allowed")
        }
        guard count <= reader.remaining else {
            throw error(.headerBeyondFile, "byte 0",
                "the header claims \(count) bytes, the file has \(reader.remaining) after the length")
        }
        let text = UnsafeRawBufferPointer(rebasing: file.bytes[8..<8 + count])
        guard text.first == UInt8(ascii: "{") else {
            throw error(.headerNotAnObject, "byte 8", "the header does not start with '{'")
        }
        let json: JSON
        do throws(JSONError) {
            json = try JSON(parsing: text, maximumValueCount: SafetensorsFile.maximumHeaderValueCount)
        } catch {
            throw self.error(error.kind == .duplicateKey ? .duplicateKey : .headerNotJSON,
                "byte \(8 + error.byteOffset)", "the JSON header cannot be read: \(error.reason)")
        }
        guard case .object(let object) = json else {
            throw error(.headerNotAnObject, "byte 8", "the header is not a JSON object")
        }
        return (object, 8 + count)
    }

    func metadata(_ value: JSON) throws(CheckpointError) -> [(key: String, value: String)] {
        guard case .object(let object) = value else {
            throw error(.metadataNotStrings, "__metadata__", "is not a JSON object")
        }
        var pairs: [(key: String, value: String)] = []
        for (key, value) in object.members {
            guard case .string(let string) = value else {
                throw error(.metadataNotStrings, "__metadata__", "the value of \"\(key)\" is not a string")
            }
            pairs.append((key, string))
        }
        return pairs
    }

    func tensor(_ name: String, _ value: JSON, dataStart: Int) throws(CheckpointError) -> CheckpointTensor {
        let place = "tensor \(name)"
        guard case .object(let entry) = value, entry.members.count == 3,
            case .string(let typeName)? = entry["dtype"],
            case .array(let extents)? = entry["shape"],
            case .array(let offsets)? = entry["data_offsets"], offsets.count == 2,
            case .integer(let begin) = offsets[0], case .integer(let end) = offsets[1]
        else {
            throw error(.malformedTensorEntry, place,
                "must have a string \"dtype\", an array \"shape\", two integers \"data_offsets\", and nothing else")
        }
        guard let type = TensorType(rawValue: typeName), type.blockSize == 1 else {
            throw error(.unsupportedType, place, "the type \"\(typeName)\" is not supported")
        }
        var shape: [Int] = []
        for extent in extents {
            guard case .integer(let extent) = extent, extent >= 0 else {
                throw error(.invalidShape, place, "the shape has an extent that is not a whole number in range")
            }
            shape.append(extent)
        }
        guard let elementCount = checkedElementCount(shape),
            let byteCount = type.byteCount(elementCount: elementCount)
        else {
            throw error(.sizeOverflow, place, "the shape \(shape) is too large")
        }
        guard begin <= end else {
            throw error(.offsetsReversed, place, "the data ends at \(end), before its start at \(begin)")
        }
        guard begin >= 0, end <= file.bytes.count - dataStart else {
            throw error(.dataBeyondFile, place,
                "the data at \(begin)..<\(end) lies outside the \(file.bytes.count - dataStart) bytes of the file")
        }
        guard end - begin == byteCount else {
            throw error(.sizeMismatch, place,
                "\(type.name) \(shape) takes \(byteCount) bytes, the offsets give \(end - begin)")
        }
        return CheckpointTensor(name: name, type: type, shape: shape, elementCount: elementCount,
            byteRange: dataStart + begin..<dataStart + end, file: file)
    }

    /// `tensors` must be sorted by offset.
    func checkCoverage(_ tensors: [CheckpointTensor], dataStart: Int) throws(CheckpointError) {
        var covered = dataStart
        for tensor in tensors {
            if tensor.byteOffset > covered {
                throw error(.dataHole, "tensor \(tensor.name)",
                    "\(tensor.byteOffset - covered) bytes before its data belong to no tensor")
            }
            if tensor.byteOffset < covered {
                throw error(.dataOverlap, "tensor \(tensor.name)",
                    "its data overlaps that of another tensor by \(covered - tensor.byteOffset) bytes")
            }
            covered += tensor.byteCount
        }
        guard covered == file.bytes.count else {
            throw error(.dataUncovered, "byte \(covered)",
                "the last \(file.bytes.count - covered) bytes belong to no tensor")
        }
    }
}
