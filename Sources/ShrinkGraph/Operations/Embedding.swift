/// Rows of a table by index: [indices: i32 […], table: f32 [count, width]] → f32 […, width].
public struct Embedding: OperationPayload {
    public static let mnemonic = "embedding"
    /// Added to every index before the look-up; RoBERTa's positions start at 2.
    public var indexOffset: Int

    public init(indexOffset: Int = 0) { self.indexOffset = indexOffset }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(2...2, "indices and a table")
        try inputs[0].requireElement(.int32, as: "indices")
        try inputs[1].requireElement(.float32, as: "the table")
        guard inputs[1].shape.count == 2 else { throw GraphError(.shape, "the table must have two dimensions, but is \(inputs[1])") }
        let width = try inputs[1].requireWidth(as: "the table")
        guard 0..<1 << 24 ~= indexOffset else { throw GraphError(.attribute, "index_offset must be from 0 to 2²⁴ − 1") }
        return [ValueType(.float32, inputs[0].shape + [.fixed(width)])]
    }

    public var attributes: [(String, Attribute)] { indexOffset == 0 ? [] : [("index_offset", .integer(indexOffset))] }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(indexOffset: attributes.contains("index_offset") ? try attributes.integer("index_offset") : 0)
    }
}
