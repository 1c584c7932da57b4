/// What a session remembers of its tokens, as bytes that another session of the same model can go on from.
///
/// ```
/// magic u64 "SHRKSTAT" | version u16 (1) | 0 u16 | position u32 | fingerprint 32 | rows | carry | SHA-256 of all before, 32
/// ```
///
/// Little-endian. `rows` are, for each state tensor of the program in order, its rows 0 ..< position
/// (quantized ones as in `shrink_kernels.h`); `carry` is all of the session's carry. How many bytes that is follows from the program.
public struct SavedStateHeader {
    public static let magic: UInt64 = 0x5441_5453_4B52_4853
    public static let version: UInt16 = 1
    public static let byteCount = 16 + SHA256.digestByteCount
    public static let trailerByteCount = SHA256.digestByteCount

    public var position: Int
    public var fingerprint: SHA256.Digest

    public init(position: Int, fingerprint: SHA256.Digest) {
        self.position = position
        self.fingerprint = fingerprint
    }

    /// Writes `byteCount` bytes.
    public func write(to base: UnsafeMutableRawPointer) {
        var cursor = RecordCursor(base: base)
        cursor.write(Self.magic)
        cursor.write(Self.version)
        cursor.write(UInt16(0))
        cursor.write(UInt32(truncatingIfNeeded: position))
        for i in fingerprint.indices { cursor.write(fingerprint[i]) }
    }

    /// Reads `byteCount` bytes; nil when they are not a header of this version.
    public init?(reading base: UnsafeRawPointer) {
        var reader = RecordReader(base: base)
        guard reader.read(UInt64.self) == Self.magic, reader.read(UInt16.self) == Self.version, reader.read(UInt16.self) == 0
        else { return nil }
        position = Int(reader.read(UInt32.self))
        fingerprint = SHA256.Digest(repeating: 0)
        for i in fingerprint.indices { fingerprint[i] = reader.read() }
    }

    /// Whether a row of a state tensor is as the kernels make quantized rows (`shrink_kernels.h`), but for the scales,
    /// which may be anything: codes, zero padding, a zero point of 8 bits, the sum of the codes. Integer sums rely on it.
    public static func isQuantizedRow(_ row: UnsafeRawPointer, of tensor: TensorRecord) -> Bool {
        let codeCount = Int(tensor.columns)
        let padded = (codeCount + 15) & ~15
        for group in 0..<Int(tensor.groups) {
            let codes = row + group * (padded + 16)
            var sum = 0
            for i in 0..<codeCount { sum &+= Int(codes.load(fromByteOffset: i, as: UInt8.self)) }
            var reader = RecordReader(base: codes, offset: codeCount)
            guard reader.isZero(to: padded) else { return false }
            reader.offset += 4
            let zero = reader.read(Int32.self)
            guard zero >= 0, zero <= 255, Int(reader.read(Int32.self)) == sum, reader.read(Int32.self) == 0 else { return false }
        }
        return true
    }
}
