import Glibc
import ShrinkCheckpoints
import ShrinkJSON

extension ImportedModel {
    /// The families this version knows, as `model_type` names them.
    public static let supportedArchitectures = ["llama", "mistral", "qwen2", "bert", "gpt2", "rnn", "gru", "lstm"]

    /// Opens a checkpoint: a Hugging Face directory with `config.json`, or a GGUF file.
    public static func open(_ path: String) throws -> ImportedModel {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw ModelError(.missingFile, path, "cannot be found: \(String(cString: strerror(errno)))")
        }
        if status.st_mode & S_IFMT == S_IFDIR { return try openHuggingFace(path) }
        guard isGGUF(path) else {
            throw ModelError(
                .unsupportedArchitecture, path,
                "neither a model directory nor a GGUF file; of a safetensors file, give the directory that holds it with its config.json")
        }
        return try openGGUF(path)
    }

    /// Whether a path is a GGUF file, by its first bytes.
    public static func isGGUF(_ path: String) -> Bool {
        var status = stat()
        // Opening a pipe would wait for a writer.
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, let file = fopen(path, "r") else { return false }
        defer { fclose(file) }
        var start = [UInt8](repeating: 0, count: 4)
        return fread(&start, 1, 4, file) == 4 && start.elementsEqual("GGUF".utf8)
    }

    private static func openHuggingFace(_ path: String) throws -> ImportedModel {
        let directory = ModelDirectory(root: path)
        guard let json = try directory.json("config.json") else {
            throw ModelError(
                .missingFile, path,
                "there is no config.json; give a Hugging Face model directory or a .gguf file")
        }
        let config = ModelConfig(json: json, file: directory.path("config.json"))
        guard let type = try config.optionalWord("model_type") else { throw config.error("model_type", "is missing") }
        switch type {
        case "llama", "mistral", "qwen2":
            let shape = try LlamaConfig(config, modelType: type)
            return try LlamaImporter.importModel(
                shape, .huggingFace, try Checkpoint.openHuggingFace(path), architecture: type, file: path)
        case "bert":
            return try BERTImporter.importModel(
                try BERTConfig(config), try SentencePooling(directory: directory), try Checkpoint.openHuggingFace(path), file: path)
        case "gpt2":
            return try GPT2Importer.importModel(try GPT2Config(config), try Checkpoint.openHuggingFace(path), file: path)
        case "rnn", "gru", "lstm":
            return try RecurrentImporter.importModel(
                try RecurrentConfig(config, modelType: type), config, try Checkpoint.openHuggingFace(path), file: path)
        default: throw unsupported(type, config.file)
        }
    }

    private static func openGGUF(_ path: String) throws -> ImportedModel {
        let file = try GGUFFile(path: path)
        guard let architecture = file["general.architecture"]?.string else {
            throw ModelError(.invalidConfig, path, "the metadata key general.architecture is missing")
        }
        switch architecture {
        case "llama", "qwen2":
            return try LlamaImporter.importModel(
                try LlamaConfig(file, architecture: architecture, path: path), .gguf, file.checkpoint, architecture: architecture, file: path)
        default: throw unsupported(architecture, path)
        }
    }

    private static func unsupported(_ architecture: String, _ file: String) -> ModelError {
        ModelError(
            .unsupportedArchitecture, file,
            "the architecture \(architecture) is not supported; \(supportedArchitectures.joined(separator: ", ")) are")
    }
}
