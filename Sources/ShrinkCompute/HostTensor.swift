/// Numbers of a value while a graph runs on the host: binary32, row-major.
public final class HostTensor: @unchecked Sendable {
    public let shape: [Int]
    /// Lives as long as the tensor: keep that in a variable, or take `floats`.
    public let buffer: UnsafeMutableBufferPointer<Float>

    /// Of quantized rows: the step between two codes, [rows, groups].
    var steps: HostTensor?

    public init(shape: [Int]) {
        self.shape = shape
        buffer = .allocate(capacity: shape.reduce(1, *))
    }

    deinit { buffer.deallocate() }

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

    /// A tensor of the same shape, not initialised.
    func empty(width: Int? = nil) -> HostTensor {
        HostTensor(shape: width.map { shape.dropLast() + [$0] } ?? shape)
    }
}
