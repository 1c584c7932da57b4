import GoldenModels
import ShrinkModels
import Testing

@Suite struct GPT2Tests {
    @Test func settingsThatChangeTheNumbersAreRefused() throws {
        let errors = ConfigurationErrorTests(), copy = try ConfigurationErrorTests.Copy("gpt2")
        for (key, value, words) in [
            ("n_head", "5", "does not divide the width 32"), ("activation_function", "\"mish\"", "mish"), ("add_cross_attention", "true", "decoders alone"),
            ("n_layer", "0", "positive integer"), ("architectures", "[\"GPT2DoubleHeadsModel\"]", "GPT2DoubleHeadsModel"),
            ("layer_norm_epsilon", "-1", "positive number"),
        ] {
            let copy = try ConfigurationErrorTests.Copy("gpt2")
            try copy.set(key, value)
            errors.expectError(.invalidConfig, words, from: copy)
        }
        try copy.set("n_inner", "51")
        errors.expectError(.wrongShape, "[32, 52]", at: "model", from: copy)
        try copy.set("n_inner", "null")
        errors.expectError(.wrongShape, "128", at: "model", from: copy)
    }

    @Test func attentionMayBeScaledByLayer() throws {
        let copy = try ConfigurationErrorTests.Copy("gpt2")
        try copy.set("scale_attn_by_inverse_layer_idx", "true")
        let graph = try ImportedModel.open(copy.path).graph
        let scales = graph.order.compactMap { id -> Double? in if case .attention(let attention) = graph[id].operation { attention.scale } else { nil } }
        #expect(scales == [1 / 8.0.squareRoot(), 1 / 8.0.squareRoot() / 2])
    }
}
