// The Swift side of Tools/compare-tokenizers: encodes and decodes the texts of standard input with
// one tokenizer. Input: for each text its size (UInt32) and bytes. Output: for each text the number
// of ids and the ids (UInt32), then the decoded text's size and bytes.
import Foundation
import ShrinkFormat
import ShrinkJSON
import ShrinkRuntime
import ShrinkTokenizers

let arguments = CommandLine.arguments
let (kind, path, mode) = (arguments[1], arguments[2], arguments[3])

func contents(_ path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path))) }

func definition() throws -> TokenizerDefinition {
    switch kind {
    case "json": return try TokenizerDefinition(tokenizerJSON: JSON(parsing: contents(path)), file: path)
    case "vocab": return try TokenizerDefinition(vocabTxt: contents(path), file: path)
    case "directory": return try TokenizerDefinition.load(directory: path)
    default:
        // The metadata of a GGUF file as a JSON object.
        let json = try JSON(parsing: contents(path))
        var metadata = GGUFTokenizerMetadata(
            model: json["model"]?.string ?? "", pre: json["pre"]?.string,
            tokens: (json["tokens"]?.array ?? []).map { Array(($0.string ?? "").utf8) })
        metadata.merges = (json["merges"]?.array ?? []).map { Array(($0.string ?? "").utf8) }
        metadata.tokenTypes = (json["token_type"]?.array ?? []).map { Int32($0.int ?? 0) }
        metadata.bos = json["bos_token_id"]?.int
        metadata.eos = json["eos_token_id"]?.int
        metadata.unknown = json["unknown_token_id"]?.int
        metadata.chatTemplate = json["chat_template"]?.string
        return try TokenizerDefinition(gguf: metadata, file: path)
    }
}

let allocator = Allocator(
    context: nil, allocate: { _, size, alignment in aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment) },
    deallocate: { _, pointer in free(pointer) })
let started = Date()
let tables = try definition().encodedTables()
let built = Date()
let input = Array(FileHandle.standardInput.readDataToEndOfFile())
var output = Data()

func append(_ value: UInt32, to output: inout Data) { withUnsafeBytes(of: value.littleEndian) { output.append(contentsOf: $0) } }

try tables.withUnsafeBytes { tables in
    let verifying = Date()
    var tokenizer = try Tokenizer(tables: tables, allocator: allocator)
    let verified = Date()
    var (encoding, byteCount) = (0.0, 0)
    var position = 0
    try input.withUnsafeBufferPointer { input in
        while position < input.count {
            let size = (0..<4).reduce(0) { $0 | Int(input[position + $1]) << ($1 * 8) }
            position += 4
            let text = UnsafeBufferPointer(rebasing: input[position..<position + size])
            position += size
            var ids = TokenBuffer(allocator: allocator)
            if mode == "chat" {
                let json = try JSON(parsing: Array(text))
                let messages = (json.array ?? []).map { (role: $0["role"]?.string ?? "", content: $0["content"]?.string ?? "") }
                for id in try tokenizer.encodeChat(messages) { try ids.append(id: id) }
            } else {
                let before = Date()
                try tokenizer.encode(text, addSpecialTokens: mode != "plain", parseSpecialTokens: mode != "literal", into: &ids)
                encoding += Date().timeIntervalSince(before)
                byteCount += size
            }
            append(UInt32(ids.count), to: &output)
            let found = ids.withIDs { Array($0) }
            for id in found { append(id, to: &output) }
            let decoded = Array(try tokenizer.decode(found, skipsSpecialTokens: mode == "plain").utf8)
            append(UInt32(decoded.count), to: &output)
            output.append(contentsOf: decoded)
        }
    }
    let speed = encoding > 0 ? Double(byteCount) / encoding / 1e6 : 0
    FileHandle.standardError.write(
        Data(
            """
            tables \(tables.count) bytes, made in \(Int(built.timeIntervalSince(started) * 1000)) ms, \
            verified in \(Int(verified.timeIntervalSince(verifying) * 1e6)) us; \
            \(byteCount) bytes at \((speed * 10).rounded() / 10) MB/s

            """.utf8))
}
FileHandle.standardOutput.write(output)
