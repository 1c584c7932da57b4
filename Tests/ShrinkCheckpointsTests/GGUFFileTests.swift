@testable import ShrinkCheckpoints
import Testing

@Suite struct GGUFFileTests {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    // MARK: A file of the gguf package

    @Test func readsScalarsOfEveryType() throws {
        let file = try GGUFFile(path: fixture("small.gguf"))
        #expect(file.version == 3)
        #expect(file.alignment == 64)
        #expect(file["general.architecture"]?.string == "llama")
        #expect(file["test.uint8"]?.int == 200)
        #expect(file["test.int8"]?.int == -100)
        #expect(file["test.uint16"]?.int == 60000)
        #expect(file["test.int16"]?.int == -30000)
        #expect(file["test.uint32"]?.int == 4_000_000_000)
        #expect(file["test.int32"]?.int == -2_000_000_000)
        #expect(file["test.int64"]?.int == .min)
        #expect(file["test.uint64"]?.int == nil)
        if case .unsigned(let value)? = file["test.uint64"] { #expect(value == .max) } else { Issue.record("not unsigned") }
        #expect(file["test.float32"]?.double == Double(Float(0.1)))
        #expect(file["test.float64"]?.double == 0.1)
        #expect(file["test.bool"]?.bool == true)
        #expect(file["test.string"]?.string == "naïve 🙂")
        #expect(file["absent"] == nil)
    }

    @Test func keepsMetadataInFileOrder() throws {
        let keys = try GGUFFile(path: fixture("small.gguf")).metadata.map(\.key)
        #expect(keys.first == "general.architecture")
        #expect(keys.firstIndex(of: "test.uint8")! < keys.firstIndex(of: "test.int8")!)
        #expect(keys.count == 20)
    }

    @Test func readsTokenizerArrays() throws {
        let file = try GGUFFile(path: fixture("small.gguf"))
        let tokens = try #require(file["tokenizer.ggml.tokens"]?.array)
        #expect(tokens.count == 4)
        #expect(tokens.byteStrings == [Array("<s>".utf8), [0xFF, 0xFE], Array("Ġthe".utf8), []])
        #expect(tokens.strings == nil)
        #expect(tokens.ints == nil)
        #expect(file["tokenizer.ggml.merges"]?.array?.strings == ["Ġ t", "h e"])
        #expect(file["tokenizer.ggml.scores"]?.array?.floats == [0, -1.5, -2.25, 3])
        #expect(file["tokenizer.ggml.token_type"]?.array?.ints == [3, 6, 1, 1])
        #expect(file["test.bools"]?.array?.bools == [true, false, true])
    }

    @Test func readsNestedArrays() throws {
        let nested = try #require(try GGUFFile(path: fixture("small.gguf"))["test.nested"]?.array)
        #expect(nested.elementType == .array)
        #expect(nested.values?.map { $0.array?.ints } == [[1, 2], [3]])
    }

    @Test func readsTensors() throws {
        let checkpoint = try GGUFFile(path: fixture("small.gguf")).checkpoint
        #expect(checkpoint.tensors.map(\.name) == ["ramp.f32", "ramp.f16", "counts.i32", "blocks.q8_0"])
        #expect(checkpoint["ramp.f32"]?.shape == [2, 3, 4])
        #expect(try checkpoint["ramp.f32"]?.floats() == (0..<24).map(Float.init))
        #expect(try checkpoint["ramp.f16"]?.floats() == (0..<24).map { Float($0) / 8 })
        #expect(checkpoint["counts.i32"]?.elements(as: Int32.self) == [-1, 0, 7])
        let blocks = try #require(checkpoint["blocks.q8_0"])
        #expect(blocks.type == .q8_0 && blocks.shape == [3, 64] && blocks.byteCount == 6 * 34)
    }

    // MARK: What the format allows

    @Test func acceptsVersion2() throws {
        var builder = GGUFBuilder.small
        builder.version = 2
        #expect(try GGUFFile(path: scratch.write(builder.bytes)).checkpoint["t"]?.floats() == [0, 1, 2, 3])
    }

    @Test func acceptsScalarsAndEmptyTensorsAndNoneAtAll() throws {
        var builder = GGUFBuilder.small
        builder.tensors = []
        #expect(try GGUFFile(path: scratch.write(builder.header)).checkpoint.tensors.isEmpty)
        builder.addTensor("scalar", [])
        builder.addTensor("empty", [0, 5], offset: 0)
        let checkpoint = try GGUFFile(path: scratch.write(builder.bytes)).checkpoint
        #expect(try checkpoint["scalar"]?.floats() == [0])
        #expect(checkpoint["empty"]?.shape == [5, 0])
    }

    // MARK: One code for each malformation

    @Test func refusesOtherFiles() {
        expectError(.notGGUF) { _ = try GGUFFile(path: scratch.write(Array("GGML and more".utf8))) }
        expectError(.notGGUF) { _ = try GGUFFile(path: scratch.write([])) }
    }

    @Test(arguments: [0, 1, 4, 0xFFFF_FFFF] as [UInt32])
    func refusesOtherVersions(version: UInt32) { expect(.unsupportedVersion) { $0.version = version } }

    @Test(arguments: [2, 3] as [UInt32])
    func refusesBigEndian(version: UInt32) { expect(.bigEndian) { $0.version = version.byteSwapped } }

    @Test(arguments: [1 << 63, UInt64.max, 1 << 62, 1000])
    func refusesCountsThatTheFileCannotHold(count: UInt64) {
        expect(.countTooLarge) { $0.tensorCount = count }
        expect(.countTooLarge) { $0.entryCount = count }
        for type: UInt32 in [0, 5, 8, 9, 12] {
            expect(.countTooLarge, at: "metadata a") { $0.addArray("a", of: type, count: count, []) }
        }
    }

    @Test(arguments: [1 << 63, UInt64.max, 1 << 62, 1000])
    func refusesStringsBeyondTheFile(length: UInt64) {
        expect(.stringTooLong, at: "metadata a") { $0.add("a", type: 8, littleEndian(length)) }
        expect(.stringTooLong, at: "metadata entry 1") { $0.entries.append(littleEndian(length) + [UInt8](repeating: 0, count: 5)) }
        expect(.stringTooLong, at: "metadata a") { $0.addArray("a", of: 8, count: 2, GGUFBuilder.string("x") + littleEndian(length)) }
        expect(.stringTooLong, at: "tensor 1") { $0.tensors.append(littleEndian(length) + [UInt8](repeating: 0, count: 16)) }
    }

    @Test func limitsCountsAndStringsThatTheFileCouldHold() {
        let room = [UInt8](repeating: 0, count: 1 << 24 + 1)
        expect(.countTooLarge, at: "byte 16") {
            $0.entryCount = 1 << 20 + 1
            $0.data = room
        }
        expect(.stringTooLong, at: "metadata a") { $0.add("a", type: 8, littleEndian(UInt64(room.count)) + room) }
    }

    @Test func refusesNamesThatAreNotUTF8() {
        let name = littleEndian(UInt64(2)) + [0xC3, 0x28]
        expect(.invalidUTF8, at: "metadata entry 1") { $0.entries.append(name + littleEndian(UInt32(0)) + [1]) }
        expect(.invalidUTF8, at: "tensor 1") { $0.tensors.append(name + [UInt8](repeating: 0, count: 16)) }
    }

    @Test(arguments: [13, 255, UInt32.max])
    func refusesUnknownValueTypes(type: UInt32) {
        expect(.unknownValueType, at: "metadata a") { $0.add("a", type: type, [0]) }
        expect(.unknownValueType, at: "metadata a") { $0.addArray("a", of: type, count: 1, [0]) }
    }

    @Test func limitsNestingOfArrays() {
        func nested(_ depth: Int) -> [UInt8] {
            (1..<depth).flatMap { _ in littleEndian(UInt32(9)) + littleEndian(UInt64(1)) } + littleEndian(UInt32(0)) + littleEndian(UInt64(0))
        }
        #expect(throws: Never.self) {
            var builder = GGUFBuilder.small
            builder.add("a", type: 9, nested(4))
            _ = try GGUFFile(path: scratch.write(builder.bytes))
        }
        expect(.nestedTooDeep, at: "metadata a") { $0.add("a", type: 9, nested(5)) }
        expect(.nestedTooDeep, at: "metadata a") { $0.add("a", type: 9, nested(100_000)) }
    }

    @Test func refusesTruthValuesOtherThanZeroAndOne() {
        expect(.invalidBool, at: "metadata a") { $0.add("a", type: 7, [2]) }
        expect(.invalidBool, at: "metadata a") { $0.addArray("a", of: 7, count: 3, [0, 1, 255]) }
    }

    @Test func refusesDuplicates() {
        expect(.duplicateKey, at: "general.architecture") { $0.add("general.architecture", type: 0, [1]) }
        expect(.duplicateTensor, at: "tensor t") { $0.addTensor("t", [0]) }
    }

    @Test(arguments: [0, 1, 4, 7, 24, 48, 0xFFFF_FFFF] as [UInt32])
    func refusesAnInvalidAlignment(alignment: UInt32) {
        expect(.invalidAlignment, at: "general.alignment") { $0.add("general.alignment", type: 4, littleEndian(alignment)) }
    }

    @Test func refusesAnAlignmentOfAnotherType() {
        expect(.invalidAlignment) { $0.add("general.alignment", type: 5, littleEndian(Int32(32))) }
        expect(.invalidAlignment) { $0.add("general.alignment", type: 8, GGUFBuilder.string("32")) }
    }

    @Test func refusesDataBehindAHugeAlignment() {
        expect(.dataBeyondFile, at: "tensor t") { $0.add("general.alignment", type: 4, littleEndian(UInt32(1) << 31)) }
    }

    @Test(arguments: [5, 1000, UInt32.max])
    func refusesTooManyDimensions(count: UInt32) {
        expect(.tooManyDimensions, at: "tensor many") {
            $0.tensors.append(GGUFBuilder.string("many") + littleEndian(count) + [UInt8](repeating: 0, count: 52))
        }
    }

    @Test func refusesExtentsThatOverflow() {
        for extents: [UInt64] in [[1 << 63], [.max], [1 << 32, 1 << 32], [1 << 62, 2], [1 << 61, 1, 1, 1]] {
            expect(.sizeOverflow, at: "tensor u") { $0.addTensor("u", extents) }
        }
    }

    @Test(arguments: [(999, "999"), (16, "IQ2_XXS"), (10, "Q2_K"), (4, "4"), (UInt32.max, "4294967295")] as [(UInt32, String)])
    func namesAnUnsupportedTensorType(number: UInt32, name: String) {
        var builder = GGUFBuilder.small
        builder.addTensor("u", [256], type: number)
        let error = #expect(throws: CheckpointError.self) { _ = try GGUFFile(path: scratch.write(builder.bytes)) }
        #expect(error?.code == .unsupportedType)
        #expect(error?.place.contains("tensor u") == true)
        #expect(error?.message.contains(name) == true)
        #expect(error?.remedy.contains("Q4_K") == true)
    }

    @Test func refusesRowsThatCutBlocks() {
        expect(.partialBlock, at: "tensor u") { $0.addTensor("u", [16, 2], type: 8) }
        expect(.partialBlock, at: "tensor u") { $0.addTensor("u", [128, 2], type: 12) }
    }

    @Test func refusesMisalignedTensors() { expect(.misalignedTensor, at: "tensor u") { $0.addTensor("u", [1], offset: 8) } }

    @Test(arguments: [32, 1 << 40, UInt64.max - 31])
    func refusesDataBeyondTheFile(offset: UInt64) {
        expect(.dataBeyondFile, at: "tensor u") { $0.addTensor("u", [4], offset: offset) }
    }

    @Test func refusesOverlap() {
        expect(.dataOverlap, at: "tensor") { $0.addTensor("u", [1], offset: 0) }
        expect(.dataOverlap, at: "tensor u") {
            $0.data += [UInt8](repeating: 0, count: 48)
            $0.addTensor("v", [16], offset: 0)
            $0.addTensor("u", [1], offset: 32)
            $0.tensors.removeFirst()
        }
    }

    private func expect(
        _ code: CheckpointError.Code, at place: String? = nil, sourceLocation: SourceLocation = #_sourceLocation,
        _ change: (inout GGUFBuilder) -> Void
    ) {
        var builder = GGUFBuilder.small
        change(&builder)
        let path = scratch.write(builder.bytes)
        expectError(code, at: place, sourceLocation: sourceLocation) { _ = try GGUFFile(path: path) }
    }
}
