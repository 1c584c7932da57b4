import ShrinkFormat

/// Brings text into the form that a tokenizer's vocabulary was made from, step by step.
///
/// Stretches of ASCII are mapped by a table; all else goes through the steps one after the other.
struct TokenizerNormalizer: ~Copyable {
    let tables: TokenizerTables
    private let composes: Bool
    let isIdentity: Bool
    /// The one ASCII character that the steps make of each byte, or 0xFF where they do not: then the
    /// byte's neighbours matter, or may come to touch each other.
    private var ascii: TokenizerBuffer<UInt8>
    private var source: TokenizerBuffer<UInt8>
    private var target: TokenizerBuffer<UInt8>
    private var segment: CanonicalSegment
    /// The result of the last `normalize`.
    private var result: TokenizerBuffer<UInt8>

    init(tables: TokenizerTables, allocator: Allocator) throws(RuntimeError) {
        self.tables = tables
        var (composes, isIdentity) = (false, true)
        for i in tables.header.normalizerSteps.indices where tables.header.normalizerSteps[i] != 0 {
            isIdentity = false
            if tables.header.normalizerSteps[i] == NormalizerStep.compose.rawValue { composes = true }
        }
        (self.composes, self.isIdentity) = (composes, isIdentity)
        ascii = TokenizerBuffer(allocator: allocator)
        source = TokenizerBuffer(allocator: allocator)
        target = TokenizerBuffer(allocator: allocator)
        segment = CanonicalSegment(allocator: allocator)
        result = TokenizerBuffer(allocator: allocator)
        if isIdentity { return }
        try ascii.reserve(256)
        for byte in 0...UInt8.max {
            source.truncate()
            if byte < 128 {
                try source.append(byte)
                try runSteps()
            }
            let image = source.elements
            try ascii.append(image.count == 1 && image[0] < 128 ? image[0] : 0xFF)
        }
    }

    /// The normal form; valid until the next call.
    mutating func normalize(_ text: TokenizerText) throws(RuntimeError) -> TokenizerText {
        if isIdentity { return text }
        result.truncate()
        try result.reserve(text.count)
        var position = 0
        while position < text.count {
            var end = position
            while end < text.count {
                let image = ascii[unchecked: Int(text.base[end])]
                if image == 0xFF { break }
                try result.append(image)
                end &+= 1
            }
            if end == text.count { break }
            // A mark may compose with the character before it, so that one is done again.
            let redone = composes && end > position ? 1 : 0
            result.truncate(to: result.count &- redone)
            position = end &- redone
            while end < text.count, ascii[unchecked: Int(text.base[end])] == 0xFF { end &+= 1 }
            source.truncate()
            try source.append(UnsafeBufferPointer(start: text.base + position, count: end &- position))
            try runSteps()
            try result.append(source.elements)
            position = end
        }
        let elements = result.elements
        guard let base = elements.baseAddress else { return text.slice(0, 0) }
        return TokenizerText(base, count: elements.count)
    }

    /// All steps on `source`, in place.
    private mutating func runSteps() throws(RuntimeError) {
        for i in tables.header.normalizerSteps.indices {
            guard let step = NormalizerStep(rawValue: tables.header.normalizerSteps[i]) else { continue }
            guard let base = source.elements.baseAddress else { return }
            let text = TokenizerText(base, count: source.count)
            if step == .compose, isComposed(text) { continue }
            target.truncate()
            try target.reserve(text.count)
            switch step {
            case .cleanText, .padIdeographs, .removeMarks, .removeNonspacingMarks, .lowercase: try mapScalars(of: text, step)
            case .decompose, .compose: try reorder(text, composing: step == .compose)
            }
            swap(&source, &target)
        }
    }

    private func isComposed(_ text: TokenizerText) -> Bool {
        var position = 0
        while position < text.count {
            let (scalar, length) = text.scalar(at: position)
            if tables.characterClass(scalar).contains(.mayChangeInNFC) { return false }
            position &+= length
        }
        return true
    }

    private mutating func mapScalars(of text: TokenizerText, _ step: NormalizerStep) throws(RuntimeError) {
        var position = 0
        while position < text.count {
            let (scalar, length) = text.scalar(at: position)
            position &+= length
            let kind = tables.characterClass(scalar)
            switch step {
            case .cleanText:
                if kind.contains(.control) { continue }
                try target.appendScalar(kind.contains(.whitespace) ? 0x20 : scalar)
            case .padIdeographs:
                if kind.contains(.ideograph) {
                    try target.append(0x20)
                    try target.appendScalar(scalar)
                    try target.append(0x20)
                } else {
                    try target.appendScalar(scalar)
                }
            case .removeMarks: if !kind.contains(.mark) { try target.appendScalar(scalar) }
            case .removeNonspacingMarks: if !kind.contains(.nonspacingMark) { try target.appendScalar(scalar) }
            case .lowercase:
                if kind.contains(.hasLowercase), let image = tables.mapping(of: scalar, in: .lowercase) {
                    for i in 0..<image.count / 4 {
                        try target.appendScalar(UInt32(littleEndian: image.loadUnaligned(fromByteOffset: i &* 4, as: UInt32.self)))
                    }
                } else {
                    try target.appendScalar(scalar)
                }
            case .decompose, .compose: break
            }
        }
    }

    /// Normalization form D or C (Unicode Standard, section 3.11), a segment at a time.
    private mutating func reorder(_ text: TokenizerText, composing: Bool) throws(RuntimeError) {
        var position = 0
        while position < text.count {
            let (scalar, length) = text.scalar(at: position)
            position &+= length
            let kind = tables.characterClass(scalar)
            if composing {
                // Nothing composes across a character that NFC leaves alone.
                if !kind.contains(.mayChangeInNFC) { try segment.flush(composing: true, tables: tables, into: &target) }
            } else if !kind.contains(.decomposes), !kind.contains(.combining) {
                try segment.flush(composing: false, tables: tables, into: &target)
            }
            try segment.append(scalar, kind, tables: tables)
        }
        try segment.flush(composing: composing, tables: tables, into: &target)
    }
}
