/// Rows side by side: [a: f32 […, m], b: f32 […, n], …] → f32 […, m + n + …]. Joins the directions of a
/// bi-directional layer. With `alsoQuantized` the result comes as q8 too.
public struct Concatenate: OperationPayload {
    public static let mnemonic = "concatenate"
    public var alsoQuantized = false

    public init() {}

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(2...64, "from two to 64 values")
        var total = 0
        for input in inputs {
            try input.requireElement(.float32, as: "each value")
            guard input.shape.dropLast() == inputs[0].shape.dropLast() else {
                throw GraphError(.shape, "the values must have the same rows, but are \(inputs.map(\.description).joined(separator: ", "))")
            }
            let (sum, overflow) = total.addingReportingOverflow(try input.requireWidth(as: "each value"))
            guard !overflow else { throw GraphError(.shape, "the rows become too wide") }
            total = sum
        }
        let result = inputs[0].withWidth(total)
        return [result] + (alsoQuantized ? [result.withElement(.quantized8)] : [])
    }

    public var attributes: [(String, Attribute)] { alsoQuantized ? [("quantized", .flag(true))] : [] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        alsoQuantized = try readQuantizedFlag(&attributes)
    }
}

/// A range of columns of each row: [x: f32 […, width]] → f32 […, count].
public struct Columns: OperationPayload {
    public static let mnemonic = "columns"
    public var start: Int
    public var count: Int

    public init(start: Int, count: Int) {
        self.start = start
        self.count = count
    }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(1...1, "one value")
        try inputs[0].requireElement(.float32, as: "x")
        let width = try inputs[0].requireWidth(as: "x")
        guard start >= 0, count > 0, start < width, count <= width - start else {
            throw GraphError(.attribute, "\(count) columns from \(start) are not all in \(inputs[0])")
        }
        return [inputs[0].withWidth(count)]
    }

    public var attributes: [(String, Attribute)] { [("start", .integer(start)), ("count", .integer(count))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(start: try attributes.integer("start"), count: try attributes.integer("count"))
    }
}
