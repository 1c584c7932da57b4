import Foundation
import GoldenModels
import ShrinkCompute
import ShrinkGraph
@testable import ShrinkModels
import Testing

/// Fresh weights are distributed as transformers draws them.
@Suite struct FreshModelTests {
    /// Values of a source, in one piece.
    private func draw(_ values: InitialValues, _ name: String = "w", seed: UInt64 = 1, count: Int, columns: Int = 1) -> [Float] {
        var floats = [Float](repeating: .nan, count: count)
        floats.withUnsafeMutableBufferPointer { InitialWeights(values, name: name, seed: seed, columns: columns).readFloats(0..<count, into: $0) }
        return floats
    }

    private func mean(_ values: some Sequence<Double>, _ count: Int) -> Double { values.reduce(0, +) / Double(count) }

    /// For n standard normal values the mean has the deviation 1/√n, and the means of x², x³ and x⁴ have √(2/n),
    /// √(15/n) and √(96/n) around 1, 0 and 3. Each bound is five deviations: a sound generator fails one of the
    /// four with a probability below 3·10⁻⁶.
    @Test(arguments: [1, 2, 3] as [UInt64]) func normalValuesHaveTheMomentsOfTheNormalDistribution(seed: UInt64) {
        let count = 1 << 20, root = Double(count).squareRoot()
        let x = draw(.normal(1), "layer.weight", seed: seed, count: count).map(Double.init)
        #expect(abs(mean(x, count)) < 5 / root)
        #expect(abs(mean(x.lazy.map { $0 * $0 }, count) - 1) < 5 * 2.0.squareRoot() / root)
        #expect(abs(mean(x.lazy.map { $0 * $0 * $0 }, count)) < 5 * 15.0.squareRoot() / root)
        #expect(abs(mean(x.lazy.map { $0 * $0 * $0 * $0 }, count) - 3) < 5 * 96.0.squareRoot() / root)
    }

    /// The largest distance of the empirical distribution function from Φ exceeds 2.9/√n with a probability of
    /// 2·exp(−2·2.9²) < 10⁻⁷ (Kolmogorov 1933).
    @Test func normalValuesHaveTheDistributionFunctionOfTheNormalDistribution() {
        let count = 200_000, x = draw(.normal(0.02), count: count).sorted()
        var distance = 0.0
        for (place, value) in x.enumerated() {
            let share = 0.5 * erfc(-Double(value) / 0.02 / 2.0.squareRoot())
            distance = max(distance, abs(share - Double(place) / Double(count)), abs(share - Double(place + 1) / Double(count)))
        }
        #expect(distance < 2.9 / Double(count).squareRoot())
    }

    /// As above, with F(x) = (x + b) / 2b.
    @Test func uniformValuesFillTheirIntervalEvenly() {
        let count = 200_000, bound = 0.125, x = draw(InitialValues(distribution: .uniform(bound: bound)), count: count).sorted()
        var distance = 0.0
        for (place, value) in x.enumerated() {
            let share = (Double(value) + bound) / (2 * bound)
            distance = max(distance, abs(share - Double(place) / Double(count)), abs(share - Double(place + 1) / Double(count)))
        }
        #expect(distance < 2.9 / Double(count).squareRoot())
        #expect(x.allSatisfy { $0 >= -0.125 && $0 <= 0.125 })
    }

    /// The correlation of independent sequences has the deviation 1/√n.
    @Test func neighboursAndTensorsAndSeedsAreUncorrelated() {
        let count = 1 << 18, bound = 5 / Double(count).squareRoot()
        let x = draw(.normal(1), "a", count: count).map(Double.init)
        for other in [draw(.normal(1), "b", count: count), draw(.normal(1), "a", seed: 2, count: count)] {
            #expect(abs(mean(zip(x, other).map { $0 * Double($1) }, count)) < bound)
        }
        for lag in [1, 2, 3, 64] {
            #expect(abs(mean(zip(x, x.dropFirst(lag)).map(*), count)) < bound)
        }
    }

    @Test func aPartOfATensorIsThatPartOfTheWhole() {
        let values = InitialValues.normal(1, zeroRow: 3), source = InitialWeights(values, name: "w", seed: 7, columns: 5)
        let whole = draw(values, seed: 7, count: 50, columns: 5)
        for range in [0..<1, 1..<2, 3..<17, 14..<21, 16..<19, 49..<50, 7..<7] {
            var part = [Float](repeating: .nan, count: range.count)
            part.withUnsafeMutableBufferPointer { source.readFloats(range, into: $0) }
            #expect(part == Array(whole[range]))
        }
        #expect(whole[15..<20].allSatisfy { $0 == 0 })
        #expect(whole[..<15].allSatisfy { $0 != 0 } && whole[20...].allSatisfy { $0 != 0 })
    }

    /// A BERT, a GPT-2 and a Llama, wide enough for statistics.
    private static let configurations: [(String, String)] = [
        ("bert", #"{"model_type": "bert", "architectures": ["BertForPreTraining"], "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "max_position_embeddings": 64, "pad_token_id": 5, "initializer_range": 0.05}"#),
        ("gpt2", #"{"model_type": "gpt2", "vocab_size": 300, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.05}"#),
        ("llama", #"{"model_type": "llama", "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "max_position_embeddings": 64, "attention_bias": true, "initializer_range": 0.05}"#),
        ("qwen2", #"{"model_type": "qwen2", "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128, "max_position_embeddings": 64, "pad_token_id": 5, "initializer_range": 0.05}"#),
    ]

    private static func create(_ text: String, task: ModelTask? = nil, seed: UInt64 = 1) throws -> ImportedModel {
        let scratch = try ScratchDirectory(), file = scratch.file("student.json")
        try text.write(toFile: file, atomically: false, encoding: .utf8)
        return try ImportedModel.create(configuration: file, task: task, seed: seed)
    }

    /// The rules of `_init_weights`: gains one, offsets and biases zero, everything else normal with the
    /// configuration's deviation, the padding token's row zero where the configuration names it, and GPT-2's
    /// projections into the residual path divided by √(2·layers).
    @Test(arguments: configurations) func everyTensorStartsAsTheFamilysRulesSay(_ family: String, _ text: String) throws {
        let model = try Self.create(text)
        #expect(Set(model.createdTensors) == Set(model.savedTensors.map(\.name)))
        for (name, floats) in try model.savedFloats() {
            let isNorm = name.contains("LayerNorm") || name.contains("layernorm") || name.contains(".ln_") || name == "model.norm.weight"
            if name.hasSuffix("bias") {
                #expect(floats.allSatisfy { $0 == 0 }, "\(name)")
            } else if isNorm {
                #expect(floats.allSatisfy { $0 == 1 }, "\(name)")
            } else {
                var deviation = 0.05, x = floats.map(Double.init)
                if family == "gpt2", name.hasSuffix("c_proj.weight") { deviation /= 2 }
                if ["bert.embeddings.word_embeddings.weight", "model.embed_tokens.weight"].contains(name), family != "llama" {
                    #expect(x[5 * 64..<6 * 64].allSatisfy { $0 == 0 }, "\(name)")
                    x.removeSubrange(5 * 64..<6 * 64)
                }
                let root = Double(x.count).squareRoot()
                #expect(abs(mean(x, x.count)) < 5 * deviation / root, "\(name)")
                #expect(abs(mean(x.map { $0 * $0 }, x.count) / (deviation * deviation) - 1) < 5 * 2.0.squareRoot() / root, "\(name)")
            }
        }
    }

    /// The tensors that transformers' `state_dict` has for these configurations, without buffers and tied twins.
    @Test func aFreshModelHasTheTensorsOfTransformers() throws {
        let bert = try Self.create(Self.configurations[0].1).savedTensors
        #expect(bert.count == 5 + 2 * 16 + 2 + 5 + 2)
        #expect(bert.contains { $0.name == "cls.seq_relationship.weight" && $0.shape == [2, 64] })
        let encoder = try Self.create(Self.configurations[0].1, task: .encoding).savedTensors.map(\.name)
        #expect(encoder.count == 5 + 2 * 16 + 2 && encoder.contains("pooler.dense.weight") && encoder.contains("embeddings.LayerNorm.bias"))
        #expect(try Self.create(Self.configurations[1].1).savedTensors.count == 2 + 2 * 12 + 2)
        #expect(try Self.create(Self.configurations[2].1).savedTensors.count == 1 + 2 * 13 + 1 + 1)
        #expect(try Self.create(Self.configurations[3].1).savedTensors.count == 1 + 2 * 12 + 1 + 1)
    }

    @Test func weightsFollowFromSeedAndNameAlone() throws {
        let text = Self.configurations[1].1
        let model = try Self.create(text).savedFloats()
        #expect(try Self.create(text).savedFloats() == model)
        #expect(try Self.create(text, seed: 2).savedFloats()["transformer.wte.weight"] != model["transformer.wte.weight"])
        #expect(model["transformer.h.0.attn.c_attn.weight"] != model["transformer.h.1.attn.c_attn.weight"])
        // A deeper model: what is named the same holds the same.
        let deeper = try Self.create(text.replacingOccurrences(of: "\"n_layer\": 2", with: "\"n_layer\": 3")).savedFloats()
        #expect(deeper["transformer.h.1.attn.c_attn.weight"] == model["transformer.h.1.attn.c_attn.weight"])
    }

    @Test(arguments: configurations) func aFreshModelRunsAndComesBackFromItsDirectory(_ family: String, _ text: String) throws {
        let scratch = try ScratchDirectory(), model = try Self.create(text)
        try HuggingFaceWriter(model).write(to: scratch.file("model"))
        let copy = try ImportedModel.open(scratch.file("model"))
        #expect(try copy.savedFloats() == model.savedFloats())
        #expect(copy.task == model.task && copy.ignoredTensors.isEmpty && copy.createdTensors.isEmpty)
        let results = try HostExecutor(model.graph).run(tokens: [1, 2, 3, 4])
        #expect(results.values.allSatisfy { $0.floats.allSatisfy(\.isFinite) })
        #expect(try HostExecutor(copy.graph).run(tokens: [1, 2, 3, 4]).mapValues(\.floats) == results.mapValues(\.floats))
    }

    @Test func modelsThatNoMachineHoldsAreRefused() throws {
        for (key, huge, code) in [("\"vocab_size\": 300", "\"vocab_size\": 2147480000", ModelError.Code.tooLarge), ("\"n_layer\": 2", "\"n_layer\": 2000000000", .invalidConfig)] {
            let text = Self.configurations[1].1.replacingOccurrences(of: key, with: huge).replacingOccurrences(of: "64", with: "65536")
            let error = #expect(throws: ModelError.self) { try Self.create(text) }
            #expect(error?.code == code)
        }
        let error = #expect(throws: ModelError.self) { try ImportedModel.create(configuration: "/nonexistent/config.json", seed: 1) }
        #expect(error?.code == .missingFile)
    }
}
