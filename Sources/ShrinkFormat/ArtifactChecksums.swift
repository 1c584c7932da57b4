/// The `SHA256SUMS` entry: for every entry before it, in order, `<64 hex digits>  <name>\n`, which
/// `sha256sum -c` reads too.
extension ArtifactDirectory {
    /// Compares the contents of the entries with their checksums: always all but the weights, and
    /// those too when asked. Throws `invalidArtifact` with the offset of the damaged entry.
    public func verify(
        _ file: UnsafeRawBufferPointer, includingWeights: Bool, blockFunction: SHA256.BlockFunction? = nil
    ) throws(RuntimeError) {
        guard let sums = self[.checksums], file.count >= sums.upperBound else {
            throw RuntimeError(.invalidArtifact, "SHA256SUMS is missing", 0)
        }
        var cursor = sums.lowerBound
        for entry in Entry.allCases where entry != .checksums {
            guard let range = self[entry] else { continue }
            let line = cursor
            let name = UnsafeBufferPointer(start: entry.name.utf8Start, count: entry.name.utf8CodeUnitCount)
            let lineByteCount = 64 + 2 + name.count + 1
            guard sums.upperBound - cursor >= lineByteCount else {
                throw RuntimeError(.invalidArtifact, "SHA256SUMS has too few lines", line)
            }
            var isWellFormed = file[line + 64] == 0x20 && file[line + 65] == 0x20 && file[line + lineByteCount - 1] == 0x0A
            for i in name.indices where file[line + 66 + i] != name[i] { isWellFormed = false }
            for i in 0..<64 where !Self.isHexDigit(file[line + i]) { isWellFormed = false }
            guard isWellFormed else { throw RuntimeError(.invalidArtifact, "a line of SHA256SUMS is malformed", line) }
            cursor += lineByteCount

            if entry == .weights && !includingWeights { continue }
            let digest = SHA256.digest(of: UnsafeRawBufferPointer(rebasing: file[range]), blockFunction: blockFunction)
            for i in digest.indices
            where file[line + 2 * i] != Self.hexDigit(digest[i] >> 4) || file[line + 2 * i + 1] != Self.hexDigit(digest[i] & 15) {
                throw RuntimeError(.invalidArtifact, "an entry is damaged: its checksum differs", range.lowerBound)
            }
        }
        guard cursor == sums.upperBound else {
            throw RuntimeError(.invalidArtifact, "SHA256SUMS has too many lines", cursor)
        }
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? 0x30 + value : 0x57 + value
    }

    private static func isHexDigit(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || (0x61...0x66).contains(byte)
    }
}
