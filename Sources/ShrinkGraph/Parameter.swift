/// The numbers of a parameter, read when someone needs them: a checkpoint tensor that stays mapped,
/// a changed copy in memory, or a function of either.
public protocol ParameterSource: Sendable {
    /// Writes the elements `range`, in row-major order, as binary32. `target.count == range.count`.
    func readFloats(_ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) throws
    /// The elements in place, where they are binary32 in memory.
    func withFloatsInPlace<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R?
    /// Tells that the pages of `range` are not needed soon.
    func release(_ range: Range<Int>)
    /// Whether the numbers stay what they are.
    var isConstant: Bool { get }
}

extension ParameterSource {
    public func withFloatsInPlace<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R? { nil }
    public func release(_ range: Range<Int>) {}
    public var isConstant: Bool { true }
}

/// How packing stores a weight.
public enum WeightQuantization: String, Sendable, CaseIterable {
    /// int8, symmetric, one scale for each output channel (row): scale = max|row| / 127.
    case int8PerChannel = "w8"
    /// The same of a weight that is stored input by input (`Linear.isInputMajor`), whose output channels are columns: while
    /// it is trained. Packing turns it first.
    case int8PerColumn = "w8_columns"
}

/// A constant of the graph: a weight.
public struct Parameter: Sendable {
    /// The dtype in the checkpoint, for reports (`f32`, `bf16`, `q4_1` …).
    public var storedType: String
    public var storedByteCount: Int
    public var quantization: WeightQuantization?
    /// Nil in a graph that was parsed from text.
    public var source: (any ParameterSource)?

    public init(
        storedType: String, storedByteCount: Int, quantization: WeightQuantization? = nil,
        source: (any ParameterSource)? = nil
    ) {
        self.storedType = storedType
        self.storedByteCount = storedByteCount
        self.quantization = quantization
        self.source = source
    }
}

/// A parameter whose numbers are in memory.
public struct FloatArraySource: ParameterSource {
    public let values: [Float]
    public init(_ values: [Float]) { self.values = values }

    public func readFloats(_ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
        _ = target.initialize(fromContentsOf: values[range])
    }

    public func withFloatsInPlace<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R? {
        try values.withUnsafeBufferPointer(body)
    }
}
