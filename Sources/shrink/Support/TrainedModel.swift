import Glibc
import ShrinkCheckpoints
import ShrinkCompute
import ShrinkGraph
import ShrinkModels
import ShrinkTokenizers
import ShrinkTraining

/// The model that is trained, with its tokenizer.
struct TrainedModel {
    private var model: ImportedModel
    let tokenizer: TokenizerDefinition
    private let path: String

    init(_ settings: TrainingSettings) throws {
        guard let path = settings.checkpoint else { throw CommandFailure("fresh models cannot be made yet") }
        self.path = path
        model = try ImportedModel.open(path)
        tokenizer = try TokenizerFiles.load(settings.tokenizer ?? path)
        guard tokenizer.vocabularySize <= model.vocabularySize else {
            throw CommandFailure(
                "\(settings.tokenizer ?? path): the tokenizer has \(tokenizer.vocabularySize) tokens, the model only \(model.vocabularySize); they do not belong together")
        }
    }

    var graph: Graph { model.graph }
    var labels: [String] { model.labels }
    var maximumTokens: Int { model.maximumInputTokens }

    mutating func prepare(for task: TrainingTask, seed: UInt64, quiet: Bool) throws {}

    func write(_ parameters: ParameterTable, to target: String) throws {
        mkdir(target, 0o777)
        let source = try Checkpoint.openHuggingFace(path)
        let writer = try SafetensorsWriter(
            path: target + "/model.safetensors", tensors: source.tensors.map { .init(name: $0.name, type: .f32, shape: $0.shape) })
        for tensor in source.tensors {
            if let trained = parameters[tensor.name] { try writer.write(UnsafeBufferPointer(trained.buffer), to: tensor.name); continue }
            let copy = HostTensor(shape: tensor.shape)
            try tensor.readFloats(0..<tensor.elementCount, into: copy.buffer)
            try writer.write(UnsafeBufferPointer(copy.buffer), to: tensor.name)
        }
        try writer.finish()
    }
}
