/// One extent of a shape: a number, or a symbol such as `batch`, `tokens` or `past` that a run binds.
public enum Dimension: Hashable, Sendable {
    case fixed(Int)
    case symbol(String)

    public static let batch = Dimension.symbol("batch")
    public static let tokens = Dimension.symbol("tokens")

    public var fixedValue: Int? { if case .fixed(let value) = self { value } else { nil } }
}

extension Dimension: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: Int) { self = .fixed(value) }
}

extension Dimension: CustomStringConvertible {
    public var description: String {
        switch self {
        case .fixed(let value): "\(value)"
        case .symbol(let name): name
        }
    }
}

/// What the elements of a value are while the graph runs.
public enum ElementType: String, Sendable, CaseIterable {
    case float32 = "f32"
    case int32 = "i32"
    /// uint8 codes with a scale and a zero point for each row, or for each group of a row: see `Quantize`.
    case quantized8 = "q8"
}

/// Element type and shape, outermost dimension first.
public struct ValueType: Hashable, Sendable {
    public var element: ElementType
    public var shape: [Dimension]

    public init(_ element: ElementType, _ shape: [Dimension]) {
        self.element = element
        self.shape = shape
    }

    /// One float.
    public static let scalar = ValueType(.float32, [])

    /// The innermost extent; nil for a scalar or a symbolic one.
    public var width: Int? { shape.last?.fixedValue }

    /// The same shape with another innermost extent.
    public func withWidth(_ width: Int) -> ValueType {
        ValueType(element, shape.dropLast() + [.fixed(width)])
    }

    public func withElement(_ element: ElementType) -> ValueType { ValueType(element, shape) }
}

extension ValueType: CustomStringConvertible {
    public var description: String {
        "\(element.rawValue)[\(shape.map(\.description).joined(separator: ", "))]"
    }
}
