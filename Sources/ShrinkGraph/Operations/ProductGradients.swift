/// aᵀ·b summed over the rows, added to a matrix when there is one: the gradient of a weight.
/// [a: […, m], b: […, n], addend: f32 [m, n] (may be absent)] → f32 [m, n].
public struct OuterProduct: OperationPayload {
    public static let mnemonic = "outer_product"

    public init() {}

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(2...3, "two values and perhaps an addend")
        for (value, name) in zip(inputs, ["a", "b"]) { try value.requireElement(.float32, .quantized8, as: name) }
        let m = try inputs[0].requireWidth(as: "a"), n = try inputs[1].requireWidth(as: "b")
        guard inputs[0].shape.dropLast() == inputs[1].shape.dropLast() else {
            throw GraphError(.shape, "a and b must have the same rows, but are \(inputs[0]) and \(inputs[1])")
        }
        if inputs.count == 3 { try inputs[2].requireShape([.fixed(m), .fixed(n)], as: "the addend") }
        return [ValueType(.float32, [.fixed(m), .fixed(n)])]
    }

    public var attributes: [(String, Attribute)] { [] }
    public init(_ attributes: inout AttributeReader) throws(GraphError) {}
}

/// The sum of all rows, added to a vector when there is one: the gradient of a bias.
/// [x: f32 […, width], addend: f32 [width] (may be absent)] → f32 [width].
public struct SumRows: OperationPayload {
    public static let mnemonic = "sum_rows"

    public init() {}

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(1...2, "a value and perhaps an addend")
        try inputs[0].requireElement(.float32, as: "x")
        let width = try inputs[0].requireWidth(as: "x")
        if inputs.count == 2 { try inputs[1].requireShape([.fixed(width)], as: "the addend") }
        return [ValueType(.float32, [.fixed(width)])]
    }

    public var attributes: [(String, Attribute)] { [] }
    public init(_ attributes: inout AttributeReader) throws(GraphError) {}
}

/// The gradient of a table: rows of `dy` added, in their order, to the row that each index names.
/// [dy: f32 […, width], indices: i32 […], addend: f32 [rows, width] (may be absent)] → f32 [rows, width].
public struct EmbeddingGradient: OperationPayload {
    public static let mnemonic = "embedding_gradient"
    public var rows: Int
    public var indexOffset: Int

    public init(rows: Int, indexOffset: Int) {
        self.rows = rows
        self.indexOffset = indexOffset
    }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(2...3, "a gradient, indices and perhaps an addend")
        try inputs[0].requireElement(.float32, as: "dy")
        let width = try inputs[0].requireWidth(as: "dy")
        guard rows > 0 else { throw GraphError(.attribute, "rows must be positive") }
        guard inputs[1] == ValueType(.int32, Array(inputs[0].shape.dropLast())) else {
            throw GraphError(.shape, "the indices do not fit \(inputs[0]): they are \(inputs[1])")
        }
        let result = ValueType(.float32, [.fixed(rows), .fixed(width)])
        if inputs.count == 3 { try inputs[2].requireShape(result.shape, as: "the addend") }
        return [result]
    }

    public var attributes: [(String, Attribute)] { [("rows", .integer(rows)), ("index_offset", .integer(indexOffset))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(rows: try attributes.integer("rows"), indexOffset: try attributes.integer("index_offset"))
    }
}
