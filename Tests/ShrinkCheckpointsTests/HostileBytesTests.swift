@testable import ShrinkCheckpoints
import Testing

/// Whatever the bytes: a `CheckpointError`, or tensors and metadata that can all be read.
@Suite struct HostileBytesTests {
    private let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private enum Outcome { case refused, read }

    private func tryReading(_ bytes: [UInt8], _ name: String) throws -> Outcome {
        let path = scratch.write(bytes, to: name)
        do throws(CheckpointError) {
            let checkpoint = try Checkpoint.open(path)
            try Self.readEverything(checkpoint, path)
            return .read
        } catch {
            #expect(error.file == path && !error.message.isEmpty && !error.remedy.isEmpty)
            return .refused
        }
    }

    private static func readEverything(_ checkpoint: Checkpoint, _ path: String) throws(CheckpointError) {
        for tensor in checkpoint.tensors {
            var floats = [Float](repeating: 0, count: tensor.type.isFloatingPoint ? tensor.elementCount : 0)
            let result = floats.withUnsafeMutableBufferPointer { buffer in
                Result { () throws(CheckpointError) in
                    if tensor.type.isFloatingPoint { try tensor.readFloats(0..<tensor.elementCount, into: buffer) }
                }
            }
            try result.get()
            _ = tensor.bytes.reduce(0) { $0 ^ $1 }
        }
        guard checkpoint.files.first.map(GGUFFile.isGGUF) == true else { return }
        for (_, value) in try GGUFFile(path: path).metadata {
            _ = (value.int, value.double, value.string, value.array?.values, value.array?.strings, value.array?.floats)
        }
    }

    private func sound(_ kind: String) throws -> (bytes: [UInt8], headerByteCount: Int) {
        if kind == "safetensors" {
            let bytes = try fixtureBytes("small.safetensors")
            let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
            return (bytes, 8 + length)
        }
        var builder = GGUFBuilder()
        builder.add("general.architecture", type: 8, GGUFBuilder.string("llama"))
        builder.add("general.alignment", type: 4, littleEndian(UInt32(32)))
        builder.addArray("tokens", of: 8, count: 3, ["a", "bc", ""].flatMap(GGUFBuilder.string))
        builder.addArray("flags", of: 7, count: 2, [0, 1])
        builder.addArray("nested", of: 9, count: 1, littleEndian(UInt32(6)) + littleEndian(UInt64(2)) + littleEndian(UInt64(5)))
        builder.addTensor("floats", [4, 2])
        builder.addTensor("halves", [3], type: 1, offset: 32)
        builder.addTensor("blocks", [32, 2], type: 8, offset: 64)
        builder.data = (0..<132).map { UInt8(truncatingIfNeeded: 37 &* $0) }
        return (builder.bytes, builder.header.count)
    }

    @Test(arguments: ["safetensors", "gguf"])
    func readsTheSoundFile(kind: String) throws {
        #expect(try tryReading(sound(kind).bytes, kind) == .read)
    }

    @Test(arguments: ["safetensors", "gguf"])
    func refusesEveryTruncation(kind: String) throws {
        let bytes = try sound(kind).bytes
        for length in 0..<bytes.count {
            #expect(try tryReading(Array(bytes[..<length]), kind) == .refused, "\(length) bytes")
        }
    }

    @Test(arguments: ["safetensors", "gguf"])
    func survivesEveryBitFlipInTheHeader(kind: String) throws {
        let (bytes, headerByteCount) = try sound(kind)
        var refused = 0
        for bit in 0..<8 * headerByteCount {
            var damaged = bytes
            damaged[bit / 8] ^= 1 << (bit % 8)
            if try tryReading(damaged, kind) == .refused { refused += 1 }
        }
        #expect(refused > headerByteCount)
    }

    @Test(arguments: ["safetensors", "gguf"])
    func survivesRandomBytesAnywhere(kind: String) throws {
        let (bytes, headerByteCount) = try sound(kind)
        var random = SplitMix(state: 1)
        var refused = 0
        for _ in 0..<2000 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...8, using: &random) {
                let byte = UInt8.random(in: 0...255, using: &random)
                let position = Int.random(in: 0..<headerByteCount, using: &random)
                damaged[position] = [0, 1, 0x7F, 0x80, 0xFF, byte][Int.random(in: 0..<6, using: &random)]
            }
            if try tryReading(damaged, kind) == .refused { refused += 1 }
        }
        #expect(refused > 1000)
    }

    @Test(arguments: ["safetensors", "gguf"])
    func readsAnyDataBytes(kind: String) throws {
        var (bytes, headerByteCount) = try sound(kind)
        for position in headerByteCount..<bytes.count { bytes[position] = 0xFF }
        #expect(try tryReading(bytes, kind) == .read)
    }
}

/// A generator with a fixed sequence (Steele, Lea and Flood 2014).
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }
}
