import Glibc
@testable import ShrinkCheckpoints
import Testing

@Suite struct SafetensorsWriterTests {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    private typealias Declaration = SafetensorsWriter.Declaration

    private func write(_ bytes: [UInt8], to name: String, of writer: SafetensorsWriter) throws {
        try bytes.withUnsafeBytes { try writer.write($0, to: name) }
    }

    @Test func writesTheSameBytesAsTheSafetensorsPackage() throws {
        let original = try SafetensorsFile(path: fixture("small.safetensors"))
        let tensors = original.checkpoint.tensors
        let writer = try SafetensorsWriter(path: scratch.file("copy"),
            tensors: tensors.map { Declaration(name: $0.name, type: $0.type, shape: $0.shape) }, metadata: original.metadata)
        for tensor in tensors { try writer.write(tensor.bytes, to: tensor.name) }
        try writer.finish()
        #expect(scratch.read("copy") == (try fixtureBytes("small.safetensors")))
        #expect(scratch.read("copy")?.count == writer.byteCount)
        #expect(scratch.names == ["copy"])
    }

    @Test func takesDataInPieces() throws {
        let writer = try SafetensorsWriter(path: scratch.file("a"), tensors: [Declaration(name: "t", type: .u8, shape: [5])])
        try write([1, 2], to: "t", of: writer)
        try write([], to: "t", of: writer)
        try write([3, 4, 5], to: "t", of: writer)
        try writer.finish()
        #expect(try SafetensorsFile(path: scratch.file("a")).checkpoint["t"]?.elements(as: UInt8.self) == [1, 2, 3, 4, 5])
    }

    @Test func needsNoDataForEmptyTensors() throws {
        let declarations = ["a", "b", "c"].map { Declaration(name: $0, type: .f32, shape: $0 == "b" ? [1] : [0, 3]) }
        for names in [["b"], ["a", "b", "c"]] {
            let writer = try SafetensorsWriter(path: scratch.file("x"), tensors: declarations)
            for name in names { try write(name == "b" ? [0, 0, 0, 0] : [], to: name, of: writer) }
            try writer.finish()
            #expect(try SafetensorsFile(path: scratch.file("x")).checkpoint.tensors.map(\.name).sorted() == ["a", "b", "c"])
        }
    }

    @Test func alignsTheDataToEightBytes() throws {
        for length in 1...9 {
            let writer = try SafetensorsWriter(path: scratch.file("a"),
                tensors: [Declaration(name: String(repeating: "n", count: length), type: .f64, shape: [0])])
            #expect(writer.byteCount % 8 == 0)
        }
    }

    @Test func roundsFloatsToHalvesToNearestEven() throws {
        let values: [Float] = [1, 1 + 0x1p-11, 1 + 0x3p-11, 65504, 65520, -0.0, 0x1p-24, .infinity]
        let writer = try SafetensorsWriter(path: scratch.file("a"), tensors: [Declaration(name: "t", type: .f16, shape: [8])])
        try values.withUnsafeBufferPointer { try writer.write($0, to: "t") }
        try writer.finish()
        #expect(try SafetensorsFile(path: scratch.file("a")).checkpoint["t"]?.elements(as: UInt16.self)
            == [0x3C00, 0x3C00, 0x3C02, 0x7BFF, 0x7C00, 0x8000, 0x0001, 0x7C00])
    }

    @Test func roundsFloatsToBFloat16ToNearestEven() throws {
        let values: [Float] = [1, 1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1.02p-8, .greatestFiniteMagnitude, -.infinity, -0.0]
        let writer = try SafetensorsWriter(path: scratch.file("a"), tensors: [Declaration(name: "t", type: .bf16, shape: [8])])
        try (values + [Float(bitPattern: 0x7F80_0001)]).withUnsafeBufferPointer { try writer.write($0, to: "t") }
        try writer.finish()
        #expect(try SafetensorsFile(path: scratch.file("a")).checkpoint["t"]?.elements(as: UInt16.self)
            == [0x3F80, 0x3F80, 0x3F82, 0x3F81, 0x7F80, 0xFF80, 0x8000, 0x7FC0])
    }

    @Test func leavesNothingBehindWhenItGoesUnfinished() throws {
        scratch.write([7], to: "model")
        do {
            let writer = try SafetensorsWriter(path: scratch.file("model"), tensors: [Declaration(name: "t", type: .u8, shape: [2])])
            #expect(scratch.names.count == 2)
            try write([1], to: "t", of: writer)
            expectError(.wrongTensorData, at: "tensor t") { try writer.finish() }
        }
        #expect(scratch.names == ["model"])
        #expect(scratch.read("model") == [7])
    }

    @Test func replacesAnOlderFileWhenFinished() throws {
        scratch.write([7], to: "model")
        try SafetensorsWriter(path: scratch.file("model"), tensors: []).finish()
        #expect(scratch.names == ["model"])
        #expect(try SafetensorsFile(path: scratch.file("model")).checkpoint.tensors.isEmpty)
    }

    @Test func refusesDataOutOfOrderAndTooMuch() throws {
        let writer = try SafetensorsWriter(path: scratch.file("a"),
            tensors: ["a", "b"].map { Declaration(name: $0, type: .u8, shape: [2]) })
        expectError(.wrongTensorData, at: "tensor b") { try write([1, 2], to: "b", of: writer) }
        expectError(.wrongTensorData, at: "tensor a") { try write([1, 2, 3], to: "a", of: writer) }
        try write([1, 2], to: "a", of: writer)
        expectError(.wrongTensorData, at: "tensor a") { try write([3], to: "a", of: writer) }
        try write([1, 2], to: "b", of: writer)
        expectError(.wrongTensorData, at: "tensor c") { try write([1], to: "c", of: writer) }
    }

    @Test func refusesFloatsForATensorOfIntegers() throws {
        let writer = try SafetensorsWriter(path: scratch.file("a"), tensors: [Declaration(name: "t", type: .i32, shape: [1])])
        expectError(.unsupportedType, at: "tensor t") { try [Float(1)].withUnsafeBufferPointer { try writer.write($0, to: "t") } }
    }

    @Test func refusesDeclarationsThatCannotBeWritten() {
        func expect(_ code: CheckpointError.Code, _ tensors: [(String, TensorType, [Int])]) {
            expectError(code) {
                _ = try SafetensorsWriter(path: scratch.file("a"), tensors: tensors.map { Declaration(name: $0.0, type: $0.1, shape: $0.2) })
            }
        }
        expect(.duplicateTensor, [("t", .u8, [1]), ("t", .u8, [1])])
        expect(.duplicateTensor, [("__metadata__", .u8, [1])])
        expect(.unsupportedType, [("t", .q8_0, [32])])
        expect(.invalidShape, [("t", .u8, [-1])])
        expect(.sizeOverflow, [("t", .f32, [1 << 62])])
        expect(.sizeOverflow, [("t", .u8, [1 << 62]), ("u", .u8, [1 << 62])])
        #expect(scratch.names == [])
    }

    @Test func namesATargetThatCannotBeWritten() {
        expectError(.cannotCreate) { _ = try SafetensorsWriter(path: scratch.file("absent/model"), tensors: []) }
    }

    @Test func leavesNothingBehindWhenTheTargetIsADirectory() throws {
        try #require(mkdir(scratch.file("model"), 0o700) == 0)
        do {
            let writer = try SafetensorsWriter(path: scratch.file("model"), tensors: [])
            expectError(.writeFailed) { try writer.finish() }
        }
        #expect(scratch.names == ["model"])
    }

    @Test func saysWhenTheDiskIsFull() throws {
        let full = open("/dev/full", O_WRONLY)
        try #require(full >= 0)
        defer { close(full) }
        expectError(.diskFull) { try [1].withUnsafeBytes { try ReplacementFile.write($0, to: full, path: "model") } }
    }
}
