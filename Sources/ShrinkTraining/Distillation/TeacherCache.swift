import ShrinkCheckpoints
import ShrinkCompute
import ShrinkFormat
import ShrinkGraph
import ShrinkJSON

/// The file of what a teacher says about every example: little-endian
///
///     rows      of each example and value in the order of the table, without padding: Float16 or Float32
///     places    UInt64 for each example: where its rows begin
///     tokens    UInt32 for each example
///     values    JSON: [{"name": …, "numbers": "float16" or "float32", "width": …, "rows": "tokens" or "sequence"}, …]
///     footer    160 bytes: "SHRKTEAC", version, zero (UInt32 each), examples, bytes of values (UInt64 each), fingerprint of the
///               teacher, of the data, SHA-256 of all before the footer (32 bytes each), zeros
///
/// Examples stand in the order of their lengths. Nothing in it can be used without its checksum.
enum TeacherCacheFormat {
    static let magic = Array("SHRKTEAC".utf8)
    static let version: UInt32 = 1
    static let footerByteCount = 160
    static let maximumTokens = 1 << 20
    static let maximumWidth = 1 << 25
    static let maximumValueCount = 4096
    static let maximumDescriptionByteCount = 1 << 20

    struct Value: Equatable {
        var name: String
        var isHalf: Bool
        var width: Int
        /// A row for each token, or one for the sequence.
        var isByToken: Bool

        var rowByteCount: Int { width * (isHalf ? 2 : 4) }
        func rows(_ tokens: Int) -> Int { isByToken ? tokens : 1 }

        init(_ target: TeacherTarget, _ type: ValueType, numbers: CachedTeacher.Numbers) throws {
            guard let width = type.width, type.shape.count == 2 || type.shape.count == 3 else {
                throw TrainingError(.mismatch, "", "\(target.name) has the type \(type), which no cache can hold")
            }
            name = target.name
            // Numbers of classes must be exact.
            if case .top = target { isHalf = false } else { isHalf = numbers == .float16 }
            self.width = width
            isByToken = type.shape.count == 3
        }

        init?(_ json: JSON) {
            guard let name = json["name"]?.string, let width = json["width"]?.int, 1...TeacherCacheFormat.maximumWidth ~= width,
                let numbers = json["numbers"]?.string.flatMap(CachedTeacher.Numbers.init), let rows = json["rows"]?.string, rows == "tokens" || rows == "sequence"
            else { return nil }
            self.name = name
            self.width = width
            isHalf = numbers == .float16
            isByToken = rows == "tokens"
        }

        var json: JSON {
            var object = JSON.Object()
            object.append("name", .string(name))
            object.append("numbers", .string((isHalf ? CachedTeacher.Numbers.float16 : .float32).rawValue))
            object.append("width", .integer(width))
            object.append("rows", .string(isByToken ? "tokens" : "sequence"))
            return .object(object)
        }
    }
}

/// A teacher that has run once over all examples, and whose values are read from a file.
public final class CachedTeacher: Teacher {
    public enum Numbers: String, Sendable, CaseIterable { case float16, float32 }

    public let fingerprint: Fingerprint
    /// Examples that it knows.
    public let count: Int
    private let file: MappedFile
    private let values: [TeacherCacheFormat.Value]
    private let placesStart: Int

    /// Opens and checks a cache.
    ///
    /// - Parameters:
    ///   - teacher: fingerprint of the teacher whose values are wanted.
    ///   - data: fingerprint of the examples, which covers their tokenizer.
    ///   - student: the graph that asks for the values.
    ///   - numbers: what they must be kept in; nil: whatever they are.
    /// - Throws: `DataError` `badStore` that says what does not fit or is damaged; `CheckpointError` when the file cannot be read.
    public init(path: String, teacher: Fingerprint, data: Fingerprint, for student: Graph, count: Int, numbers: Numbers? = nil) throws {
        let file = try MappedFile(path: path), bytes = file.bytes
        func damaged(_ reason: String) -> DataError { DataError(.badStore, file: path, "is no sound cache of a teacher: \(reason); delete it, and it is made again") }
        func other(_ reason: String) -> DataError {
            DataError(.badStore, file: path, "\(reason). Delete it to have the teacher run again, or give another directory")
        }
        guard bytes.count >= TeacherCacheFormat.footerByteCount else { throw damaged("it is too short") }
        let footerStart = bytes.count - TeacherCacheFormat.footerByteCount
        func number<T: FixedWidthInteger>(_ at: Int, _ type: T.Type) -> T { T(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: T.self)) }
        guard bytes[footerStart..<footerStart + 8].elementsEqual(TeacherCacheFormat.magic) else { throw damaged("its end is not that of a cache") }
        guard number(footerStart + 8, UInt32.self) == TeacherCacheFormat.version else { throw damaged("it is of another version") }
        let found = (0..<3).map { Fingerprint(bytes: Array(bytes[footerStart + 32 + 32 * $0..<footerStart + 64 + 32 * $0])) }
        guard found[0] == teacher else { throw other("holds values of another teacher (\(found[0]), expected \(teacher))") }
        guard found[1] == data else { throw other("is about other data, another tokenizer or other settings (\(found[1]), expected \(data))") }
        guard let examples = Int(exactly: number(footerStart + 16, UInt64.self)), let length = Int(exactly: number(footerStart + 24, UInt64.self)),
            examples < 1 << 40, 0...TeacherCacheFormat.maximumDescriptionByteCount ~= length, footerStart >= 12 * examples + length
        else { throw damaged("impossible sizes") }
        guard examples == count else { throw other("is about \(examples) examples, where there are \(count)") }
        placesStart = footerStart - length - 12 * examples
        guard let list = try? JSON(parsing: UnsafeRawBufferPointer(rebasing: bytes[footerStart - length..<footerStart])).array,
            1...TeacherCacheFormat.maximumValueCount ~= list.count
        else {
            throw damaged("its table of values cannot be read")
        }
        values = try list.map { json in
            guard let value = TeacherCacheFormat.Value(json) else { throw damaged("its table of values cannot be read") }
            return value
        }
        for (target, type) in student.teacherTargets {
            guard let value = values.first(where: { $0.name == target.name }), value.width == type.width, value.isByToken == (type.shape.count == 3) else {
                throw other("has no \(target.name.dropFirst(TeacherTarget.prefix.count)) of the type \(type), which the losses ask for")
            }
            if let numbers, try value.isHalf != TeacherCacheFormat.Value(target, type, numbers: numbers).isHalf {
                throw other("holds numbers in \(value.isHalf ? Numbers.float16.rawValue : Numbers.float32.rawValue), not in \(numbers.rawValue)")
            }
        }
        self.file = file
        self.count = examples
        fingerprint = teacher
        guard Self.digest(of: file, byteCount: footerStart) == found[2].bytes else { throw damaged("its checksum is wrong") }
        for example in 0..<examples {
            let tokens = tokens(example)
            guard 1...TeacherCacheFormat.maximumTokens ~= tokens, let place = Int(exactly: rawPlace(example)), place <= placesStart,
                values.reduce(0, { $0 + $1.rows(tokens) * $1.rowByteCount }) <= placesStart - place
            else { throw damaged("the rows of example \(example) are outside of it") }
        }
    }

    private static func digest(of file: MappedFile, byteCount: Int) -> [UInt8] {
        var hash = SHA256()
        let piece = 4 << 20
        for start in stride(from: 0, to: byteCount, by: piece) {
            let range = start..<min(start + piece, byteCount)
            hash.update(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
            file.discard(range)
        }
        return Fingerprint.bytes(of: hash)
    }

    private func rawPlace(_ example: Int) -> UInt64 { UInt64(littleEndian: file.bytes.loadUnaligned(fromByteOffset: placesStart + 8 * example, as: UInt64.self)) }

    private func tokens(_ example: Int) -> Int {
        Int(UInt32(littleEndian: file.bytes.loadUnaligned(fromByteOffset: placesStart + 8 * count + 4 * example, as: UInt32.self)))
    }

    public func targets(_ names: [String], for inputs: HostInputs, examples: [Int]) throws -> [String: HostTensor] {
        guard examples.count == inputs.batch else { throw TrainingError(.mismatch, file.path, "a batch of \(inputs.batch) has \(examples.count) examples") }
        var result: [String: HostTensor] = [:]
        for name in names {
            guard let value = values.first(where: { $0.name == name }) else { throw TrainingError(.mismatch, file.path, "the cache has no \(name)") }
            let tensor = HostTensor(shape: value.isByToken ? [inputs.batch, inputs.tokens, value.width] : [inputs.batch, value.width])
            // Rows of padding: a class of that number there is.
            tensor.buffer.initialize(repeating: 0)
            let stride = tensor.buffer.count / max(inputs.batch, 1)
            for (sequence, example) in examples.enumerated() {
                let length = inputs.integers["lengths"].map { Int($0[sequence]) } ?? inputs.tokens
                guard 0..<count ~= example, tokens(example) == length else {
                    throw TrainingError(.mismatch, file.path, "the example \(example) has \(length) tokens, but other ones in the cache")
                }
                var place = Int(rawPlace(example))
                for earlier in values.prefix(while: { $0.name != name }) { place += earlier.rows(length) * earlier.rowByteCount }
                let target = UnsafeMutableBufferPointer(rebasing: tensor.buffer[sequence * stride..<sequence * stride + value.rows(length) * value.width])
                read(place, into: target, isHalf: value.isHalf)
            }
            result[name] = tensor
        }
        return result
    }

    private func read(_ place: Int, into target: UnsafeMutableBufferPointer<Float>, isHalf: Bool) {
        let bytes = file.bytes
        for index in target.indices {
            target[index] = isHalf
                ? Float(Float16(bitPattern: UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: place + 2 * index, as: UInt16.self))))
                : Float(bitPattern: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: place + 4 * index, as: UInt32.self)))
        }
    }
}

extension CachedTeacher {
    /// Runs a teacher over all examples of a source and writes what a student asks for. The file appears when it is complete: after an
    /// interruption there is none, and it is begun again.
    ///
    /// - Parameters:
    ///   - source: gives the same inputs for an example every time.
    ///   - progress: gets examples done and in all; may throw to stop.
    /// - Throws: `TrainingError` for values that are not finite, or too large for `numbers`; `CheckpointError` when the file cannot be
    ///   written; what the teacher throws.
    public static func write(
        to path: String, _ teacher: any Teacher, source: any BatchSource, data: Fingerprint, for student: Graph, numbers: Numbers = .float16,
        batchSize: Int = 16, progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws {
        let values = try student.teacherTargets.map { try TeacherCacheFormat.Value($0.target, $0.type, numbers: numbers) }
        let output = try ReplacementFile(path: path, expectedByteCount: 0)
        var hash = SHA256()
        func write(_ bytes: UnsafeRawBufferPointer) throws {
            hash.update(bytes)
            try output.write(bytes)
        }
        let order = source.lengths.map { length in (0..<source.count).map { (length($0), $0) }.sorted { $0 < $1 }.map(\.1) } ?? Array(0..<source.count)
        var places = [UInt64](repeating: 0, count: source.count), tokens = [UInt32](repeating: 0, count: source.count), written: UInt64 = 0
        var packed: [UInt8] = []
        for start in stride(from: 0, to: order.count, by: batchSize) {
            try progress(start, order.count)
            let examples = Array(order[start..<min(start + batchSize, order.count)])
            let inputs = try source.batch(examples, epoch: 0).inputs
            let targets = try teacher.targets(values.map(\.name), for: inputs, examples: examples)
            packed.removeAll(keepingCapacity: true)
            for (sequence, example) in examples.enumerated() {
                let length = inputs.integers["lengths"].map { Int($0[sequence]) } ?? inputs.tokens
                places[example] = written + UInt64(packed.count)
                tokens[example] = UInt32(length)
                for value in values {
                    guard let tensor = targets[value.name] else { throw TrainingError(.mismatch, "", "the teacher gave no \(value.name)") }
                    let count = value.rows(length) * value.width, all = tensor.buffer.count / inputs.batch
                    guard tensor.width == value.width, count <= all else {
                        throw TrainingError(.mismatch, "", "the teacher's \(value.name) has the shape \(tensor.shape), \(value.width) numbers a row are needed")
                    }
                    try append(tensor.buffer[sequence * all..<sequence * all + count], value, to: &packed)
                }
            }
            try packed.withUnsafeBytes(write)
            written += UInt64(packed.count)
        }
        let description = Array(JSON.array(values.map(\.json)).serialized.utf8)
        try places.map(\.littleEndian).withUnsafeBytes(write)
        try tokens.map(\.littleEndian).withUnsafeBytes(write)
        try description.withUnsafeBytes(write)
        var footer = TeacherCacheFormat.magic
        for number in [TeacherCacheFormat.version, 0] { footer += withUnsafeBytes(of: number.littleEndian, Array.init) }
        for number in [source.count, description.count] { footer += withUnsafeBytes(of: UInt64(number).littleEndian, Array.init) }
        footer += teacher.fingerprint.bytes + data.bytes + Fingerprint.bytes(of: hash)
        footer += [UInt8](repeating: 0, count: TeacherCacheFormat.footerByteCount - footer.count)
        try footer.withUnsafeBytes { try output.write($0) }
        try output.commit()
    }

    private static func append(_ row: Slice<UnsafeMutableBufferPointer<Float>>, _ value: TeacherCacheFormat.Value, to packed: inout [UInt8]) throws {
        for number in row {
            if value.isHalf {
                let half = Float16(number)
                guard half.isFinite else { throw unsuitable(number, value) }
                withUnsafeBytes(of: half.bitPattern.littleEndian) { packed.append(contentsOf: $0) }
            } else {
                // Of all classes, none is left over.
                guard number.isFinite || number == -.infinity else { throw unsuitable(number, value) }
                withUnsafeBytes(of: number.bitPattern.littleEndian) { packed.append(contentsOf: $0) }
            }
        }
    }

    private static func unsuitable(_ number: Float, _ value: TeacherCacheFormat.Value) -> TrainingError {
        let advice = number.isFinite ? "too large for float16; keep float32" : "so the teacher itself is broken"
        return TrainingError(.mismatch, "", "the teacher's \(value.name.dropFirst(TeacherTarget.prefix.count)) is \(number) somewhere, \(advice)")
    }
}
