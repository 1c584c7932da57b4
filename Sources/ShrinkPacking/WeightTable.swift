import ShrinkFormat
import ShrinkGraph

/// The tensors of the `weights` entry in the order of their bytes, each parameter once for each form
/// it is stored in. All entry points of an artifact share one table.
struct WeightTable {
    enum Form: Hashable {
        /// int8 codes in packed blocks; scales and sums follow as tensors of their own.
        case packedInt8
        case packedFloat32
        case vector
    }

    struct Item {
        var name: String
        var form: Form
        var rows: Int
        var columns: Int
        var source: any ParameterSource
        /// Offset of the codes or floats.
        var offset: Int
        /// Offsets of the scales and sums of an int8 weight.
        var scaleOffset = 0
        var sumOffset = 0
    }

    struct Int8Tensors: Hashable {
        var codes: UInt32
        var scale: UInt32
        var sum: UInt32
    }

    private struct Key: Hashable {
        var name: String
        var form: Form
    }

    private(set) var items: [Item] = []
    private(set) var records: [TensorRecord] = []
    private(set) var byteCount = 0
    private var known: [Key: UInt32] = [:]

    mutating func int8(_ value: Graph.Value) throws -> Int8Tensors {
        let first = try matrix(value, .packedInt8, .packedInt8)
        return Int8Tensors(codes: first, scale: first + 1, sum: first + 2)
    }

    mutating func float32(_ value: Graph.Value) throws -> UInt32 {
        try matrix(value, .packedFloat32, .packedFloat32)
    }

    private mutating func matrix(_ value: Graph.Value, _ form: Form, _ type: TensorType) throws -> UInt32 {
        guard value.type.shape.count == 2, let rows = value.type.shape[0].fixedValue, let columns = value.type.width else {
            throw PackingError(.unsupported, "\(value.name) is \(value.type), but packed weights have two fixed dimensions")
        }
        guard columns <= Program.maximumColumns else {
            throw PackingError(.unsupported, "\(value.name) has \(columns) columns; exact int32 sums end at \(Program.maximumColumns)")
        }
        return try add(value, form, type, rows: rows, columns: columns)
    }

    /// A parameter that is read as it is: a bias, a norm's gain, a table of angles, of which only the
    /// first `maximumRows` rows are needed.
    mutating func vector(_ value: Graph.Value, maximumRows: Int = .max) throws -> UInt32 {
        let extents = value.type.shape.compactMap(\.fixedValue)
        guard extents.count == value.type.shape.count, let columns = extents.last else {
            throw PackingError(.unsupported, "\(value.name) has no fixed shape: \(value.type)")
        }
        return try add(value, .vector, .float32, rows: min(extents.dropLast().reduce(1, *), maximumRows), columns: columns)
    }

    private mutating func add(_ value: Graph.Value, _ form: Form, _ type: TensorType, rows: Int, columns: Int) throws -> UInt32 {
        let key = Key(name: value.name, form: form)
        if let known = known[key] { return known }
        guard case .parameter(let parameter) = value.definition, let source = parameter.source else {
            throw PackingError(.unsupported, "\(value.name) has no numbers to pack")
        }
        let index = UInt32(records.count)
        var item = Item(name: value.name, form: form, rows: rows, columns: columns, source: source, offset: 0)
        item.offset = append(type, rows: rows, columns: columns)
        if form == .packedInt8 {
            item.scaleOffset = append(.float32, rows: 1, columns: rows)
            item.sumOffset = append(.int32, rows: 1, columns: rows)
        }
        items.append(item)
        known[key] = index
        return index
    }

    private mutating func append(_ type: TensorType, rows: Int, columns: Int) -> Int {
        let offset = (byteCount + Program.weightAlignment - 1) / Program.weightAlignment * Program.weightAlignment
        let record = TensorRecord(
            type: type, storage: .weights, rows: UInt32(rows), columns: UInt32(columns), offset: UInt64(offset))
        records.append(record)
        byteCount = offset + Int(record.weightByteCount ?? 0)
        return offset
    }
}
