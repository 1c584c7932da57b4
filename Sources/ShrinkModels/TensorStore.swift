import ShrinkCheckpoints
import ShrinkGraph

/// The tensors that a model can be built of, by the names that its family gives them: those of a checkpoint, or
/// of a model, perhaps under other names.
struct TensorStore: Sendable {
    struct Entry: Sendable {
        /// The name where it comes from.
        var origin: String
        var shape: [Int]
        var isFloatingPoint: Bool
        var parameter: Parameter
    }

    private(set) var names: [String] = []
    private var entries: [[UInt8]: Entry] = [:]  // by bytes: strings compare by canonical equivalence, tensor names do not

    init() {}

    init(_ checkpoint: Checkpoint) {
        for tensor in checkpoint.tensors {
            let parameter = Parameter(storedType: tensor.type.name, storedByteCount: tensor.byteCount, source: CheckpointSource(tensor: tensor))
            insert(tensor.name, Entry(origin: tensor.name, shape: tensor.shape, isFloatingPoint: tensor.type.isFloatingPoint, parameter: parameter))
        }
    }

    /// Everything that is saved of a model.
    init(_ model: ImportedModel) {
        for tensor in model.savedTensors {
            insert(tensor.name, Entry(origin: tensor.name, shape: tensor.shape, isFloatingPoint: true, parameter: tensor.parameter))
        }
    }

    subscript(name: String) -> Entry? { entries[Array(name.utf8)] }

    /// Replaces the tensor of that name, if there is one.
    mutating func insert(_ name: String, _ entry: Entry) {
        if entries.updateValue(entry, forKey: Array(name.utf8)) == nil { names.append(name) }
    }

    /// The same tensors under the names that `newNames` gives for a name; it may give none or several.
    func renamed(_ newNames: (String) -> [String]) -> TensorStore {
        var result = TensorStore()
        for name in names {
            guard let entry = self[name] else { continue }
            for new in newNames(name) { result.insert(new, entry) }
        }
        return result
    }
}

/// A tensor of a model as it is saved.
public struct ModelTensor: Sendable {
    public var name: String
    /// Outermost dimension first.
    public var shape: [Int]
    public var parameter: Parameter
}
