import ShrinkCheckpoints
import Testing

@Suite struct HuggingFaceDirectoryTests {
    let scratch: Scratch

    init() throws {
        scratch = try Scratch()
        scratch.write(shard("a", "b"), to: "one.safetensors")
        scratch.write(shard("c"), to: "two.safetensors")
    }

    private func shard(_ names: String...) -> [UInt8] {
        let entries = names.enumerated().map { #""\#($1)":{"dtype":"U8","shape":[1],"data_offsets":[\#($0),\#($0 + 1)]}"# }
        return safetensors("{\(entries.joined(separator: ","))}", dataByteCount: names.count)
    }

    private func index(_ text: String) { scratch.write(Array(text.utf8), to: "model.safetensors.index.json") }

    @Test func opensTheShardsOfAnIndex() throws {
        index(#"{"metadata":{"total_size":3},"weight_map":{"c":"two.safetensors","a":"one.safetensors","b":"one.safetensors"}}"#)
        let checkpoint = try Checkpoint.open(scratch.path)
        #expect(checkpoint.tensors.map(\.name) == ["c", "a", "b"])
        #expect(checkpoint.files.count == 2)
        #expect(checkpoint["b"]?.elements(as: UInt8.self) == [1])
    }

    @Test func prefersTheSingleFile() throws {
        index("damaged")
        scratch.write(shard("whole"), to: "model.safetensors")
        #expect(try Checkpoint.open(scratch.path).tensors.map(\.name) == ["whole"])
    }

    @Test func opensFilesByTheirContent() throws {
        #expect(try Checkpoint.open(fixture("small.gguf"))["ramp.f32"] != nil)
        #expect(try Checkpoint.open(fixture("small.safetensors"))["ids"] != nil)
    }

    @Test func refusesADirectoryWithoutWeights() {
        expectError(.weightsNotFound) { _ = try Checkpoint.open(scratch.path) }
    }

    @Test(arguments: ["", "{", "[]", "{}", #"{"weight_map":[]}"#, #"{"weight_map":{"a":1}}"#])
    func refusesAMalformedIndex(text: String) {
        index(text)
        expectError(.malformedIndex) { _ = try Checkpoint.open(scratch.path) }
    }

    @Test(arguments: ["../one.safetensors", "/etc/one.safetensors", "sub/one.safetensors", "one.bin", "..", "", "one\\u0000.safetensors"])
    func refusesShardNamesThatLeaveTheDirectory(name: String) {
        index(#"{"weight_map":{"a":"\#(name)"}}"#)
        expectError(.invalidShardName, at: "tensor a") { _ = try Checkpoint.open(scratch.path) }
    }

    @Test func namesAMissingShard() {
        index(#"{"weight_map":{"a":"one.safetensors","b":"one.safetensors","x":"three.safetensors"}}"#)
        expectError(.shardNotFound, at: "three.safetensors") { _ = try Checkpoint.open(scratch.path) }
    }

    @Test func refusesATensorThatItsShardLacks() {
        index(#"{"weight_map":{"a":"one.safetensors","b":"one.safetensors","c":"one.safetensors"}}"#)
        expectError(.tensorNotInShard, at: "tensor c") { _ = try Checkpoint.open(scratch.path) }
    }

    @Test func refusesATensorThatTheIndexLacks() {
        index(#"{"weight_map":{"a":"one.safetensors"}}"#)
        expectError(.tensorNotInIndex, at: "tensor b") { _ = try Checkpoint.open(scratch.path) }
    }

    @Test func refusesADamagedShard() {
        scratch.write([1, 2, 3], to: "two.safetensors")
        index(#"{"weight_map":{"c":"two.safetensors"}}"#)
        expectError(.truncated) { _ = try Checkpoint.open(scratch.path) }
    }
}
