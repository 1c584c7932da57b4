import Glibc
import ShrinkCheckpoints
import ShrinkGraph
import ShrinkJSON

/// Writes a model as a Hugging Face directory: `config.json`, `model.safetensors` with the names and layouts of
/// transformers, the tokenizer's files, and for sentence encoders what sentence-transformers reads.
///
/// The directory appears all at once, and takes the place of an older model; a directory that holds anything
/// else is refused. Trained weights are written by giving the model a graph that reads them:
/// `model.graph = model.graph.reading(table)`.
public struct HuggingFaceWriter {
    public typealias File = (name: String, contents: [UInt8])

    public enum Numbers: String, Sendable, CaseIterable {
        case float32, float16
    }

    private let model: ImportedModel
    private let numbers: Numbers
    private let files: [File]

    /// - Parameter tokenizer: the tokenizer's files; nil takes those of the directory that the model comes from.
    /// - Throws: `ModelError` for a model that config.json cannot describe; `CheckpointError` for files of the
    ///   directory that cannot be read.
    public init(_ model: ImportedModel, numbers: Numbers = .float32, tokenizer: [File]? = nil) throws {
        self.model = try model.inHuggingFaceForm()
        self.numbers = numbers
        var files = try tokenizer ?? model.directory.map(Self.tokenizerFiles) ?? []
        if let directory = model.directory { files += try Self.read(Self.licenseNames, in: directory) }
        if let pooling = model.pooling, model.graph.output(named: "embedding") != nil { files += try Self.sentenceFiles(pooling, self.model) }
        self.files = files
    }

    /// The files of a directory that make up its tokenizer, as far as they are there.
    public static func tokenizerFiles(of directory: String) throws -> [File] { try read(tokenizerNames, in: directory) }

    /// - Throws: `CheckpointError` when the directory cannot be written or is no model's; `ModelError` for weights
    ///   that are too large for binary16.
    public func write(to path: String) throws {
        let known = Set(Self.tokenizerNames + Self.sentenceNames + Self.licenseNames + files.map(\.name) + ["config.json", "model.safetensors", "1_Pooling"])
        let directory = try ReplacementDirectory(path: path, replacing: known)
        for file in files + [(name: "config.json", contents: Array(configuration.indented.utf8))] {
            try Self.write(file, into: directory.stagingPath)
        }
        try writeWeights(directory.stagingPath + "/model.safetensors")
        try directory.commit()
    }

    private var configuration: JSON {
        guard case .object(var object) = model.configuration else { return model.configuration }
        let keys = ["dtype", "torch_dtype"].filter { object[$0] != nil }
        for key in keys.isEmpty ? ["torch_dtype"] : keys { object.set(key, .string(numbers.rawValue)) }
        return .object(object)
    }

    private func writeWeights(_ path: String) throws {
        let tensors = model.savedTensors, type: TensorType = numbers == .float32 ? .f32 : .f16
        let writer = try SafetensorsWriter(
            path: path, tensors: tensors.map { .init(name: $0.name, type: type, shape: $0.shape) }, metadata: [("format", "pt")])
        for tensor in tensors { try write(tensor, to: writer) }
        try writer.finish()
    }

    private func write(_ tensor: ModelTensor, to writer: SafetensorsWriter) throws {
        guard let source = tensor.parameter.source else {
            throw ModelError(.missingTensor, model.place, "the parameter \(tensor.name) has no numbers")
        }
        let count = tensor.shape.reduce(1, *), pieceCount = 1 << 16
        let piece = UnsafeMutableBufferPointer<Float>.allocate(capacity: min(count, pieceCount))
        defer { piece.deallocate() }
        for start in stride(from: 0, to: count, by: pieceCount) {
            let range = start..<min(start + pieceCount, count)
            let floats = UnsafeMutableBufferPointer(rebasing: piece[..<range.count])
            try source.readFloats(range, into: floats)
            if numbers == .float16, let lost = floats.first(where: { $0.isFinite && !Float16($0).isFinite }) {
                throw ModelError(
                    .notExpressible, model.place, "the tensor \(tensor.name) holds \(lost), which binary16 cannot; write float32")
            }
            try writer.write(UnsafeBufferPointer(floats), to: tensor.name)
            source.release(range)
        }
    }
}

extension HuggingFaceWriter {
    private static let tokenizerNames = [
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json", "merges.txt",
        "tokenizer.model", "chat_template.jinja", "generation_config.json",
    ]
    private static let sentenceNames = ["modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"]
    private static let licenseNames = ["LICENSE", "LICENSE.txt", "LICENSE.md"]

    /// A tokenizer of more bytes is none.
    private static let maximumFileByteCount = 1 << 28

    private static func read(_ names: [String], in directory: String) throws -> [File] {
        var files: [File] = []
        for name in names {
            if let contents = try contents(of: directory + "/" + name) { files.append((name, contents)) }
        }
        return files
    }

    /// Nil when there is no such file.
    private static func contents(of path: String) throws -> [UInt8]? {
        guard access(path, F_OK) == 0 else { return nil }
        let file = try MappedFile(path: path)
        guard file.bytes.count <= maximumFileByteCount else {
            throw ModelError(.tooLarge, path, "has \(file.bytes.count) bytes, more than a file of this name can need")
        }
        return Array(file.bytes)
    }

    private static func write(_ file: File, into directory: String) throws {
        if let slash = file.name.firstIndex(of: "/") { mkdir(directory + "/" + file.name[..<slash], 0o777) }
        let output = try ReplacementFile(path: directory + "/" + file.name, expectedByteCount: file.contents.count)
        try file.contents.withUnsafeBytes { try output.write($0) }
        try output.commit()
    }

    /// What sentence-transformers reads beside the encoder; what is there already of its settings goes along.
    private static func sentenceFiles(_ pooling: SentencePooling, _ model: ImportedModel) throws -> [File] {
        func text(_ json: JSON) -> [UInt8] { Array(json.indented.utf8) }
        let kinds = ["Transformer", "Pooling"] + (pooling.normalizes ? ["Normalize"] : [])
        let modules = kinds.enumerated().map { number, kind in
            JSON.object([
                "idx": .integer(number), "name": .string("\(number)"), "path": .string(number == 0 ? "" : "\(number)_\(kind)"),
                "type": .string("sentence_transformers.models.\(kind)"),
            ])
        }
        let width = model.graph.output(named: "embedding").flatMap { model.graph[$0].type.width } ?? 0
        let mean = pooling.kind == .mean
        var files: [File] = [
            ("modules.json", text(.array(modules))),
            (
                "1_Pooling/config.json",
                text(
                    .object([
                        "word_embedding_dimension": .integer(width), "pooling_mode_cls_token": .bool(!mean), "pooling_mode_mean_tokens": .bool(mean),
                        "pooling_mode_max_tokens": .bool(false), "pooling_mode_mean_sqrt_len_tokens": .bool(false),
                    ]))
            ),
            (
                "sentence_bert_config.json",
                text(.object(["max_seq_length": .integer(model.maximumInputTokens), "do_lower_case": .bool(false)]))
            ),
        ]
        if let directory = model.directory { files += try read(["config_sentence_transformers.json"], in: directory) }
        return files
    }
}
