import RuntimeTestSupport
import ShrinkFormat
import Testing

@Suite struct ArtifactDirectoryTests {
    static let program = [UInt8](1...200)
    static let weights = [UInt8](repeating: 7, count: 1000)

    static func entries(optional: Bool = true) -> [ArtifactFile.Entry] {
        ArtifactFile.entries(
            program: program, weights: weights, tokenizer: optional ? [1, 2, 3] : nil, selfTest: optional ? [4] : nil,
            readme: optional ? Array("# A model\n".utf8) : nil)
    }

    /// What reading and verifying says.
    func error(_ file: [UInt8], includingWeights: Bool = true) -> RuntimeError? {
        file.withUnsafeBytes { bytes in
            do throws(RuntimeError) {
                try ArtifactDirectory(reading: bytes).verify(bytes, includingWeights: includingWeights)
                return nil
            } catch {
                return error
            }
        }
    }

    @Test(arguments: [true, false]) func everyEntryIsWhereLibarchivePutIt(optional: Bool) throws {
        let entries = Self.entries(optional: optional)
        let file = ArtifactFile.archive(entries)
        let directory = try file.withUnsafeBytes { try ArtifactDirectory(reading: $0) }
        for entry in ArtifactDirectory.Entry.allCases {
            let content = entries.first { $0.name == "\(entry.name)" }?.content
            #expect(directory[entry].map { Array(file[$0]) } == content)
        }
        #expect(error(file) == nil)
    }

    @Test func everyFlippedBitOutsideTheContentsIsRefused() throws {
        let file = ArtifactFile.archive(Self.entries())
        let directory = try file.withUnsafeBytes { try ArtifactDirectory(reading: $0) }
        var isContent = [Bool](repeating: false, count: file.count)
        for entry in ArtifactDirectory.Entry.allCases { for i in directory[entry] ?? 0..<0 { isContent[i] = true } }
        for i in file.indices where !isContent[i] {
            for bit in 0..<8 {
                var damaged = file
                damaged[i] ^= 1 << UInt8(bit)
                let refused = damaged.withUnsafeBytes { bytes in (try? ArtifactDirectory(reading: bytes)) == nil }
                #expect(refused, "byte \(i) bit \(bit)")
            }
        }
    }

    @Test func everyFlippedByteOfTheContentsIsRefused() throws {
        let file = ArtifactFile.archive(Self.entries())
        let directory = try file.withUnsafeBytes { try ArtifactDirectory(reading: $0) }
        for entry in ArtifactDirectory.Entry.allCases {
            for i in directory[entry] ?? 0..<0 {
                var damaged = file
                damaged[i] ^= 1
                #expect(error(damaged) != nil, "byte \(i)")
            }
        }
    }

    @Test func weightsAreNotHashedWhenNotAsked() throws {
        var file = ArtifactFile.archive(Self.entries())
        let weights = try file.withUnsafeBytes { try ArtifactDirectory(reading: $0) }[.weights]!
        file[weights.lowerBound + 10] ^= 1
        #expect(error(file, includingWeights: false) == nil)
        let found = error(file, includingWeights: true)
        #expect(found?.code == .invalidArtifact)
        #expect(found?.detail == weights.lowerBound)
    }

    @Test func everyTruncationIsRefused() {
        let file = ArtifactFile.archive(Self.entries())
        for count in 0..<file.count {
            #expect(file[..<count].withUnsafeBytes { (try? ArtifactDirectory(reading: $0)) == nil }, "\(count) bytes")
        }
    }

    @Test func bytesAfterTheEndAreRefused() {
        let file = ArtifactFile.archive(Self.entries())
        for extra in [1, 512, 1024, 10_240] {
            #expect(error(file + [UInt8](repeating: 0, count: extra)) != nil)
        }
        #expect(error(file + file) != nil)
    }

    @Test func otherArchivesAreRefused() {
        let entries = Self.entries()
        for i in entries.indices {
            var duplicated = entries
            duplicated.insert(entries[i], at: i)
            #expect(error(ArtifactFile.archive(duplicated)) != nil, "twice \(entries[i].name)")
            var renamed = entries
            renamed[i].name = "surprise"
            #expect(error(ArtifactFile.archive(renamed)) != nil, "renamed \(entries[i].name)")
            var missing = entries
            missing.remove(at: i)
            #expect(error(ArtifactFile.archive(missing)) != nil, "without \(entries[i].name)")
            if i > 0 {
                var swapped = entries
                swapped.swapAt(i, i - 1)
                #expect(error(ArtifactFile.archive(swapped)) != nil, "swapped \(entries[i].name)")
            }
        }
    }

    static let otherForms: [@Sendable (String) -> String] = [
        { $0.uppercased() },
        { String($0.dropLast()) },
        { $0 + "\n" },
        { $0 + $0 },
        { $0.replacing("  ", with: " *") },
        { $0.replacing("program", with: "Program") },
        { String($0.dropFirst(64)) },
        { _ in "" },
    ]

    @Test(arguments: otherForms.indices) func otherFormsOfChecksumsAreRefused(_ form: Int) {
        var entries = Self.entries()
        let text = String(decoding: entries[entries.count - 1].content, as: UTF8.self)
        entries[entries.count - 1].content = Array(Self.otherForms[form](text).utf8)
        #expect(error(ArtifactFile.archive(entries))?.code == .invalidArtifact)
    }
}
