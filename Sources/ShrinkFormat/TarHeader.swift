/// The one form a tar header has in an artifact: a regular file of POSIX ustar (IEEE 1003.1, pax,
/// "ustar Interchange Format") with every field as libarchive writes it for mode 0644, owner 0:0,
/// time 0. A reader that builds this header from name and size and compares all 512 bytes leaves no
/// byte unchecked.
enum TarHeader {
    static let byteCount = 512
    /// Eleven octal digits.
    static let maximumFileByteCount = (1 << 33) - 1

    private static let sizeOffset = 124
    private static let checksumOffset = 148

    static func canonical(name: StaticString, fileByteCount: Int) -> InlineArray<512, UInt8> {
        var header = InlineArray<512, UInt8>(repeating: 0)
        put(name, at: 0, in: &header)
        put("000644 ", at: 100, in: &header)
        put("000000 ", at: 108, in: &header)
        put("000000 ", at: 116, in: &header)
        putOctal(fileByteCount, digits: 11, at: sizeOffset, in: &header)
        put(" ", at: 135, in: &header)
        put("00000000000 ", at: 136, in: &header)
        put("        ", at: checksumOffset, in: &header)
        put("0", at: 156, in: &header)
        put("ustar", at: 257, in: &header)
        put("00", at: 263, in: &header)
        put("000000 ", at: 329, in: &header)
        put("000000 ", at: 337, in: &header)
        var sum = 0
        for i in header.indices { sum &+= Int(header[i]) }
        putOctal(sum, digits: 6, at: checksumOffset, in: &header)
        header[checksumOffset + 6] = 0
        return header
    }

    /// The size field of a header; nil unless it is eleven octal digits.
    static func fileByteCount(of header: UnsafeRawPointer) -> Int? {
        var value = 0
        for i in 0..<11 {
            let digit = header.load(fromByteOffset: sizeOffset + i, as: UInt8.self)
            guard digit >= 0x30, digit <= 0x37 else { return nil }
            value = value << 3 | Int(digit - 0x30)
        }
        return value
    }

    private static func put(_ text: StaticString, at offset: Int, in header: inout InlineArray<512, UInt8>) {
        let bytes = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        for i in bytes.indices { header[offset + i] = bytes[i] }
    }

    private static func putOctal(_ value: Int, digits: Int, at offset: Int, in header: inout InlineArray<512, UInt8>) {
        for i in 0..<digits { header[offset + digits - 1 - i] = 0x30 + (UInt8(truncatingIfNeeded: value >> (3 * i)) & 7) }
    }
}
