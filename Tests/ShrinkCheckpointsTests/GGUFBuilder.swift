/// Puts GGUF files together piece by piece, so that tests can make any piece wrong.
struct GGUFBuilder {
    var magic = Array("GGUF".utf8)
    var version: UInt32 = 3
    var tensorCount: UInt64?
    var entryCount: UInt64?
    var entries: [[UInt8]] = []
    var tensors: [[UInt8]] = []
    var alignment = 32
    var data: [UInt8] = []

    static func string(_ text: String) -> [UInt8] { littleEndian(UInt64(text.utf8.count)) + Array(text.utf8) }

    mutating func add(_ key: String, type: UInt32, _ value: [UInt8]) {
        entries.append(Self.string(key) + littleEndian(type) + value)
    }

    mutating func addArray(_ key: String, of type: UInt32, count: UInt64, _ elements: [UInt8]) {
        add(key, type: 9, littleEndian(type) + littleEndian(count) + elements)
    }

    mutating func addTensor(_ name: String, _ extents: [UInt64], type: UInt32 = 0, offset: UInt64 = 0) {
        tensors.append(Self.string(name) + littleEndian(UInt32(extents.count)) + extents.flatMap(littleEndian)
            + littleEndian(type) + littleEndian(offset))
    }

    /// Everything before the data, without padding.
    var header: [UInt8] {
        magic + littleEndian(version) + littleEndian(tensorCount ?? UInt64(tensors.count))
            + littleEndian(entryCount ?? UInt64(entries.count)) + entries.joined() + tensors.joined()
    }

    var bytes: [UInt8] {
        let header = header
        return header + [UInt8](repeating: 0, count: (alignment - header.count % alignment) % alignment) + data
    }

    /// One tensor of four floats and one entry.
    static var small: GGUFBuilder {
        var builder = GGUFBuilder()
        builder.add("general.architecture", type: 8, string("llama"))
        builder.addTensor("t", [4])
        builder.data = (0..<4).flatMap { littleEndian(Float($0).bitPattern) }
        return builder
    }
}
