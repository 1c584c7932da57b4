/// `UnicodeData`, parsed.
struct UnicodeTables: Sendable {
    static let shared = UnicodeTables()

    /// Full canonical decompositions without Hangul syllables.
    let decompositions: [UInt32: [UInt32]]
    let lowercase: [UInt32: [UInt32]]
    let combiningClasses: [(range: ClosedRange<UInt32>, class: UInt8)]
    /// Pairs that compose, from the decompositions and the exclusions.
    let compositions: [Pair: UInt32]

    struct Pair: Hashable {
        var first: UInt32
        var second: UInt32
    }

    private init() {
        var decompositions: [UInt32: [UInt32]] = [:]
        var last: UInt32 = 0
        for item in UnicodeData.decompositions.split(separator: " ") {
            let (distance, sequence) = Self.entry(item)
            last += UInt32(distance)
            decompositions[last] = sequence.map(UInt32.init)
        }
        self.decompositions = decompositions

        var lowercase: [UInt32: [UInt32]] = [0x130: [0x69, 0x307]]
        for item in UnicodeData.lowercase.split(separator: " ") {
            let (first, numbers) = Self.entry(item)
            for i in 0..<numbers[0] {
                let scalar = first + i * numbers[1]
                lowercase[UInt32(scalar)] = [UInt32(scalar + numbers[2])]
            }
        }
        self.lowercase = lowercase

        combiningClasses = UnicodeData.combiningClasses.split(separator: " ").map {
            let (first, numbers) = Self.entry($0)
            return (UInt32(first)...UInt32(first + numbers[0]), UInt8(numbers[1]))
        }

        // A composite of n parts is the composite of the first n − 1 and the last.
        var excluded: Set<UInt32> = []
        Self.forEach(in: UnicodeData.compositionExclusion) { excluded.formUnion($0) }
        var composites: [[UInt32]: UInt32] = [:]
        for (scalar, parts) in decompositions where !excluded.contains(scalar) { composites[parts] = scalar }
        var compositions: [Pair: UInt32] = [:]
        for (parts, scalar) in composites {
            let first = parts.count == 2 ? parts[0] : composites[Array(parts.dropLast())]
            if let first, let second = parts.last { compositions[Pair(first: first, second: second)] = scalar }
        }
        self.compositions = compositions
    }

    func combiningClass(_ scalar: UInt32) -> UInt8 {
        combiningClasses.first { $0.range.contains(scalar) }?.class ?? 0
    }

    /// The ranges of a set of `UnicodeData`.
    static func forEach(in set: String, _ body: (Range<UInt32>) -> Void) {
        var (position, isInside): (UInt32, Bool) = (0, false)
        for item in set.split(separator: " ") {
            let length = UInt32(number(item))
            if isInside { body(position..<position + length) }
            position += length
            isInside.toggle()
        }
    }

    /// `key:a,b,…`
    private static func entry(_ text: Substring) -> (key: Int, values: [Int]) {
        let parts = text.split(separator: ":")
        return (number(parts[0]), parts[1].split(separator: ",").map(number))
    }

    private static func number(_ text: Substring) -> Int { Int(text, radix: 36) ?? 0 }
}
