/// SHA-256 of a stream of bytes (FIPS 180-4, sections 4.1.2, 5.1.1 and 6.2), without heap.
public struct SHA256: Sendable {
    public static let digestByteCount = 32
    public typealias Digest = InlineArray<32, UInt8>

    private var state: SIMD8<UInt32> = [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ]
    private var block = InlineArray<64, UInt8>(repeating: 0)
    private var byteCount: UInt64 = 0
    private let blockFunction: BlockFunction?

    /// Compresses so many blocks of 64 bytes into the eight words of a state (section 6.2.2).
    public typealias BlockFunction = @convention(c) (UnsafeMutablePointer<UInt32>?, UnsafePointer<UInt8>?, Int) -> Void

    /// `blockFunction`: what the processor has for the purpose; nil computes it here.
    public init(blockFunction: BlockFunction? = nil) {
        self.blockFunction = blockFunction
    }

    /// Adds bytes to the message.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard var source = bytes.baseAddress, bytes.count > 0 else { return }
        var count = bytes.count
        let held = Int(byteCount % 64)
        byteCount &+= UInt64(count)
        if held > 0 {
            let taken = min(64 &- held, count)
            for i in 0..<taken { block[held &+ i] = source.load(fromByteOffset: i, as: UInt8.self) }
            if held &+ taken < 64 { return }
            compressBlock()
            source += taken
            count &-= taken
        }
        let whole = count / 64
        compress(source, blocks: whole)
        source += whole &* 64
        for i in 0..<(count % 64) { block[i] = source.load(fromByteOffset: i, as: UInt8.self) }
    }

    /// The digest of everything added so far; the message can go on afterwards.
    public func digest() -> Digest {
        var last = self
        let bits = byteCount &* 8
        var held = Int(byteCount % 64)
        last.block[held] = 0x80
        held &+= 1
        if held > 56 {
            for i in held..<64 { last.block[i] = 0 }
            last.compressBlock()
            held = 0
        }
        for i in held..<56 { last.block[i] = 0 }
        for i in 0..<8 { last.block[56 &+ i] = UInt8(truncatingIfNeeded: bits >> UInt64(56 &- 8 &* i)) }
        last.compressBlock()
        var digest = Digest(repeating: 0)
        for i in 0..<32 { digest[i] = UInt8(truncatingIfNeeded: last.state[i / 4] >> UInt32(24 &- 8 &* (i % 4))) }
        return digest
    }

    public static func digest(of bytes: UnsafeRawBufferPointer, blockFunction: BlockFunction? = nil) -> Digest {
        var hash = SHA256(blockFunction: blockFunction)
        hash.update(bytes)
        return hash.digest()
    }

    private mutating func compressBlock() {
        let copy = block
        withUnsafeBytes(of: copy) { bytes in
            if let base = bytes.baseAddress { compress(base, blocks: 1) }
        }
    }

    private mutating func compress(_ source: UnsafeRawPointer, blocks: Int) {
        if let blockFunction {
            withUnsafeMutableBytes(of: &state) { words in
                blockFunction(
                    words.baseAddress?.assumingMemoryBound(to: UInt32.self), source.assumingMemoryBound(to: UInt8.self), blocks)
            }
            return
        }
        var (h0, h1, h2, h3) = (state[0], state[1], state[2], state[3])
        var (h4, h5, h6, h7) = (state[4], state[5], state[6], state[7])
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 16) { buffer in
            guard let w = buffer.baseAddress else { return }
            for index in 0..<blocks {
                let bytes = source + index &* 64
                var (a, b, c, d) = (h0, h1, h2, h3)
                var (e, f, g, h) = (h4, h5, h6, h7)

                // One step of section 6.2.2, with the roles of the eight words moved by the caller
                // instead of their values by the machine.
                @inline(__always)
                func round(
                    _ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: inout UInt32, _ e: UInt32, _ f: UInt32, _ g: UInt32,
                    _ h: inout UInt32, _ input: UInt32
                ) {
                    let s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
                    let t1 = h &+ s1 &+ (g ^ (e & (f ^ g))) &+ input
                    let s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
                    d = d &+ t1
                    h = t1 &+ s0 &+ ((a & b) | (c & (a | b)))
                }

                @inline(__always)
                func word(_ i: Int, _ t: Int) -> UInt32 {
                    if t == 0 {
                        w[i] = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: i &* 4, as: UInt32.self))
                    } else {
                        let w15 = w[(i &+ 1) & 15]
                        let w2 = w[(i &+ 14) & 15]
                        let s0 = rotate(w15, 7) ^ rotate(w15, 18) ^ (w15 >> 3)
                        let s1 = rotate(w2, 17) ^ rotate(w2, 19) ^ (w2 >> 10)
                        w[i] = w[i] &+ s0 &+ w[(i &+ 9) & 15] &+ s1
                    }
                    return w[i] &+ roundConstants[t &+ i]
                }

                var t = 0
                while t < 64 {
                    round(a, b, c, &d, e, f, g, &h, word(0, t))
                    round(h, a, b, &c, d, e, f, &g, word(1, t))
                    round(g, h, a, &b, c, d, e, &f, word(2, t))
                    round(f, g, h, &a, b, c, d, &e, word(3, t))
                    round(e, f, g, &h, a, b, c, &d, word(4, t))
                    round(d, e, f, &g, h, a, b, &c, word(5, t))
                    round(c, d, e, &f, g, h, a, &b, word(6, t))
                    round(b, c, d, &e, f, g, h, &a, word(7, t))
                    round(a, b, c, &d, e, f, g, &h, word(8, t))
                    round(h, a, b, &c, d, e, f, &g, word(9, t))
                    round(g, h, a, &b, c, d, e, &f, word(10, t))
                    round(f, g, h, &a, b, c, d, &e, word(11, t))
                    round(e, f, g, &h, a, b, c, &d, word(12, t))
                    round(d, e, f, &g, h, a, b, &c, word(13, t))
                    round(c, d, e, &f, g, h, a, &b, word(14, t))
                    round(b, c, d, &e, f, g, h, &a, word(15, t))
                    t &+= 16
                }
                (h0, h1, h2, h3) = (h0 &+ a, h1 &+ b, h2 &+ c, h3 &+ d)
                (h4, h5, h6, h7) = (h4 &+ e, h5 &+ f, h6 &+ g, h7 &+ h)
            }
        }
        state = [h0, h1, h2, h3, h4, h5, h6, h7]
    }
}

@inline(__always)
private func rotate(_ x: UInt32, _ count: UInt32) -> UInt32 {
    (x &>> count) | (x &<< (32 &- count))
}

/// The first 32 bits of the fractional parts of the cube roots of the first 64 primes (section 4.2.2).
private let roundConstants: InlineArray<64, UInt32> = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
]
