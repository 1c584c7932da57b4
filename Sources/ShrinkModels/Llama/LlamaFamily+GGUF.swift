import ShrinkGraph
import ShrinkJSON

extension ImportedModel {
    /// The model with tensors and configuration as transformers has them: itself, unless it was read from a GGUF
    /// file. The answers are the same up to the order of float operations.
    /// - Throws: `ModelError` when `config.json` has no word for what the file says.
    func inHuggingFaceForm() throws -> ImportedModel {
        guard let config = ggufConfiguration else { return self }
        let names = LlamaBuilder.Names.gguf, newNames = LlamaBuilder.Names.huggingFace
        let fixed = [names.embedding: newNames.embedding, names.finalNorm: newNames.finalNorm, names.head: newNames.head]
        let ofLayer = Dictionary(uniqueKeysWithValues: zip(names.ofLayer, newNames.ofLayer))
        var store = TensorStore()
        for tensor in savedTensors {
            let parts = tensor.name.split(separator: ".")
            guard let suffix = parts.last else { continue }
            var entry = TensorStore.Entry(origin: tensor.name, shape: tensor.shape, isFloatingPoint: true, parameter: tensor.parameter)
            if let new = fixed[parts.dropLast().joined(separator: ".")] {
                store.insert("\(new).\(suffix)", entry)
            } else if parts.count == 4, let layer = Int(parts[1]), let new = ofLayer[String(parts[2])] {
                let heads = [names.query: config.heads, names.key: config.keyValueHeads][String(parts[2])]
                if config.rotaryLayout == .pairs, let heads, let source = entry.parameter.source {
                    let columns = tensor.shape.count == 2 ? tensor.shape[1] : 1
                    entry.parameter.source = HalvesOfPairs(source: source, heads: heads, headSize: config.headSize, columns: columns)
                }
                store.insert("\(newNames.layer(layer))\(new).\(suffix)", entry)
            }
        }
        let json = try config.huggingFaceConfiguration(architecture: architecture, file: place)
        var model = try Self.build(ModelConfig(json: json, file: place), TensorCollector(store, file: place), pooling: nil)
        model.takeOver(self)
        model.maximumPositions = maximumPositions
        model.maximumInputTokens = maximumInputTokens
        model.ignoredTensors = ignoredTensors
        return model
    }
}

extension LlamaBuilder.Names {
    /// The modules of a layer.
    fileprivate var ofLayer: [String] {
        [attentionNorm, query, key, value, attentionOutput, feedForwardNorm, gate, up, down]
    }
}

extension LlamaConfig {
    /// `config.json` of a model that was read from a GGUF file.
    fileprivate func huggingFaceConfiguration(architecture: String, file: String) throws -> JSON {
        func refuse(_ reason: String) -> ModelError {
            ModelError(.notExpressible, file, "\(reason); train from the Hugging Face directory that the file was made of")
        }
        guard rotary.divisors == nil else { throw refuse("its frequencies come as a tensor (rope_freqs.weight), for which config.json has no place") }
        var object = JSON.Object()
        object.set("architectures", .array([.string(architecture == "qwen2" ? "Qwen2ForCausalLM" : "LlamaForCausalLM")]))
        object.set("model_type", .string(architecture))
        for (key, value) in [
            ("num_hidden_layers", layers), ("hidden_size", width), ("intermediate_size", feedForwardWidth), ("num_attention_heads", heads),
            ("num_key_value_heads", keyValueHeads), ("vocab_size", vocabularySize), ("max_position_embeddings", maximumPositions),
        ] { object.set(key, .integer(value)) }
        if headSize * heads != width { object.set("head_dim", .integer(headSize)) }
        object.set("hidden_act", .string("silu"))
        object.set("rms_norm_eps", .number(epsilon))
        object.set("rope_theta", .number(rotary.base))
        if case .linear(let factor) = rotary.scaling {
            object.set("rope_scaling", JSON.object(["type": .string("linear"), "factor": .number(factor)]))
        }
        object.set("tie_word_embeddings", .bool(isHeadTied))
        if architecture == "qwen2" {
            guard queryKeyValueBias, !outputBias, !feedForwardBias else { throw refuse("its biases are not those of a qwen2 model") }
        } else {
            guard queryKeyValueBias == outputBias else { throw refuse("only some of its attention layers have biases") }
            object.set("attention_bias", .bool(outputBias))
            object.set("mlp_bias", .bool(feedForwardBias))
        }
        for (key, id) in tokens { object.set(key, .integer(id)) }
        return .object(object)
    }
}

/// The rows of a query or key weight in the order of transformers, where components i and i + headSize/2 of a head
/// rotate together, of one where neighbours do.
private struct HalvesOfPairs: ParameterSource {
    let source: any ParameterSource
    let heads, headSize, columns: Int

    func readFloats(_ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) throws {
        var element = range.lowerBound
        while element < range.upperBound {
            let (row, column) = element.quotientAndRemainder(dividingBy: columns)
            let (head, component) = row.quotientAndRemainder(dividingBy: headSize)
            let (half, pair) = component.quotientAndRemainder(dividingBy: headSize / 2)
            let start = (head * headSize + 2 * pair + half) * columns + column
            let count = min(columns - column, range.upperBound - element)
            let first = element - range.lowerBound
            try source.readFloats(start..<start + count, into: UnsafeMutableBufferPointer(rebasing: target[first..<first + count]))
            element += count
        }
    }

    func release(_ range: Range<Int>) { source.release(0..<heads * headSize * columns) }

    var isConstant: Bool { source.isConstant }
}
