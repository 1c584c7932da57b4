import ShrinkFormat

/// The class of every code point in blocks of 128, equal blocks stored once.
struct CharacterClassTables {
    private(set) var index: [UInt16] = []
    private(set) var blocks: [UInt16] = []

    /// Only the classes of `used` are set.
    init(used: CharacterClass) {
        var classes = [UInt16](repeating: 0, count: 0x11_0000)
        func add(_ kind: CharacterClass, _ set: String) {
            guard used.contains(kind) else { return }
            UnicodeTables.forEach(in: set) { range in
                for scalar in range { classes[Int(scalar)] |= kind.rawValue }
            }
        }
        func add(_ kind: CharacterClass, _ scalars: some Sequence<UInt32>) {
            guard used.contains(kind) else { return }
            for scalar in scalars { classes[Int(scalar)] |= kind.rawValue }
        }
        add(.letter, UnicodeData.letter)
        add(.number, UnicodeData.number)
        add(.whitespace, UnicodeData.whitespace)
        add(.numeric, UnicodeData.numeric)
        add(.punctuation, UnicodeData.punctuation)
        add(.word, UnicodeData.word)
        add(.control, UnicodeData.control)
        add(.ideograph, UnicodeData.ideograph)
        add(.nonspacingMark, UnicodeData.nonspacingMark)
        add(.mark, UnicodeData.mark)
        let unicode = UnicodeTables.shared
        add(.hasLowercase, unicode.lowercase.keys)
        add(.decomposes, unicode.decompositions.keys)
        add(.decomposes, 0xAC00...0xD7A3)
        add(.mayChangeInNFC, UnicodeData.compositionExclusion)
        // What can be the second part of a composite, with the vowels and trails of Hangul.
        add(.mayChangeInNFC, unicode.compositions.keys.map(\.second))
        add(.mayChangeInNFC, 0x1161...0x1175)
        add(.mayChangeInNFC, 0x11A8...0x11C2)
        for (range, _) in unicode.combiningClasses {
            add(.combining, range)
            add(.mayChangeInNFC, range)
        }

        var places: [[UInt16]: UInt16] = [:]
        for start in stride(from: 0, to: classes.count, by: 128) {
            let block = Array(classes[start..<start + 128])
            if let place = places[block] {
                index.append(place)
            } else {
                let place = UInt16(places.count)
                places[block] = place
                index.append(place)
                blocks += block
            }
        }
    }
}
