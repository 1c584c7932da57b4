/// The alphabet of byte-level BPE: printable Latin-1 stands for itself, every other byte for a
/// character from U+0100 on, in order (Radford et al. 2019, the `bytes_to_unicode` of GPT-2).
enum ByteAlphabet {
    static let scalars: [UInt32] = {
        var next: UInt32 = 0x100
        return (0..<256).map { byte in
            let isPrintable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
            if isPrintable { return UInt32(byte) }
            defer { next += 1 }
            return next
        }
    }()

    private static let bytes = Dictionary(uniqueKeysWithValues: scalars.enumerated().map { ($1, UInt8($0)) })

    /// The bytes that a token's text stands for; nil when it has a character outside the alphabet.
    static func bytes(of text: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
            guard let byte = bytes[scalar.value] else { return nil }
            result.append(byte)
        }
        return result
    }

    static func text(of byte: UInt8) -> [UInt8] {
        Array(String(Unicode.Scalar(scalars[Int(byte)]) ?? "\u{FFFD}").utf8)
    }
}
