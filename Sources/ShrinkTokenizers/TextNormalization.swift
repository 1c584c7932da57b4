import ShrinkFormat

/// The normalizer steps on short texts: the contents of added tokens that are looked for in
/// normalized text. The runtime has its own, which works on the tables without memory of its own.
enum TextNormalization {
    static func normalized(_ text: [UInt8], by steps: [NormalizerStep]) -> [UInt8] {
        var scalars = String(decoding: text, as: UTF8.self).unicodeScalars.map(\.value)
        for step in steps { scalars = apply(step, to: scalars) }
        return scalars.flatMap { Array(String(Unicode.Scalar($0) ?? "\u{FFFD}").utf8) }
    }

    private static func apply(_ step: NormalizerStep, to scalars: [UInt32]) -> [UInt32] {
        let unicode = UnicodeTables.shared
        switch step {
        case .cleanText:
            return scalars.compactMap { contains(UnicodeData.control, $0) ? nil : contains(UnicodeData.whitespace, $0) ? 0x20 : $0 }
        case .padIdeographs: return scalars.flatMap { contains(UnicodeData.ideograph, $0) ? [0x20, $0, 0x20] : [$0] }
        case .removeMarks: return scalars.filter { !contains(UnicodeData.mark, $0) }
        case .removeNonspacingMarks: return scalars.filter { !contains(UnicodeData.nonspacingMark, $0) }
        case .lowercase: return scalars.flatMap { unicode.lowercase[$0] ?? [$0] }
        case .decompose: return ordered(scalars.flatMap(decomposed))
        case .compose: return composed(ordered(scalars.flatMap(decomposed)))
        }
    }

    private static func contains(_ set: String, _ scalar: UInt32) -> Bool {
        var isInside = false
        UnicodeTables.forEach(in: set) { if $0.contains(scalar) { isInside = true } }
        return isInside
    }

    private static func decomposed(_ scalar: UInt32) -> [UInt32] {
        guard scalar >= 0xAC00, scalar <= 0xD7A3 else { return UnicodeTables.shared.decompositions[scalar] ?? [scalar] }
        let index = scalar - 0xAC00
        let pair = [0x1100 + index / 588, 0x1161 + index % 588 / 28]
        return index % 28 == 0 ? pair : pair + [0x11A7 + index % 28]
    }

    private static func ordered(_ scalars: [UInt32]) -> [UInt32] {
        var result: [UInt32] = []
        for scalar in scalars {
            let ownClass = UnicodeTables.shared.combiningClass(scalar)
            var place = result.count
            while ownClass > 0, place > 0, UnicodeTables.shared.combiningClass(result[place - 1]) > ownClass { place -= 1 }
            result.insert(scalar, at: place)
        }
        return result
    }

    private static func composed(_ scalars: [UInt32]) -> [UInt32] {
        var result: [UInt32] = []
        var starter: Int?
        for scalar in scalars {
            let ownClass = UnicodeTables.shared.combiningClass(scalar)
            if let place = starter {
                let isBlocked = place + 1 < result.count && UnicodeTables.shared.combiningClass(result[result.count - 1]) >= ownClass
                if !isBlocked, let composite = composite(result[place], scalar) {
                    result[place] = composite
                    continue
                }
            }
            if ownClass == 0 { starter = result.count }
            result.append(scalar)
        }
        return result
    }

    private static func composite(_ first: UInt32, _ second: UInt32) -> UInt32? {
        if (0x1100..<0x1113).contains(first), (0x1161..<0x1176).contains(second) {
            return 0xAC00 + (first - 0x1100) * 588 + (second - 0x1161) * 28
        }
        if (0xAC00...0xD7A3).contains(first), (first - 0xAC00) % 28 == 0, (0x11A8..<0x11C3).contains(second) {
            return first + second - 0x11A7
        }
        return UnicodeTables.shared.compositions[UnicodeTables.Pair(first: first, second: second)]
    }
}
