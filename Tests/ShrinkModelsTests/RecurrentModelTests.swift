import GoldenModels
import ShrinkModels
import Testing

@Suite struct RecurrentModelTests {
    @Test func settingsThatCannotBeAreRefused() throws {
        let errors = ConfigurationErrorTests()
        for (key, value, words) in [
            ("bidirectional", "true", "cannot predict"), ("architectures", "[\"GRUForCausalLM\"]", "LSTMForCausalLM"), ("num_layers", "0", "positive integer"),
            ("pooling", "\"max\"", "last and mean"), ("proj_size", "8", "projected"), ("tie_word_embeddings", "true", "24 wide"),
            ("hidden_size", "null", "is missing"), ("bias", "1", "true or false"),
        ] {
            let copy = try ConfigurationErrorTests.Copy("lstm")
            try copy.set(key, value)
            errors.expectError(.invalidConfig, words, from: copy)
        }
        let copy = try ConfigurationErrorTests.Copy("rnn")
        try copy.set("nonlinearity", "\"relu\"")
        errors.expectError(.invalidConfig, "tanh", from: copy)
    }

    @Test func tensorsThatDoNotFitTheConfigurationAreNamed() throws {
        let errors = ConfigurationErrorTests()
        for (key, value, code, words) in [
            ("hidden_size", "25", ModelError.Code.wrongShape, "rnn.weight_ih_l0"), ("hidden_size", "2147483647", .wrongShape, "rnn.weight_ih_l0"),
            ("num_layers", "3", .missingTensor, "rnn.weight_ih_l2"), ("num_layers", "1", .unknownTensor, "_l1"),
            ("bias", "false", .unknownTensor, "rnn.bias_"), ("head_bias", "false", .unknownTensor, "head.bias"),
        ] {
            let copy = try ConfigurationErrorTests.Copy("lstm")
            try copy.set(key, value)
            errors.expectError(code, words, at: "model", from: copy)
        }
    }
}
