import ShrinkFormat
import Testing

/// Vectors of FIPS 180-4's examples (NIST, "SHA-256 Example Values") and of the NIST CAVP long message.
@Suite struct SHA256Tests {
    static let vectors: [(message: [UInt8], digest: String)] = [
        ([], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (Array("abc".utf8), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            Array(
                "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"
                    .utf8),
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
        ([UInt8](repeating: 0x61, count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ]

    func hex(_ digest: SHA256.Digest) -> String {
        digest.indices.map { i in
            let text = String(digest[i], radix: 16)
            return text.count == 1 ? "0" + text : text
        }.joined()
    }

    @Test(arguments: vectors.indices) func publishedVectors(_ index: Int) {
        let vector = Self.vectors[index]
        #expect(vector.message.withUnsafeBytes { hex(SHA256.digest(of: $0)) } == vector.digest)
    }

    @Test(arguments: [1, 3, 55, 56, 63, 64, 65, 127, 128, 1000]) func digestDoesNotDependOnTheSplit(_ size: Int) {
        let message = Self.vectors[4].message
        var hash = SHA256()
        message.prefix(10_000).withUnsafeBytes { bytes in
            var i = 0
            while i < bytes.count {
                let end = min(i + size, bytes.count)
                hash.update(UnsafeRawBufferPointer(rebasing: bytes[i..<end]))
                i = end
            }
        }
        #expect(hex(hash.digest()) == message.prefix(10_000).withUnsafeBytes { hex(SHA256.digest(of: $0)) })
    }

    /// So many times "a", with sha256sum of coreutils.
    @Test func lengthsAroundTheBlockMatchCoreutils() {
        let expected = [
            55: "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318",
            56: "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a",
            64: "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb",
            119: "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb",
        ]
        for (count, digest) in expected {
            let message = [UInt8](repeating: 0x61, count: count)
            #expect(message.withUnsafeBytes { hex(SHA256.digest(of: $0)) } == digest)
        }
    }
}
