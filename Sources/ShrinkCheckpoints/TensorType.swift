/// How the elements of a tensor are stored.
///
/// Plain types have blocks of one element. The quantized types of GGUF store blocks of 32 or 256
/// neighbouring elements of a row with common scales (`BlockDecoding.swift` has the layouts).
public enum TensorType: String, Sendable, CaseIterable {
    case f32 = "F32", f16 = "F16", bf16 = "BF16", f64 = "F64"
    case i8 = "I8", i16 = "I16", i32 = "I32", i64 = "I64"
    case u8 = "U8", u16 = "U16", u32 = "U32", u64 = "U64", bool = "BOOL"
    case q4_0 = "Q4_0", q4_1 = "Q4_1", q5_0 = "Q5_0", q5_1 = "Q5_1", q8_0 = "Q8_0"
    case q4_K = "Q4_K", q5_K = "Q5_K", q6_K = "Q6_K"

    /// The name that both file formats use.
    public var name: String { rawValue }

    /// Elements in one block.
    public var blockSize: Int { layout.elements }

    public var bytesPerBlock: Int { layout.bytes }

    /// Whether the elements stand for real numbers that `CheckpointTensor.readFloats` can give.
    public var isFloatingPoint: Bool {
        switch self {
        case .i8, .i16, .i32, .i64, .u8, .u16, .u32, .u64, .bool: false
        case .f32, .f16, .bf16, .f64, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q4_K, .q5_K, .q6_K: true
        }
    }

    private var layout: (elements: Int, bytes: Int) {
        switch self {
        case .i8, .u8, .bool: (1, 1)
        case .f16, .bf16, .i16, .u16: (1, 2)
        case .f32, .i32, .u32: (1, 4)
        case .f64, .i64, .u64: (1, 8)
        case .q4_0: (32, 18)
        case .q4_1: (32, 20)
        case .q5_0: (32, 22)
        case .q5_1: (32, 24)
        case .q8_0: (32, 34)
        case .q4_K: (256, 144)
        case .q5_K: (256, 176)
        case .q6_K: (256, 210)
        }
    }

    /// Bytes of `elementCount` elements; nil when they are no whole number of blocks or too many.
    func byteCount(elementCount: Int) -> Int? {
        let (blocks, rest) = elementCount.quotientAndRemainder(dividingBy: blockSize)
        let (bytes, overflow) = blocks.multipliedReportingOverflow(by: bytesPerBlock)
        return rest == 0 && !overflow ? bytes : nil
    }

    static var supportedNames: String { allCases.map(\.name).joined(separator: ", ") }
}

/// The product of the extents, 1 for a scalar; nil when it does not fit.
func checkedElementCount(_ shape: [Int]) -> Int? {
    var product = 1
    for extent in shape {
        let (next, overflow) = product.multipliedReportingOverflow(by: extent)
        guard !overflow, extent >= 0 else { return nil }
        product = next
    }
    return product
}
