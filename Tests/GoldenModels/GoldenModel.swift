import Foundation
import ShrinkCheckpoints
import ShrinkCompute
import ShrinkModels

/// A model of `Fixtures` with its outputs by transformers, or by torch for recurrent ones; `Tools/goldens/models.py` makes them.
public struct GoldenModel: Sendable, CustomStringConvertible {
    /// The path below `Fixtures`: a Hugging Face directory or a GGUF file.
    public let name: String
    public let tokens: [Int32]
    public let segments: [Int32]?
    /// Row-major, by the names of the graph's outputs.
    public let outputs: [String: [Float]]

    public var path: String { GoldenModel.fixtures + "/" + name }
    public var description: String { name }
    public var isDecoder: Bool { outputs["logits"] != nil }
    /// What the model is for: the output that is not the hidden states.
    public var mainOutput: String { outputs.keys.first { $0 != "hidden" } ?? "hidden" }

    public static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Fixtures"

    public static let all = transformers + recurrent

    public static let transformers: [GoldenModel] = [
        "llama-tied", "llama-llama3-rope", "llama-llama3-rope/model.gguf", "llama-linear-rope", "llama-yarn-sharded",
        "mistral", "mistral/model.gguf", "qwen2", "qwen2/model.gguf", "gpt2",
        "bert-sentence", "bert-classify", "bert-tag", "bert-old-names",
    ].map(GoldenModel.init)

    public static let recurrent: [GoldenModel] = ["lstm", "gru-tied", "rnn", "lstm-tag", "gru-classify", "rnn-encoder"].map(GoldenModel.init)

    public static let decoders = all.filter(\.isDecoder)

    public static func named(_ name: String) -> GoldenModel { GoldenModel(name: name) }

    private init(name: String) {
        self.name = name
        let folder = name.hasSuffix(".gguf") ? String(name.dropLast("/model.gguf".count)) : name
        do {
            let file = try SafetensorsFile(path: GoldenModel.fixtures + "/\(folder)/expected.safetensors").checkpoint
            func integers(_ name: String) -> [Int32]? {
                file[name].map { tensor in (0..<tensor.elementCount).map { tensor.bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self) } }
            }
            tokens = integers("tokens") ?? []
            segments = integers("segments")
            var outputs: [String: [Float]] = [:]
            for tensor in file.tensors where tensor.type.isFloatingPoint {
                var floats = [Float](repeating: .nan, count: tensor.elementCount)
                try floats.withUnsafeMutableBufferPointer { try tensor.readFloats(0..<tensor.elementCount, into: $0) }
                outputs[tensor.name] = floats
            }
            self.outputs = outputs
        } catch {
            fatalError("the fixture \(name) cannot be read: \(error); run Tools/goldens/models.py")
        }
    }

    public func open() throws -> ImportedModel { try ImportedModel.open(path) }
}

/// The largest difference of two lists; infinite when they are not equally long or hold NaN.
public func largestDifference(_ a: some Collection<Float>, _ b: some Collection<Float>) -> Float {
    guard a.count == b.count else { return .infinity }
    return zip(a, b).reduce(0) { largest, pair in
        let difference = abs(pair.0 - pair.1)
        return difference.isNaN ? .infinity : max(largest, difference)
    }
}

/// A directory of its own for one test, removed afterwards.
public final class ScratchDirectory {
    public let path: String

    public init() throws {
        path = NSTemporaryDirectory() + "/shrink-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    public func file(_ name: String) -> String { path + "/" + name }
    public var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }
}
