import ShrinkJSON

extension ImportedModel {
    /// The model with chosen layers, in the order of `layers`: a student copied from its teacher. The other weights
    /// stay, and the configuration says what changed.
    /// - Throws: `ModelError` for an empty choice and for layers that the model has not.
    public func keeping(layers: [Int]) throws -> ImportedModel {
        let model = try inHuggingFaceForm()
        let config = ModelConfig(json: model.configuration, file: model.place), family = try ModelFamilies.family(config)
        guard !layers.isEmpty, layers.allSatisfy({ 0..<layerCount ~= $0 }), layers.count <= Self.maximumFreshLayers else {
            throw ModelError(.invalidLayers, place, "layers \(layers) were asked for; the model has the layers 0 to \(layerCount - 1)")
        }
        guard case .object(var object) = config.json else { return model }
        object.set(family.layerCountKey, .integer(layers.count))
        for key in family.layerListKeys {
            guard let list = config.json[key]?.array, list.count == layerCount else { continue }
            object.set(key, .array(layers.map { list[$0] }))
        }
        let store = TensorStore(model).renamed { name in
            guard let (front, old, back) = family.layer(of: name) else { return [name] }
            return layers.indices.filter { layers[$0] == old }.map { "\(front)\($0)\(back)" }
        }
        let changed = ModelConfig(json: .object(object), file: config.file)
        var result: ImportedModel
        do { result = try Self.build(changed, TensorCollector(store, file: model.place), pooling: model.pooling) } catch let error as ModelError {
            guard error.code == .wrongShape else { throw error }
            throw ModelError(.invalidLayers, place, "layers \(layers) do not fit on each other: \(error.reason)")
        }
        result.takeOver(model)
        result.ignoredTensors = model.ignoredTensors
        return result
    }
}

/// Which layers of a teacher a student of fewer layers is copied from.
public enum LayerChoice: String, Sendable, CaseIterable {
    /// The first, the last, and others evenly between them: 0, 2, 4, 7, 9, 11 for 6 of 12, as DistilBERT's (Sanh et
    /// al. 2019). A single layer is the first.
    case spread
    /// The last layer of each of equally long blocks: 1, 3, 5, 7, 9, 11 for 6 of 12, or every second; TinyBERT pairs
    /// hidden states so (Jiao et al. 2020, §3.1).
    case blockEnds = "block-ends"

    /// `count` layers of `total`, in their order.
    /// - Throws: `ModelError` unless 1 ≤ `count` ≤ `total`.
    public func layers(_ count: Int, of total: Int) throws -> [Int] {
        guard count >= 1, count <= total else {
            throw ModelError(.invalidLayers, "the student", "\(count) layers of \(total) were asked for; from 1 to \(total) can be had")
        }
        return (0..<count).map { place in
            switch self {
            case .spread: count == 1 ? 0 : (2 * place * (total - 1) + count - 1) / (2 * (count - 1))
            case .blockEnds: (place + 1) * total / count - 1
            }
        }
    }
}
