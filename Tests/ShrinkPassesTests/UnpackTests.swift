import ShrinkGraph
import ShrinkPasses
import Testing

/// What GPT-2 stores otherwise than the runtime reads it, and padding.
@Suite struct UnpackTests {
    static let packed = """
        graph "g" {
          input %x: f32[batch, tokens, 2]
          parameter %w: f32[2, 6] stored(f32, 48)
          parameter %b: f32[6] stored(f32, 24)
          %qkv = linear(%x, %w, %b) {input_major = true} : f32[batch, tokens, 6] @ "attn"
          %y = attention(%qkv) {heads = 1, kv_heads = 1, head_size = 2, scale = 0.5, causal = true, packed = true} : f32[batch, tokens, 2]
          output "y" = %y

        """

    @Test func aPackedAttentionIsSplit() throws {
        let result = try run(.splitPackedAttention, on: Self.packed + "}")
        #expect(result.report.rewrites == 1)
        let lines = body(result.text)
        #expect(lines.count == 5)
        for (line, role) in zip(lines, ["q", "k", "v"]) { #expect(line.hasSuffix("= linear(%x, %w.\(role), %b.\(role))")) }
        #expect(lines[3].contains("causal = true}") && !lines[3].contains("packed"))
        #expect(result.text.contains("parameter %w.k: f32[2, 2] stored(f32, 16)"))
    }

    @Test func aPackedValueThatIsReadElsewhereStaysPacked() throws {
        let result = try run(.splitPackedAttention, on: Self.packed + "output \"qkv\" = %qkv\n}")
        #expect(result.report.rewrites == 0 && result.report.refusals.map(\.reason) == [.otherReaders(1)])
    }

    /// Columns of w become rows, both where the floats are in memory and where they have to be read.
    @Test(arguments: [true, false]) func theNumbersAreTheColumnsOfTheWeight(_ isInMemory: Bool) throws {
        struct Read: ParameterSource {
            func readFloats(_ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
                for (place, element) in range.enumerated() { target[place] = Float(element) }
            }
        }
        var graph = try Graph(parsing: Self.packed + "}")
        for id in graph.usedParameters {
            graph.setSource(isInMemory ? FloatArraySource((0..<12).map(Float.init)) : Read(), of: id)
        }
        _ = try PassManager([.splitPackedAttention]).run(on: &graph)
        func numbers(_ name: String, _ range: Range<Int>) throws -> [Float] {
            let id = try #require(graph.usedParameters.first { graph[$0].name == name })
            var floats = [Float](repeating: .nan, count: range.count)
            try floats.withUnsafeMutableBufferPointer { try graph.parameter(id)?.source?.readFloats(range, into: $0) }
            return floats
        }
        // w[i][o] = 6 i + o; k takes the outputs 2 and 3.
        #expect(try numbers("w.k", 0..<4) == [2, 8, 3, 9])
        #expect(try numbers("w.v", 1..<3) == [10, 5])
        #expect(try numbers("b.k", 0..<2) == [2, 3])
    }

    @Test func aWeightStoredByInputIsTurned() throws {
        let text = """
            graph "g" {
              input %x: f32[batch, tokens, 2]
              parameter %w: f32[2, 6] stored(f32, 48)
              %y = linear(%x, %w) {input_major = true} : f32[batch, tokens, 6]
              output "y" = %y
            }
            """
        let result = try run(.orientWeights, on: text)
        #expect(result.report.rewrites == 1 && result.text.contains("parameter %w.turned: f32[6, 2]"))
        #expect(body(result.text)[0].hasSuffix("= linear(%x, %w.turned)"))
    }

    @Test func paddingReachesWhatMixesTokensAndNothingElse() throws {
        let text = """
            graph "g" {
              input %x: f32[batch, tokens, 2]
              %a = attention(%x, %x, %x) {heads = 1, kv_heads = 1, head_size = 2, scale = 0.5, causal = false} : f32[batch, tokens, 2]
              %t = unary(%a) {function = tanh} : f32[batch, tokens, 2]
              %m = mean_tokens(%t) : f32[batch, 2]
              %f = select_token(%t) {position = first} : f32[batch, 2]
              output "m" = %m
              output "f" = %f
            }
            """
        let result = try run(.padSequences, on: text)
        #expect(result.report.rewrites == 2 && result.text.contains("input %lengths: i32[batch]"))
        #expect(result.text.contains("attention(%x, %x, %x, %lengths)") && result.text.contains("mean_tokens(%t, %lengths)"))
        #expect(result.text.contains("unary(%a)") && result.text.contains("select_token(%t) {"))
    }
}
