import Foundation
import GoldenModels
import ShrinkCheckpoints
import ShrinkJSON
import ShrinkModels
import Testing

/// A golden model with one thing changed is refused with an error that names file and key or tensor.
@Suite struct ConfigurationErrorTests {
    /// A copy of a golden directory that tests may damage.
    final class Copy {
        let scratch: ScratchDirectory
        let path: String

        init(_ name: String) throws {
            scratch = try ScratchDirectory()
            path = scratch.file("model")
            try FileManager.default.copyItem(atPath: GoldenModel.named(name).path, toPath: path)
        }

        func write(_ text: String, to name: String) throws {
            try text.write(toFile: path + "/" + name, atomically: false, encoding: .utf8)
        }

        func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: path + "/" + name) }

        /// Sets a key to JSON text; nil removes it.
        func set(_ key: String, _ value: String?, in file: String = "config.json") throws {
            let text = try String(contentsOfFile: path + "/" + file, encoding: .utf8)
            guard case .object(let object) = try Array(text.utf8).withUnsafeBytes({ try JSON(parsing: $0) }) else { return }
            var members = object.members.filter { $0.key != key }.map { "\(JSON.string($0.key).serialized): \($0.value.serialized)" }
            if let value { members.append("\(JSON.string(key).serialized): \(value)") }
            try write("{" + members.joined(separator: ", ") + "}", to: file)
        }
    }

    func expectError(
        _ code: ModelError.Code, _ words: String..., at place: String = "config.json", from copy: Copy,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let error = #expect(throws: ModelError.self, sourceLocation: sourceLocation) { try ImportedModel.open(copy.path) }
        guard let error else { return }
        #expect(error.code == code, "\(error)", sourceLocation: sourceLocation)
        #expect(error.place.hasSuffix(place), "\(error)", sourceLocation: sourceLocation)
        for word in words { #expect(error.reason.contains(word), "\(error)", sourceLocation: sourceLocation) }
    }

    @Test func anUnsupportedArchitectureIsNamed() throws {
        let copy = try Copy("llama-tied")
        try copy.set("model_type", "\"mamba\"")
        expectError(.unsupportedArchitecture, "mamba", "llama, mistral, qwen2, bert", from: copy)
        try copy.set("model_type", nil)
        expectError(.invalidConfig, "\"model_type\" is missing", from: copy)
        try copy.set("model_type", "5")
        expectError(.invalidConfig, "\"model_type\" must be a string", from: copy)
    }

    @Test func aDirectoryWithoutConfigurationIsAnError() throws {
        let copy = try Copy("llama-tied")
        try copy.remove("config.json")
        expectError(.missingFile, "config.json", at: "model", from: copy)
    }

    @Test func aPathThatIsNotThereIsAnError() throws {
        for path in ["/nonexistent/model", "/nonexistent/model.gguf"] {
            let error = #expect(throws: ModelError.self) { try ImportedModel.open(path) }
            #expect(error?.code == .missingFile)
            #expect(error?.place == path)
        }
    }

    @Test func aFileOfAnotherKindIsAnError() throws {
        let copy = try Copy("llama-tied")
        let error = #expect(throws: ModelError.self) { try ImportedModel.open(copy.path + "/model.safetensors") }
        #expect(error?.code == .unsupportedArchitecture)
        #expect(error?.reason.contains("give the directory") == true)
    }

    @Test func aConfigurationThatIsNotJSONIsAnError() throws {
        let copy = try Copy("llama-tied")
        try copy.write("{\"model_type\": ", to: "config.json")
        expectError(.invalidConfig, "not valid JSON at byte", from: copy)
    }

    @Test func missingWeightsAreAnError() throws {
        let copy = try Copy("llama-tied")
        try copy.remove("model.safetensors")
        let error = #expect(throws: CheckpointError.self) { try ImportedModel.open(copy.path) }
        #expect(error?.code == .weightsNotFound)
        #expect(error?.file.hasSuffix("model") == true)
    }

    @Test func aMissingTensorIsNamed() throws {
        let copy = try Copy("llama-tied")
        try copy.set("num_hidden_layers", "3")
        expectError(.missingTensor, "model.layers.2.input_layernorm.weight", at: "model", from: copy)
        try copy.set("num_hidden_layers", "2")
        try copy.set("tie_word_embeddings", "false")
        expectError(.missingTensor, "lm_head.weight", at: "model", from: copy)
    }

    @Test func aTensorWithoutPlaceIsNamed() throws {
        let copy = try Copy("llama-tied")
        try copy.set("num_hidden_layers", "1")
        expectError(.unknownTensor, "model.layers.1.", at: "model", from: copy)
        let qwen2 = try Copy("qwen2")
        try qwen2.set("model_type", "\"llama\"")
        expectError(.unknownTensor, "self_attn.k_proj.bias", at: "model", from: qwen2)
    }

    @Test(arguments: [
        ("vocab_size", "63", "model.embed_tokens.weight", "[64, 32]", "[63, 32]"),
        ("vocab_size", "2147483647", "model.embed_tokens.weight", "[64, 32]", "[2147483647, 32]"),
        ("intermediate_size", "47", "model.layers.0.mlp.gate_proj.weight", "[48, 32]", "[47, 32]"),
        ("num_key_value_heads", "1", "model.layers.0.self_attn.k_proj.weight", "[16, 32]", "[8, 32]"),
        ("num_attention_heads", "2147483646", "model.layers.0.self_attn.q_proj.weight", "[32, 32]", "[17179869168, 32]"),
    ]) func aTensorOfAnotherShapeIsNamed(_ key: String, _ value: String, _ tensor: String, _ has: String, _ wanted: String) throws {
        let copy = try Copy("llama-tied")
        try copy.set(key, value)
        expectError(.wrongShape, tensor, has, wanted, at: "model", from: copy)
    }

    @Test(arguments: [
        "num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "vocab_size",
        "max_position_embeddings", "head_dim",
    ]) func sizesArePositiveIntegers(_ key: String) throws {
        let copy = try Copy("llama-tied")
        for value in ["0", "-1", "1e30", "1.5", "\"4\"", "true", "[4]", "9223372036854775807", "2147483648"] {
            try copy.set(key, value)
            expectError(.invalidConfig, "\"\(key)\" must be a positive integer", from: copy)
        }
    }

    @Test(arguments: ["num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings"])
    func sizesWithoutAStandardMustBeThere(_ key: String) throws {
        let copy = try Copy("llama-tied")
        try copy.set(key, nil)
        expectError(.invalidConfig, "\"\(key)\" is missing", from: copy)
    }

    @Test(arguments: [
        ("rms_norm_eps", "0"), ("rms_norm_eps", "-1e-5"), ("rms_norm_eps", "1e30"), ("rms_norm_eps", "1e-300"), ("rms_norm_eps", "\"small\""),
        ("hidden_act", "\"gelu\""), ("hidden_act", "7"), ("attention_bias", "\"yes\""), ("tie_word_embeddings", "1"),
        ("head_dim", "7"), ("head_dim", "2147483646"), ("num_attention_heads", "3"), ("num_key_value_heads", "3"), ("rope_parameters", "\"llama3\""),
        ("partial_rotary_factor", "0.5"),
    ]) func badValuesAreRefusedByKey(_ key: String, _ value: String) throws {
        let copy = try Copy("llama-tied")
        if key == "num_attention_heads" { try copy.set("head_dim", nil) }
        try copy.set(key, value)
        expectError(.invalidConfig, "\"\(key)\"", from: copy)
    }

    @Test(arguments: [
        ("rope_type", #"{"rope_type": "longrope", "factor": 2}"#), ("rope_type", #"{"rope_type": 3}"#), ("factor", #"{"rope_type": "linear"}"#),
        ("factor", #"{"rope_type": "linear", "factor": 1e-300}"#), ("factor", #"{"type": "yarn", "factor": "4"}"#),
        ("rope_theta", #"{"rope_type": "default", "rope_theta": 0}"#), ("rope_theta", #"{"rope_type": "default", "rope_theta": 1}"#),
        ("low_freq_factor", #"{"rope_type": "llama3", "factor": 8}"#),
        ("high_freq_factor", #"{"rope_type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4}"#),
        ("mscale", #"{"rope_type": "yarn", "factor": 4, "mscale": 1, "mscale_all_dim": 1}"#),
        ("original_max_position_embeddings", #"{"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 0}"#),
    ]) func badRotaryScalingIsRefusedByKey(_ key: String, _ value: String) throws {
        let copy = try Copy("llama-tied")
        try copy.set("rope_parameters", value)
        expectError(.invalidConfig, "\"\(key)\"", from: copy)
    }

    @Test(.timeLimit(.minutes(1))) func hostileSizesCostNothing() throws {
        let copy = try Copy("llama-tied")
        try copy.set("max_position_embeddings", "2147483647")
        let model = try ImportedModel.open(copy.path)
        #expect(model.maximumPositions == 2_147_483_647)
        try copy.set("num_hidden_layers", "1073741824")
        expectError(.missingTensor, "model.layers.2.", at: "model", from: copy)
        let classifier = try Copy("bert-classify")
        try classifier.set("id2label", nil)
        try classifier.set("num_labels", "2147483647")
        expectError(.invalidConfig, "\"num_labels\"", from: classifier)
    }

    @Test func valuesWithinASlidingWindowOnly() throws {
        let copy = try Copy("mistral")
        try copy.set("sliding_window", "20")
        #expect(try ImportedModel.open(copy.path).maximumPositions == 20)
        // transformers: MistralConfig's own window is 4096; null says that there is none.
        try copy.set("max_position_embeddings", "8192")
        try copy.set("sliding_window", "null")
        #expect(try ImportedModel.open(copy.path).maximumPositions == 8192)
        try copy.set("sliding_window", nil)
        #expect(try ImportedModel.open(copy.path).maximumPositions == 4096)
        let qwen2 = try Copy("qwen2")
        try qwen2.set("sliding_window", "20")
        #expect(try ImportedModel.open(qwen2.path).maximumPositions == 64, "use_sliding_window is false")
        try qwen2.set("use_sliding_window", "true")
        #expect(try ImportedModel.open(qwen2.path).maximumPositions == 20)
    }

    @Test(arguments: [
        ("num_attention_heads", "5"), ("hidden_act", "\"mish\""), ("hidden_act", "3"), ("position_embedding_type", "\"relative_key\""),
        ("architectures", "[\"BertForQuestionAnswering\"]"), ("is_decoder", "true"), ("layer_norm_eps", "0"), ("type_vocab_size", "-2"),
        ("id2label", #"{"0": "a", "2": "b"}"#), ("id2label", "{}"), ("id2label", "[\"a\"]"), ("id2label", #"{"0": 1}"#),
    ]) func badValuesOfAnEncoderAreRefusedByKey(_ key: String, _ value: String) throws {
        let copy = try Copy("bert-classify")
        try copy.set(key, value)
        expectError(.invalidConfig, "\"\(key)\"", from: copy)
    }

    @Test func anotherNumberOfLabelsIsAWrongShape() throws {
        let copy = try Copy("bert-classify")
        try copy.set("id2label", #"{"0": "a", "1": "b"}"#)
        expectError(.wrongShape, "classifier.weight", "[3, 24]", "[2, 24]", at: "model", from: copy)
    }

    @Test func ropeScalingWinsOverRopeParameters() throws {
        func angles(_ copy: Copy) throws -> [Float] {
            let graph = try ImportedModel.open(copy.path).graph
            let cosine = try #require(graph.usedParameters.first { graph[$0].name == "rotary.cosine" })
            let source = try #require(graph.parameter(cosine)?.source)
            var values = [Float](repeating: 0, count: 60)
            try values.withUnsafeMutableBufferPointer { try source.readFloats(0..<60, into: $0) }
            return values
        }
        let copy = try Copy("mistral")
        let plain = try angles(copy)
        try copy.set("rope_scaling", #"{"rope_type": "linear", "factor": 4.0}"#)
        let both = try angles(copy)
        try copy.set("rope_parameters", nil)
        #expect(try angles(copy) == both)
        #expect(both != plain)
    }

    @Test func labelsThatMayHoldTogetherAreIndependent() throws {
        let copy = try Copy("bert-classify")
        #expect(try !ImportedModel.open(copy.path).labelsAreIndependent)
        try copy.set("problem_type", "\"multi_label_classification\"")
        #expect(try ImportedModel.open(copy.path).labelsAreIndependent)
    }

    @Test func twoLabelsOfOneNameAreRefused() throws {
        let copy = try Copy("bert-classify")
        try copy.set("id2label", #"{"0": "a", "1": "b", "2": "a"}"#)
        expectError(.invalidConfig, "\"id2label\"", "a twice", from: copy)
    }

    @Test func labelsWithoutNamesAreNumbered() throws {
        let copy = try Copy("bert-classify")
        try copy.set("id2label", nil)
        try copy.set("num_labels", "3")
        #expect(try ImportedModel.open(copy.path).labels == ["LABEL_0", "LABEL_1", "LABEL_2"])
    }

    // MARK: Sentence embeddings

    static func modules(_ list: (type: String, path: String)...) -> String {
        "[" + list.map { #"{"type": "sentence_transformers.models.\#($0.type)", "path": "\#($0.path)"}"# }.joined(separator: ",") + "]"
    }

    @Test(arguments: ["../outside", "/etc", "a/b", "..", ".", "", "x\\u0000y"]) func modulesStayInTheDirectory(_ path: String) throws {
        let copy = try Copy("bert-sentence")
        try copy.write(Self.modules(("Transformer", ""), ("Pooling", path)), to: "modules.json")
        expectError(.invalidConfig, "Pooling", "folder", at: "modules.json", from: copy)
    }

    @Test func aMissingPoolingFolderIsNamed() throws {
        let copy = try Copy("bert-sentence")
        try copy.write(Self.modules(("Transformer", ""), ("Pooling", "2_Pooling")), to: "modules.json")
        expectError(.missingFile, "modules.json", at: "2_Pooling/config.json", from: copy)
    }

    @Test func otherModulesAndOrdersAreRefused() throws {
        let copy = try Copy("bert-sentence")
        try copy.write(Self.modules(("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense")), to: "modules.json")
        expectError(.unsupportedArchitecture, "Dense", at: "modules.json", from: copy)
        try copy.write(Self.modules(("Transformer", ""), ("Normalize", ""), ("Pooling", "1_Pooling")), to: "modules.json")
        expectError(.unsupportedArchitecture, "Transformer, Normalize, Pooling", at: "modules.json", from: copy)
        try copy.write(Self.modules(("Transformer", "")), to: "modules.json")
        expectError(.unsupportedArchitecture, "Transformer", at: "modules.json", from: copy)
        try copy.write("{}", to: "modules.json")
        expectError(.invalidConfig, "list of modules", at: "modules.json", from: copy)
    }

    @Test func otherPoolingIsRefused() throws {
        let copy = try Copy("bert-sentence")
        try copy.set("pooling_mode_max_tokens", "true", in: "1_Pooling/config.json")
        expectError(.invalidConfig, "mean_tokens or cls_token alone", at: "1_Pooling/config.json", from: copy)
        try copy.set("pooling_mode_mean_tokens", "false", in: "1_Pooling/config.json")
        expectError(.invalidConfig, "\"pooling_mode_max_tokens\"", at: "1_Pooling/config.json", from: copy)
        try copy.set("pooling_mode_max_tokens", "false", in: "1_Pooling/config.json")
        expectError(.invalidConfig, "pooling", at: "1_Pooling/config.json", from: copy)
    }

    @Test func whatWouldChangeTheTextIsRefused() throws {
        let copy = try Copy("bert-sentence")
        try copy.write(#"{"prompts": {"query": "find: "}, "default_prompt_name": "query"}"#, to: "config_sentence_transformers.json")
        expectError(.invalidConfig, "\"default_prompt_name\"", at: "config_sentence_transformers.json", from: copy)
        try copy.write(#"{"prompts": {"query": "find: "}, "default_prompt_name": null}"#, to: "config_sentence_transformers.json")
        #expect(try ImportedModel.open(copy.path).architecture == "bert")
        try copy.write(#"{"max_seq_length": 16, "do_lower_case": true}"#, to: "sentence_bert_config.json")
        expectError(.invalidConfig, "\"do_lower_case\"", at: "sentence_bert_config.json", from: copy)
    }

    @Test func theFirstTokenCanBeTheEmbedding() throws {
        let copy = try Copy("bert-sentence")
        try copy.set("pooling_mode_mean_tokens", "false", in: "1_Pooling/config.json")
        try copy.set("pooling_mode_cls_token", "true", in: "1_Pooling/config.json")
        #expect(try ImportedModel.open(copy.path).graph.text.contains("select_token"))
    }
}
