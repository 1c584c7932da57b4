import Glibc
import ShrinkCheckpoints
import Testing

@Suite struct SafetensorsFileTests {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    @Test func readsAFileOfTheSafetensorsPackage() throws {
        let file = try SafetensorsFile(path: fixture("small.safetensors"))
        let checkpoint = file.checkpoint
        #expect(file.metadata.map(\.key) == ["format"] && file.metadata.map(\.value) == ["pt"])
        #expect(Set(checkpoint.tensors.map(\.name)) == ["ramp.f32", "ramp.f16", "ids", "flags", "nothing", "scalar é"])
        #expect(checkpoint["ramp.f32"]?.shape == [2, 3])
        #expect(try checkpoint["ramp.f32"]?.floats() == [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
        #expect(checkpoint["ramp.f32"]?.float32Bytes?.count == 24)
        #expect(try checkpoint["ramp.f16"]?.floats() == [0, 0.25, 0.5, 0.75, 1])
        #expect(checkpoint["ids"]?.type == .i64 && checkpoint["ids"]?.elements(as: Int64.self) == [1, -2, 3, 1 << 40])
        #expect(checkpoint["flags"]?.type == .bool && checkpoint["flags"]?.elements(as: UInt8.self) == [1, 0, 1])
        #expect(checkpoint["nothing"]?.shape == [0, 7] && checkpoint["nothing"]?.byteCount == 0)
        #expect(checkpoint["scalar é"]?.shape == [] && checkpoint["scalar é"]?.elementCount == 1)
        #expect(try checkpoint["scalar é"]?.floats() == [0.1])
    }

    @Test func ordersTensorsByOffsetWhateverTheHeaderSays() throws {
        try expectSound(#"{"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]},"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#, 5) {
            #expect($0.tensors.map(\.name) == ["a", "b"])
        }
    }

    @Test func acceptsAFileWithoutTensors() throws {
        try expectSound("{}", 0) { #expect($0.tensors.isEmpty) }
    }

    @Test func allowsSpacesBehindTheHeader() throws {
        try expectSound(entry() + "   ", 4) { #expect($0.tensors.count == 1) }
    }

    @Test func namesAMissingTensor() throws {
        let checkpoint = try SafetensorsFile(path: fixture("small.safetensors")).checkpoint
        #expect(checkpoint["scalar e\u{301}"] == nil)
        expectError(.tensorNotFound, at: "lm_head") { _ = try checkpoint.tensor(named: "lm_head") }
    }

    // MARK: One code for each malformation

    @Test func refusesAFileTooShortForItsLength() {
        expectError(.truncated) { _ = try SafetensorsFile(path: scratch.write([1, 2, 3])) }
        expectError(.truncated) { _ = try SafetensorsFile(path: scratch.write([])) }
    }

    @Test func refusesAHeaderAboveTheCap() {
        for length in [100_000_001, UInt64.max, 1 << 63] {
            expectError(.headerTooLarge) { _ = try SafetensorsFile(path: scratch.write(littleEndian(length) + [0x7B])) }
        }
    }

    @Test func refusesAHeaderBeyondTheFile() {
        expectError(.headerBeyondFile) { _ = try SafetensorsFile(path: scratch.write(littleEndian(UInt64(3)) + Array("{}".utf8))) }
    }

    @Test func refusesAHeaderThatDoesNotStartWithABrace() {
        expect(.headerNotAnObject, " {}", 0)
        expect(.headerNotAnObject, "[]", 0)
        expect(.headerNotAnObject, "", 0)
    }

    @Test func refusesAHeaderThatIsNotJSON() {
        expect(.headerNotJSON, "{\"a\":}", 0, at: "byte 13")
    }

    @Test func refusesDuplicateNames() {
        let one = #""a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#
        expect(.duplicateKey, "{\(one),\(one)}", 1, at: "byte 61")
    }

    @Test func refusesMetadataThatAreNotStrings() {
        expect(.metadataNotStrings, #"{"__metadata__":{"a":1}}"#, 0)
        expect(.metadataNotStrings, #"{"__metadata__":[]}"#, 0)
    }

    @Test(arguments: [
        #"[]"#, #"{}"#, #"{"dtype":"U8","shape":[1]}"#, #"{"dtype":1,"shape":[1],"data_offsets":[0,1]}"#,
        #"{"dtype":"U8","shape":1,"data_offsets":[0,1]}"#, #"{"dtype":"U8","shape":[1],"data_offsets":[0]}"#,
        #"{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}"#, #"{"dtype":"U8","shape":[1],"data_offsets":[0,1.5]}"#,
        #"{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615]}"#,
        #"{"dtype":"U8","shape":[1],"data_offsets":[0,1],"scale":2}"#,
    ])
    func refusesAMalformedEntry(entry: String) {
        expect(.malformedTensorEntry, "{\"t\":\(entry)}", 1, at: "tensor t")
    }

    @Test(arguments: ["F8_E4M3", "C64", "Q4_0", "f32", ""])
    func refusesAnUnknownType(type: String) {
        expect(.unsupportedType, entry(type: type), 4, at: "tensor t")
    }

    @Test(arguments: ["[-1]", "[1.5]", "[\"1\"]", "[null]", "[9223372036854775808]"])
    func refusesAnInvalidShape(shape: String) {
        expect(.invalidShape, entry(shape: shape), 4, at: "tensor t")
    }

    @Test(arguments: ["[4611686018427387904,4]", "[9223372036854775807]", "[4294967296,4294967296,0]"])
    func refusesAProductThatOverflows(shape: String) {
        expect(.sizeOverflow, entry(shape: shape), 4, at: "tensor t")
    }

    @Test func refusesReversedOffsets() { expect(.offsetsReversed, entry(begin: 4, end: 0), 4, at: "tensor t") }

    @Test func refusesDataBeyondTheFile() {
        expect(.dataBeyondFile, entry(begin: 0, end: 4), 3, at: "tensor t")
        expect(.dataBeyondFile, entry(begin: -4, end: 0), 4, at: "tensor t")
        expect(.dataBeyondFile, entry(begin: 0, end: .max), 4, at: "tensor t")
    }

    @Test func refusesOffsetsThatDoNotFitTheShape() { expect(.sizeMismatch, entry(shape: "[2]"), 4, at: "tensor t") }

    @Test func refusesHoles() {
        expect(.dataHole, entry(begin: 1, end: 5), 5, at: "tensor t")
        expect(.dataHole, pair(first: 0..<2, second: 3..<5), 5, at: "tensor b")
    }

    @Test func refusesOverlap() {
        expect(.dataOverlap, pair(first: 0..<3, second: 2..<5), 5, at: "tensor b")
        expect(.dataOverlap, pair(first: 0..<3, second: 0..<3), 3)
    }

    @Test func refusesBytesThatBelongToNoTensor() {
        expect(.dataUncovered, entry(), 5)
        expect(.dataUncovered, "{}", 1)
    }

    @Test func refusesWhatIsNotAFile() throws {
        expectError(.notFound) { _ = try SafetensorsFile(path: scratch.file("absent")) }
        expectError(.notARegularFile) { _ = try SafetensorsFile(path: scratch.path) }
        #expect(mkfifo(scratch.file("pipe"), 0o600) == 0)
        expectError(.notARegularFile) { _ = try SafetensorsFile(path: scratch.file("pipe")) }
    }

    private func entry(type: String = "F32", shape: String = "[1]", begin: Int = 0, end: Int = 4) -> String {
        #"{"t":{"dtype":"\#(type)","shape":\#(shape),"data_offsets":[\#(begin),\#(end)]}}"#
    }

    private func pair(first: Range<Int>, second: Range<Int>) -> String {
        func one(_ name: String, _ range: Range<Int>) -> String {
            #""\#(name)":{"dtype":"U8","shape":[\#(range.count)],"data_offsets":[\#(range.lowerBound),\#(range.upperBound)]}"#
        }
        return "{\(one("a", first)),\(one("b", second))}"
    }

    private func expect(
        _ code: CheckpointError.Code, _ header: String, _ dataByteCount: Int, at place: String? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let path = scratch.write(safetensors(header, dataByteCount: dataByteCount))
        expectError(code, at: place, sourceLocation: sourceLocation) { _ = try SafetensorsFile(path: path) }
    }

    private func expectSound(_ header: String, _ dataByteCount: Int, _ check: (Checkpoint) -> Void) throws {
        check(try SafetensorsFile(path: scratch.write(safetensors(header, dataByteCount: dataByteCount))).checkpoint)
    }
}
