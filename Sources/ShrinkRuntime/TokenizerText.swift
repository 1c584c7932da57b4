/// Valid UTF-8 that someone else owns.
struct TokenizerText {
    let base: UnsafePointer<UInt8>
    let count: Int

    @inline(__always)
    init(_ base: UnsafePointer<UInt8>, count: Int) {
        self.base = base
        self.count = count
    }

    @inline(__always)
    func slice(_ start: Int, _ end: Int) -> TokenizerText { TokenizerText(base + start, count: end &- start) }

    /// The scalar that starts at `position`, which is a boundary below `count`.
    @inline(__always)
    func scalar(at position: Int) -> (value: UInt32, length: Int) {
        let lead = UInt32(base[position])
        if lead < 0x80 { return (lead, 1) }
        let second = UInt32(base[position &+ 1]) & 0x3F
        if lead < 0xE0 { return ((lead & 0x1F) << 6 | second, 2) }
        let third = UInt32(base[position &+ 2]) & 0x3F
        if lead < 0xF0 { return ((lead & 0xF) << 12 | second << 6 | third, 3) }
        return ((lead & 7) << 18 | second << 12 | third << 6 | UInt32(base[position &+ 3]) & 0x3F, 4)
    }

    /// Where the scalar before `position` (a boundary above 0) starts.
    @inline(__always)
    func boundary(before position: Int) -> Int {
        var start = position &- 1
        while start > 0, base[start] & 0xC0 == 0x80 { start &-= 1 }
        return start
    }
}

/// Decodes UTF-8 a byte at a time. Each maximal part of an ill-formed sequence becomes one U+FFFD,
/// as in the Unicode Standard, section 3.9 ("U+FFFD Substitution of Maximal Subparts").
struct UTF8Stream {
    /// The bytes of an unfinished scalar, first byte highest.
    private var pending: UInt32 = 0
    private var pendingCount = 0
    private var neededCount = 0

    /// Whether `byte` may follow the pending bytes (Unicode Standard, table 3-7).
    @inline(__always)
    private func continues(_ byte: UInt8) -> Bool {
        if pendingCount > 1 { return byte & 0xC0 == 0x80 }
        switch pending {
        case 0xE0: return byte >= 0xA0 && byte <= 0xBF
        case 0xED: return byte >= 0x80 && byte <= 0x9F
        case 0xF0: return byte >= 0x90 && byte <= 0xBF
        case 0xF4: return byte >= 0x80 && byte <= 0x8F
        default: return byte & 0xC0 == 0x80
        }
    }

    mutating func push(_ byte: UInt8, into output: inout TokenizerBuffer<UInt8>) throws(RuntimeError) {
        if pendingCount > 0 {
            if continues(byte) {
                pending = pending << 8 | UInt32(byte)
                pendingCount &+= 1
                if pendingCount == neededCount {
                    for i in 0..<neededCount {
                        try output.append(UInt8(truncatingIfNeeded: pending >> UInt32((neededCount &- 1 &- i) &* 8)))
                    }
                    pendingCount = 0
                    pending = 0
                }
                return
            }
            try flush(into: &output)
        }
        switch byte {
        case 0..<0x80: try output.append(byte)
        case 0xC2..<0xE0: neededCount = 2
        case 0xE0..<0xF0: neededCount = 3
        case 0xF0..<0xF5: neededCount = 4
        default: try Self.appendReplacement(to: &output)
        }
        if byte >= 0xC2, byte < 0xF5 {
            pending = UInt32(byte)
            pendingCount = 1
        }
    }

    /// Ends the text: what is unfinished becomes U+FFFD.
    mutating func flush(into output: inout TokenizerBuffer<UInt8>) throws(RuntimeError) {
        if pendingCount == 0 { return }
        pendingCount = 0
        pending = 0
        try Self.appendReplacement(to: &output)
    }

    private static func appendReplacement(to output: inout TokenizerBuffer<UInt8>) throws(RuntimeError) {
        try output.appendScalar(0xFFFD)
    }

    /// How many bytes from the start are well-formed (up to the end of the last whole scalar).
    static func wellFormedCount(_ text: UnsafeBufferPointer<UInt8>) -> Int {
        var position = 0
        while position < text.count {
            let lead = text[position]
            if lead < 0x80 {
                position &+= 1
                continue
            }
            let needed = lead >= 0xC2 && lead < 0xE0 ? 2 : lead >= 0xE0 && lead < 0xF0 ? 3 : lead >= 0xF0 && lead < 0xF5 ? 4 : 0
            guard needed > 0, needed <= text.count &- position else { return position }
            var probe = UTF8Stream()
            probe.pending = UInt32(lead)
            for i in 1..<needed {
                probe.pendingCount = i
                guard probe.continues(text[position &+ i]) else { return position }
                probe.pending = probe.pending << 8 | UInt32(text[position &+ i])
            }
            position &+= needed
        }
        return position
    }
}

extension TokenizerBuffer where Element == UInt8 {
    /// Appends the UTF-8 of a scalar value.
    @inline(__always)
    mutating func appendScalar(_ scalar: UInt32) throws(RuntimeError) {
        if scalar < 0x80 { return try append(UInt8(truncatingIfNeeded: scalar)) }
        try reserve(count &+ 4)
        let tail = UInt8(truncatingIfNeeded: scalar & 0x3F) | 0x80
        if scalar < 0x800 {
            try append(UInt8(truncatingIfNeeded: scalar >> 6) | 0xC0)
        } else {
            if scalar < 0x1_0000 {
                try append(UInt8(truncatingIfNeeded: scalar >> 12) | 0xE0)
            } else {
                try append(UInt8(truncatingIfNeeded: scalar >> 18) | 0xF0)
                try append(UInt8(truncatingIfNeeded: scalar >> 12 & 0x3F) | 0x80)
            }
            try append(UInt8(truncatingIfNeeded: scalar >> 6 & 0x3F) | 0x80)
        }
        try append(tail)
    }
}
