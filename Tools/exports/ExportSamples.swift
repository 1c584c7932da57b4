import Glibc
import ShrinkCheckpoints
import ShrinkCompute
import ShrinkGraph
import ShrinkModels

/// Writes models of every family, as they are, fresh, with other heads and with fewer layers, and what this project
/// computes with them, for `check.py` to compare with transformers.
@main struct ExportSamples {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard let output = arguments.first else {
            print("usage: export-samples OUTPUT CHECKPOINT…")
            exit(64)
        }
        for path in arguments.dropFirst() {
            let name = path.split(separator: "/").suffix(2).joined(separator: "-")
            let model = try ImportedModel.open(path)
            try write(model, name, to: output)
            try write(model.keeping(layers: LayerChoice.spread.layers((model.layerCount + 1) / 2, of: model.layerCount)), name + "-student", to: output)
            for (task, suffix) in tasks(of: model) { try write(model.preparing(for: task, seed: 1), "\(name)-\(suffix)", to: output) }
            guard !ImportedModel.isGGUF(path) else { continue }
            try write(ImportedModel.create(configuration: path, seed: 1), name + "-fresh", to: output)
            try write(model, name + "-half", numbers: .float16, to: output)
        }
    }

    private static func tasks(of model: ImportedModel) -> [(ModelTask, String)] {
        let classification = ModelTask.sequenceClassification(labels: ["no", "yes", "perhaps"])
        let all = [
            (classification, "classify"), (.regression, "regress"), (.tokenClassification(labels: ["o", "b", "i"]), "tag"), (.encoding, "encode"),
        ]
        guard model.architecture == "bert" else { return model.graph.text.contains("recurrent(") ? all : Array(all.prefix(2)) }
        return all + [
            (.maskedLanguageModel(nextSentence: false), "mask"), (.maskedLanguageModel(nextSentence: true), "pretrain"),
        ]
    }

    private static func write(_ model: ImportedModel, _ name: String, numbers: HuggingFaceWriter.Numbers = .float32, to output: String) throws {
        let path = "\(output)/\(name)"
        try HuggingFaceWriter(model, numbers: numbers).write(to: path)
        let written = try ImportedModel.open(path)
        // Token 0 is padding or the end of a text in some of the models.
        let tokens = (0..<17).map { Int32(1 + ($0 * $0 * 7 + 3 * $0) % (written.vocabularySize - 1)) }
        let segments: [Int32]? = written.graph.input(named: "segments").map { _ in (0..<17).map { $0 < 9 ? 0 : 1 } }
        let results = try HostExecutor(written.graph).run(tokens: tokens, segments: segments).sorted { $0.key < $1.key }
        let integers = [("tokens", tokens)] + (segments.map { [("segments", $0)] } ?? [])
        let writer = try SafetensorsWriter(
            path: path + ".safetensors",
            tensors: results.map { .init(name: $0.key, type: .f32, shape: $0.value.shape) } + integers.map { .init(name: $0.0, type: .i32, shape: [$0.1.count]) })
        for (name, tensor) in results { try writer.write(UnsafeBufferPointer(tensor.buffer), to: name) }
        for (name, values) in integers { try values.withUnsafeBytes { try writer.write($0, to: name) } }
        try writer.finish()
    }
}
