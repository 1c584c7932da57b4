/// A named tensor inside a mapped file. Copying it copies no data; it keeps the mapping alive.
public struct CheckpointTensor: Sendable {
    public let name: String
    public let type: TensorType
    /// Outermost dimension first, whatever order the file uses; empty for a scalar.
    public let shape: [Int]
    public let elementCount: Int
    public let byteCount: Int
    public let file: MappedFile
    /// Where the tensor's bytes start in `file`.
    public let byteOffset: Int

    /// The caller has checked that the bytes lie in the file and fit type and shape.
    init(name: String, type: TensorType, shape: [Int], elementCount: Int, byteRange: Range<Int>, file: MappedFile) {
        self.name = name
        self.type = type
        self.shape = shape
        self.elementCount = elementCount
        self.byteCount = byteRange.count
        self.byteOffset = byteRange.lowerBound
        self.file = file
    }

    /// The stored bytes. Valid as long as `file` lives.
    public var bytes: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: file.bytes[byteOffset..<byteOffset + byteCount])
    }

    /// The elements in place, when they are stored as float32 at an address that allows it.
    public var float32Bytes: UnsafeRawBufferPointer? {
        guard type == .f32, !bytes.isEmpty, UInt(bitPattern: bytes.baseAddress) % 4 == 0 else { return nil }
        return bytes
    }

    /// Writes the elements of `range`, in row-major order, as float32 to the start of `output`.
    ///
    /// The range may start and end inside a quantized block. float64 is rounded to nearest; all other
    /// types are exact up to the multiplications and additions of their formula, done in float32.
    /// - Throws: `notFloatingPoint` for integers; `rangeOutOfBounds` when the tensor has no such
    ///   elements or `output` is too small.
    public func readFloats(
        _ range: Range<Int>, into output: UnsafeMutableBufferPointer<Float>
    ) throws(CheckpointError) {
        guard type.isFloatingPoint else {
            throw error(.notFloatingPoint, "\(type.name) elements are not floating-point numbers")
        }
        guard range.lowerBound >= 0, range.upperBound <= elementCount, output.count >= range.count else {
            throw error(.rangeOutOfBounds,
                "elements \(range) into room for \(output.count) were asked of \(elementCount)")
        }
        guard !range.isEmpty, let source = bytes.baseAddress, let target = output.baseAddress else { return }

        let blockSize = type.blockSize
        var element = range.lowerBound
        var written = target
        while element < range.upperBound {
            let (block, skipped) = element.quotientAndRemainder(dividingBy: blockSize)
            let blockBytes = source + block * type.bytesPerBlock
            let wholeBlocks = (range.upperBound - element) / blockSize
            let count: Int
            if skipped == 0, wholeBlocks > 0 {
                count = wholeBlocks * blockSize
                decodeBlocks(type, wholeBlocks, from: blockBytes, to: written)
            } else {
                count = min(blockSize - skipped, range.upperBound - element)
                withUnsafeTemporaryAllocation(of: Float.self, capacity: blockSize) { whole in
                    guard let base = whole.baseAddress else { return }
                    decodeBlocks(type, 1, from: blockBytes, to: base)
                    written.update(from: base + skipped, count: count)
                }
            }
            element += count
            written += count
        }
    }

    /// Gives the memory pages under the elements of `range` (all when nil) back to the system: call it
    /// behind a streaming pass. The tensor stays readable.
    public func releasePages(_ range: Range<Int>? = nil) {
        let range = (range ?? 0..<elementCount).clamped(to: 0..<elementCount)
        let first = range.lowerBound / type.blockSize * type.bytesPerBlock
        let last = (range.upperBound + type.blockSize - 1) / type.blockSize * type.bytesPerBlock
        file.discard(byteOffset + first..<byteOffset + last)
    }

    private func error(_ code: CheckpointError.Code, _ message: String) -> CheckpointError {
        CheckpointError(code, file: file.path, place: "tensor \(name)", message: message)
    }
}
