import CArchive
import Foundation
import ShrinkFormat
import ShrinkJSON
import ShrinkTokenizers
import Testing

@testable import ShrinkTraining

/// What `Tools/goldens/training_data.py` wrote.
enum Goldens {
    static func path(_ name: String) -> String { Bundle.module.resourcePath! + "/Fixtures/" + name }
    static let root = try! JSON(parsing: [UInt8](Data(contentsOf: URL(fileURLWithPath: path("goldens.json")))))

    struct Trained: CustomTestStringConvertible {
        var kind: TokenizerRecipe.Kind
        var files: [String]
        var recipe: TokenizerRecipe
        var tokens: [String]
        var merges: [String]
        var testDescription: String { "\(kind.rawValue) of \(files.joined(separator: ", ")), \(recipe.vocabularySize)" }
    }

    static let trained = root["trained"]!.array!.map { json in
        let kind = TokenizerRecipe.Kind(rawValue: json["kind"]!.string!)!
        var recipe = TokenizerRecipe(kind, vocabularySize: json["size"]!.int!)
        recipe.minimumCount = json["minimum"]!.int!
        recipe.lowercases = json["lowercase"]!.bool!
        return Trained(
            kind: kind, files: json["files"]!.strings, recipe: recipe, tokens: json["tokens"]!.strings, merges: json["merges"]?.strings ?? [])
    }
}

extension JSON {
    var strings: [String] { array!.map { $0.string! } }
    var ids: [Int32] { array!.map { Int32($0.int!) } }
}

/// A directory that goes with the object.
final class Scratch {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "shrink-training-" + UUID().uuidString
        try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String, _ bytes: [UInt8]) -> String {
        let file = path + "/" + name
        #expect(FileManager.default.createFile(atPath: file, contents: Data(bytes)))
        return file
    }

    func file(_ name: String, _ text: String) -> String { file(name, Array(text.utf8)) }
}

/// Content compressed by libarchive's own writer.
func compressed(_ bytes: [UInt8], _ filter: (OpaquePointer) -> Int32) -> [UInt8] {
    let archive = archive_write_new()!
    defer { archive_write_free(archive) }
    #expect(filter(archive) == ARCHIVE_OK)
    archive_write_set_format_raw(archive)
    archive_write_set_bytes_in_last_block(archive, 1)
    var output = [UInt8](repeating: 0, count: bytes.count * 2 + 4096)
    var used = 0
    #expect(archive_write_open_memory(archive, &output, output.count, &used) == ARCHIVE_OK)
    let entry = archive_entry_new()!
    archive_entry_set_filetype(entry, 0o100000)
    #expect(archive_write_header(archive, entry) == ARCHIVE_OK)
    _ = bytes.withUnsafeBytes { archive_write_data(archive, $0.baseAddress, $0.count) }
    archive_entry_free(entry)
    archive_write_close(archive)
    return Array(output[..<used])
}

/// The error of `body`, in words.
func message(_ body: () throws -> Void) -> String {
    do { try body() } catch { return "\(error)" }
    return "no error"
}

/// A tokenizer trained on the English fixture.
func encoder(_ kind: TokenizerRecipe.Kind) throws -> ExampleEncoder {
    var recipe = TokenizerRecipe(kind, vocabularySize: 900)
    recipe.minimumCount = 2
    let words = try recipe.countWords(in: [Goldens.path("english.txt")], badRows: BadRows(maximumShare: 0))
    let scratch = Scratch()
    for (name, contents) in try recipe.train(on: words).files() { _ = scratch.file(name, contents) }
    return try ExampleEncoder(tables: TokenizerDefinition.load(directory: scratch.path).encodedTables())
}

func store(_ examples: [Example], vocabularySize: Int = 1000, in scratch: Scratch) throws -> ExampleStore {
    let path = scratch.path + "/" + UUID().uuidString
    let writer = try ExampleWriter(path: path, vocabularySize: vocabularySize, hasTags: !(examples.first?.tags.isEmpty ?? true))
    for example in examples { try writer.append(example) }
    try writer.finish(fingerprint: Fingerprint(bytes: [UInt8](repeating: 7, count: 32)))
    return try ExampleStore(path: path)
}
