import Glibc
import ShrinkCheckpoints
import ShrinkJSON

extension ImportedModel {
    /// The families this version knows, as `model_type` names them.
    public static let supportedArchitectures = ModelFamilies.all.flatMap { $0.modelTypes }

    /// Opens a checkpoint: a Hugging Face directory with `config.json`, or a GGUF file.
    public static func open(_ path: String) throws -> ImportedModel {
        guard access(path, F_OK) == 0 else {
            throw ModelError(.missingFile, path, "cannot be found: \(String(cString: strerror(errno)))")
        }
        if ModelDirectory.isDirectory(path) { return try openHuggingFace(path) }
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
        let family = try ModelFamilies.family(config)
        let pooling = try family.poolsSentences ? SentencePooling(directory: directory) : nil
        let checkpoint = try Checkpoint.openHuggingFace(path)
        var model = try build(config, TensorCollector(TensorStore(checkpoint), file: path), pooling: pooling)
        model.files = checkpoint.files
        model.directory = path
        return model
    }

    private static func openGGUF(_ path: String) throws -> ImportedModel {
        let file = try GGUFFile(path: path)
        guard let architecture = file["general.architecture"]?.string else {
            throw ModelError(.invalidConfig, path, "the metadata key general.architecture is missing")
        }
        guard ["llama", "qwen2"].contains(architecture) else { throw ModelFamilies.unsupported(architecture, path) }
        let config = try LlamaConfig(file, architecture: architecture, path: path)
        var model = try LlamaBuilder.build(
            config, .gguf, TensorCollector(TensorStore(file.checkpoint), file: path), .causalLanguageModel, architecture: architecture)
        model.files = file.checkpoint.files
        model.ggufConfiguration = config
        return model
    }
}
