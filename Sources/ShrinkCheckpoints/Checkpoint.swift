import Glibc

/// The tensors of one model, in the order of their files and offsets, found by name.
public struct Checkpoint: Sendable {
    public let tensors: [CheckpointTensor]
    public let files: [MappedFile]
    /// Keyed by bytes: Swift's strings compare by canonical equivalence, tensor names do not.
    private let index: [[UInt8]: Int]

    /// - Throws: `duplicateTensor`.
    init(tensors: [CheckpointTensor], files: [MappedFile]) throws(CheckpointError) {
        var index: [[UInt8]: Int] = [:]
        for (position, tensor) in tensors.enumerated() {
            guard index.updateValue(position, forKey: Array(tensor.name.utf8)) == nil else {
                throw CheckpointError(.duplicateTensor, file: tensor.file.path, place: "tensor \(tensor.name)",
                    message: "occurs twice")
            }
        }
        self.tensors = tensors
        self.files = files
        self.index = index
    }

    public subscript(name: String) -> CheckpointTensor? {
        index[Array(name.utf8)].map { tensors[$0] }
    }

    /// - Throws: `tensorNotFound`.
    public func tensor(named name: String) throws(CheckpointError) -> CheckpointTensor {
        guard let tensor = self[name] else {
            throw CheckpointError(.tensorNotFound, file: files.first?.path ?? "", place: "tensor \(name)",
                message: "the checkpoint has no tensor of this name")
        }
        return tensor
    }
}

extension Checkpoint {
    /// Opens a Hugging Face directory, a safetensors file, or a GGUF file (known by its first bytes).
    public static func open(_ path: String) throws(CheckpointError) -> Checkpoint {
        var status = stat()
        if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { return try openHuggingFace(path) }
        let file = try MappedFile(path: path)
        return GGUFFile.isGGUF(file) ? try GGUFFile(file).checkpoint : try SafetensorsFile(file).checkpoint
    }

    /// Opens `model.safetensors` of a directory, or else the shards that `model.safetensors.index.json` names.
    /// - Throws: `weightsNotFound` when the directory has neither; whatever is wrong with the files.
    public static func openHuggingFace(_ directory: String) throws(CheckpointError) -> Checkpoint {
        let single = directory + "/model.safetensors"
        if access(single, F_OK) == 0 { return try SafetensorsFile(path: single).checkpoint }
        let index = single + ".index.json"
        guard access(index, F_OK) == 0 else {
            throw CheckpointError(.weightsNotFound, file: directory,
                message: "has neither model.safetensors nor model.safetensors.index.json")
        }
        return try ShardIndex(path: index).open(in: directory)
    }
}
