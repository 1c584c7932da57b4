/// The types that GGUF metadata can have, with their numbers in the file (GGUF specification,
/// `gguf_metadata_value_type`).
public enum GGUFValueType: UInt32, Sendable {
    case uint8 = 0, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// Bytes of one value; the fewest that it can have for strings and arrays.
    var minimumByteCount: Int {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64, .string: 8
        case .array: 12
        }
    }
}

/// One metadata value. Integers and floats of all widths are widened, which loses nothing.
public enum GGUFValue: Sendable {
    case unsigned(UInt64)
    case signed(Int64)
    case float(Double)
    case bool(Bool)
    /// The bytes as they stand: text is UTF-8 by the specification, but tokens of real vocabularies need not be.
    case string([UInt8])
    case array(GGUFArray)

    /// An integer that fits.
    public var int: Int? {
        switch self {
        case .unsigned(let value): Int(exactly: value)
        case .signed(let value): Int(exactly: value)
        case .float, .bool, .string, .array: nil
        }
    }

    /// Any number.
    public var double: Double? {
        switch self {
        case .unsigned(let value): Double(value)
        case .signed(let value): Double(value)
        case .float(let value): value
        case .bool, .string, .array: nil
        }
    }

    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    public var bytes: [UInt8]? { if case .string(let value) = self { value } else { nil } }
    /// A string that is valid UTF-8.
    public var string: String? { bytes.flatMap { String(validating: $0, as: UTF8.self) } }
    public var array: GGUFArray? { if case .array(let value) = self { value } else { nil } }
}

/// An array in the metadata, left in the mapped file until it is asked for: a vocabulary costs nothing
/// while only the configuration is read. Each property decodes the whole array anew.
public struct GGUFArray: Sendable {
    public let elementType: GGUFValueType
    public let count: Int
    let file: MappedFile
    let byteOffset: Int

    /// The elements of an array of strings, as bytes.
    public var byteStrings: [[UInt8]]? {
        guard elementType == .string else { return nil }
        return decoded { reader throws(CheckpointError) in [UInt8](try reader.string()) }
    }

    /// The elements of an array of strings that are all valid UTF-8.
    public var strings: [String]? {
        guard elementType == .string else { return nil }
        return decoded { reader throws(CheckpointError) in String(validating: try reader.string(), as: UTF8.self) }
    }

    /// The elements of an array of integers that all fit.
    public var ints: [Int]? { mapped(\.int) }

    /// The elements of an array of numbers, float64 and integers rounded to nearest.
    public var floats: [Float]? { mapped { $0.double.map(Float.init) } }

    public var bools: [Bool]? { mapped(\.bool) }

    /// Elements of any type; the way to the elements of nested arrays.
    public var values: [GGUFValue]? { mapped { $0 } }

    private func mapped<T>(_ transform: (GGUFValue) -> T?) -> [T]? {
        decoded { reader throws(CheckpointError) in transform(try reader.value(elementType)) }
    }

    /// The structure was checked when the file was opened; the reads are checked all the same, because
    /// another process may have written to the file since. Nil when an element is not as asked.
    private func decoded<T>(_ element: (inout ByteReader) throws(CheckpointError) -> T?) -> [T]? {
        var reader = ByteReader(file: file, position: byteOffset)
        var result: [T] = []
        result.reserveCapacity(count)
        for _ in 0..<count {
            guard let value = (try? element(&reader)) ?? nil else { return nil }
            result.append(value)
        }
        return result
    }
}

extension ByteReader {
    /// Arrays may hold arrays; no model nests them, so four levels are generous.
    private static let maximumDepth = 4

    mutating func valueType() throws(CheckpointError) -> GGUFValueType {
        let start = self
        let number: UInt32 = try read()
        guard let type = GGUFValueType(rawValue: number) else {
            throw start.error(.unknownValueType, "\(number) is not a type of metadata")
        }
        return type
    }

    mutating func value(_ type: GGUFValueType, depth: Int = 0) throws(CheckpointError) -> GGUFValue {
        switch type {
        case .uint8: .unsigned(UInt64(try read(UInt8.self)))
        case .uint16: .unsigned(UInt64(try read(UInt16.self)))
        case .uint32: .unsigned(UInt64(try read(UInt32.self)))
        case .uint64: .unsigned(try read())
        case .int8: .signed(Int64(try read(Int8.self)))
        case .int16: .signed(Int64(try read(Int16.self)))
        case .int32: .signed(Int64(try read(Int32.self)))
        case .int64: .signed(try read())
        case .float32: .float(Double(Float(bitPattern: try read())))
        case .float64: .float(Double(bitPattern: try read()))
        case .bool: .bool(try bool())
        case .string: .string([UInt8](try string()))
        case .array: .array(try array(depth: depth))
        }
    }

    private mutating func bool() throws(CheckpointError) -> Bool {
        let start = self
        let byte: UInt8 = try read()
        guard byte <= 1 else { throw start.error(.invalidBool, "a truth value is \(byte), neither 0 nor 1") }
        return byte == 1
    }

    /// Reads type and count of an array and walks over its elements, checking them.
    private mutating func array(depth: Int) throws(CheckpointError) -> GGUFArray {
        guard depth < Self.maximumDepth else {
            throw error(.nestedTooDeep, "arrays are nested more than \(Self.maximumDepth) levels deep")
        }
        let type = try valueType()
        let count = try count(of: "array elements", minimumBytes: type.minimumByteCount)
        let start = position
        switch type {
        case .string: for _ in 0..<count { _ = try string() }
        case .array: for _ in 0..<count { _ = try array(depth: depth + 1) }
        case .bool: for _ in 0..<count { _ = try bool() }
        default: try skip(count * type.minimumByteCount)
        }
        return GGUFArray(elementType: type, count: count, file: file, byteOffset: start)
    }
}
