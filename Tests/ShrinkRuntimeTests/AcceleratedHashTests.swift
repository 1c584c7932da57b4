import CShrinkKernels
import RuntimeTestSupport
import ShrinkFormat
import Testing

/// SHA-256 by the processor's instructions against the one in Swift, which has the published vectors.
@Suite struct AcceleratedHashTests {
    @Test(.enabled(if: shrink_sha256_accelerated() != nil, "this processor has no instructions for SHA-256"))
    func theProcessorsInstructionsGiveTheSameDigests() {
        var random = RandomValues(seed: 5)
        let message = random.floats(5_000, spread: 1).flatMap { withUnsafeBytes(of: $0.bitPattern) { Array($0) } }
        for count in Array(0...300) + [4096, 20_000] {
            message.withUnsafeBytes { bytes in
                let part = UnsafeRawBufferPointer(rebasing: bytes[..<count])
                let expected = SHA256.digest(of: part)
                let found = SHA256.digest(of: part, blockFunction: shrink_sha256_accelerated())
                #expect(expected.indices.allSatisfy { expected[$0] == found[$0] }, "\(count) bytes")
                var pieces = SHA256(blockFunction: shrink_sha256_accelerated())
                pieces.update(UnsafeRawBufferPointer(rebasing: part[..<(count / 3)]))
                pieces.update(UnsafeRawBufferPointer(rebasing: part[(count / 3)...]))
                let split = pieces.digest()
                #expect(expected.indices.allSatisfy { expected[$0] == split[$0] }, "\(count) bytes in two pieces")
            }
        }
    }
}
