import ShrinkFormat
import Testing

@Suite struct SelfTestTests {
    static func written(_ tokens: [UInt32]) -> [UInt8] {
        var digest = SHA256.Digest(repeating: 0)
        for i in digest.indices { digest[i] = UInt8(i) }
        return [UInt8](unsafeUninitializedCapacity: SelfTest.byteCount(tokenCount: tokens.count)) { buffer, count in
            tokens.withUnsafeBufferPointer {
                SelfTest.write(kind: .score, tokens: $0, digest: digest, to: UnsafeMutableRawPointer(buffer.baseAddress!))
            }
            count = buffer.count
        }
    }

    @Test func readsWhatWasWritten() throws {
        let bytes = Self.written([5, 70_000, 9])
        #expect(bytes.prefix(8) == ArraySlice("SHRKTEST".utf8))
        try bytes.withUnsafeBytes { raw in
            let test = try SelfTest(reading: raw)
            #expect(test.kind == .score)
            #expect((0..<test.tokenCount).map(test.token) == [5, 70_000, 9])
            #expect(test.digest.indices.allSatisfy { test.digest[$0] == UInt8($0) })
        }
    }

    @Test func refusesEverySizeButItsOwn() {
        let bytes = Self.written([5, 6])
        for count in 0..<bytes.count {
            #expect(bytes[..<count].withUnsafeBytes { (try? SelfTest(reading: $0)) == nil })
        }
        #expect((bytes + [0]).withUnsafeBytes { (try? SelfTest(reading: $0)) == nil })
    }

    @Test(arguments: 0..<16) func refusesADamagedHeader(byte: Int) {
        var bytes = Self.written([5, 6])
        bytes[byte] ^= 0x40
        #expect(bytes.withUnsafeBytes { (try? SelfTest(reading: $0)) == nil })
    }
}
