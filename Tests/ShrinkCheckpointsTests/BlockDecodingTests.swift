@testable import ShrinkCheckpoints
import Testing

/// Against the values that the `gguf` package computes (`Tools/goldens/checkpoint_files.py`).
@Suite struct BlockDecodingTests {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    static let types: [TensorType] = [.f16, .bf16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q4_K, .q5_K, .q6_K]

    /// The stored blocks of a fixture as a tensor of one row, and the floats they stand for.
    private func golden(_ type: TensorType) throws -> (CheckpointTensor, [Float]) {
        let file = try MappedFile(path: fixture("blocks-\(type.name).bin"))
        let count = file.bytes.count / (type.bytesPerBlock + 4 * type.blockSize)
        let blockBytes = count * type.bytesPerBlock, elementCount = count * type.blockSize
        let tensor = CheckpointTensor(name: "blocks", type: type, shape: [elementCount], elementCount: elementCount,
            byteRange: 0..<blockBytes, file: file)
        let floats = (0..<elementCount).map {
            Float(bitPattern: file.bytes.loadUnaligned(fromByteOffset: blockBytes + 4 * $0, as: UInt32.self))
        }
        return (tensor, floats)
    }

    /// NaNs (infinity times zero) need only be NaNs; everything else must be the same bits.
    private func same(_ a: Float, _ b: Float) -> Bool { a.bitPattern == b.bitPattern || a.isNaN && b.isNaN }

    @Test(arguments: types)
    func equalsTheReferenceBitForBit(type: TensorType) throws {
        let (tensor, expected) = try golden(type)
        let floats = try tensor.floats()
        #expect(floats.count == expected.count)
        let wrong = floats.indices.first { !same(floats[$0], expected[$0]) }
        #expect(wrong == nil, "element \(wrong ?? 0): \(floats[wrong ?? 0]) instead of \(expected[wrong ?? 0])")
    }

    @Test(arguments: types)
    func readsRangesThatCutBlocks(type: TensorType) throws {
        let (tensor, expected) = try golden(type)
        let size = type.blockSize, all = expected.count
        let edges = Set([0, 1, size - 1, size, size + 1, 2 * size + size / 2, 3 * size, all - size - 1, all - 1, all])
        for first in edges {
            for last in edges where last >= first {
                let floats = try tensor.floats(first..<last)
                #expect(zip(floats, expected[first..<last]).allSatisfy(same), "\(first)..<\(last)")
            }
        }
    }

    @Test func convertsEveryHalf() throws {
        let halves = (0...UInt16.max).flatMap(littleEndian)
        let file = try MappedFile(path: scratch.write(halves))
        let tensor = CheckpointTensor(name: "halves", type: .f16, shape: [65536], elementCount: 65536,
            byteRange: 0..<131072, file: file)
        let floats = try tensor.floats()
        #expect((0...UInt16.max).allSatisfy { same(floats[Int($0)], Float(Float16(bitPattern: $0))) })
    }

    @Test func roundsDoublesToNearest() throws {
        let doubles = [0.1, -1e300, 1 + 0x1p-24, 1 + 0x1p-23 + 0x1p-24]
        let file = try MappedFile(path: scratch.write(doubles.flatMap { littleEndian($0.bitPattern) }))
        let tensor = CheckpointTensor(name: "doubles", type: .f64, shape: [4], elementCount: 4, byteRange: 0..<32, file: file)
        #expect(try tensor.floats() == [0x1.99999ap-4, -.infinity, 1, 1 + 0x1p-22])
    }

    @Test func readsFloatsAtAnyAddress() throws {
        let file = try MappedFile(path: scratch.write([9] + [1.5, -2].flatMap { littleEndian(Float($0).bitPattern) }))
        let tensor = CheckpointTensor(name: "odd", type: .f32, shape: [2], elementCount: 2, byteRange: 1..<9, file: file)
        #expect(try tensor.floats() == [1.5, -2])
        #expect(tensor.float32Bytes == nil)
    }

    @Test func refusesIntegersAndRangesOutside() throws {
        let file = try SafetensorsFile(path: fixture("small.safetensors")).checkpoint
        let ids = try file.tensor(named: "ids"), ramp = try file.tensor(named: "ramp.f32")
        expectError(.notFloatingPoint, at: "ids") { _ = try ids.floats() }
        expectError(.rangeOutOfBounds, at: "ramp.f32") { _ = try ramp.floats(0..<7) }
        expectError(.rangeOutOfBounds) { _ = try ramp.floats(-1..<2) }
        expectError(.rangeOutOfBounds) {
            var short = [Float](repeating: 0, count: 2)
            try short.withUnsafeMutableBufferPointer { try ramp.readFloats(0..<3, into: $0) }
        }
    }

    @Test func staysReadableAfterItsPagesAreReleased() throws {
        let (tensor, expected) = try golden(.q8_0)
        tensor.releasePages()
        tensor.releasePages(5..<40)
        #expect(zip(try tensor.floats(), expected).allSatisfy(same))
    }
}
