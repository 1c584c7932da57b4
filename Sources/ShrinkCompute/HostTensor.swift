/// Numbers of a value while a graph runs on the host: binary32, row-major.
public final class HostTensor: @unchecked Sendable {
    public let shape: [Int]
    /// Lives as long as the tensor: keep that in a variable, or take `floats`.
    public let buffer: UnsafeMutableBufferPointer<Float>

    /// The tensor whose memory this one's is a part of.
    private let owner: HostTensor?

    public init(shape: [Int]) {
        self.shape = shape
        buffer = .allocate(capacity: shape.reduce(1, *))
        owner = nil
    }

    /// The numbers of `owner` from `start` on, in the same memory.
    public init(shape: [Int], partOf owner: HostTensor, from start: Int) {
        self.shape = shape
        buffer = UnsafeMutableBufferPointer(rebasing: owner.buffer[start..<start + shape.reduce(1, *)])
        self.owner = owner
    }

    deinit { if owner == nil { buffer.deallocate() } }

    public convenience init(_ values: [Float], shape: [Int]) {
        self.init(shape: shape)
        precondition(values.count == buffer.count)
        _ = buffer.initialize(fromContentsOf: values)
    }

    public var width: Int { shape.last ?? 1 }
    /// Product of all extents but the innermost.
    public var rowCount: Int { shape.dropLast().reduce(1, *) }

    var base: UnsafeMutablePointer<Float> { buffer.baseAddress! }

    /// A copy of the numbers.
    public var floats: [Float] { Array(buffer) }

    /// A part of `buffer`.
    public func row(_ index: Int) -> UnsafeBufferPointer<Float> {
        UnsafeBufferPointer(rebasing: buffer[index * width..<(index + 1) * width])
    }
}
