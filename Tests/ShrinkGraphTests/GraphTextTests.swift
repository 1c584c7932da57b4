import GoldenModels
import ShrinkGraph
import Testing

/// The text form: what is printed reads back to the same graph, and what is wrong is found with its line.
@Suite struct GraphTextTests {
    /// Every operation, every attribute with a value other than its standard, every kind of type and name.
    static let everything = """
        graph "every \\"operation\\"" {
          input %tokens: i32[batch, tokens]
          input %positions: i32[batch, tokens]
          parameter %wte.weight: f32[32, 8] stored(f16, 512) quantized(w8)
          parameter %"odd name": f32[40, 8] stored(q4_1, 180)
          parameter %gain: f32[8] stored(f32, 32)
          parameter %offset: f32[8] stored(f32, 32)
          parameter %cosine: f32[64, 1] stored(computed, 0)
          parameter %sine: f32[64, 1] stored(computed, 0)
          parameter %square: f32[8, 8] stored(bf16, 128)
          parameter %half: f32[4, 8] stored(bf16, 64)
          %a = embedding(%tokens, %wte.weight) : f32[batch, tokens, 8] @ "embed"
          %b = embedding(%positions, %"odd name") {index_offset = 2} : f32[batch, tokens, 8]
          %sum = binary(%a, %b) {function = add} : f32[batch, tokens, 8] @ "two \\"words\\" \\\\ line\\nline"
          %product = binary(%a, %b) {function = multiply} : f32[batch, tokens, 8]
          %ln, %lnq, %lns = layer_norm(%sum, %gain, %offset, %product) {epsilon = 1e-12, keeps_sum = true, quantized = true} : f32[batch, tokens, 8], q8[batch, tokens, 8], f32[batch, tokens, 8]
          %ln2 = layer_norm(%lns, %gain, %offset) {epsilon = 1e-05} : f32[batch, tokens, 8]
          %rms, %rmss = rms_norm(%ln, %gain, %ln2) {epsilon = 1e-06, keeps_sum = true} : f32[batch, tokens, 8], f32[batch, tokens, 8]
          %rms2, %rmsq = rms_norm(%rmss, %gain) {epsilon = 0.0009765625, quantized = true} : f32[batch, tokens, 8], q8[batch, tokens, 8]
          %q = linear(%rmsq, %square, %offset) : f32[batch, tokens, 8]
          %k = linear(%rms2, %half) : f32[batch, tokens, 4]
          %qr = rotary(%q, %cosine, %sine) {head_size = 2, layout = half} : f32[batch, tokens, 8]
          %kr = rotary(%k, %cosine, %sine) {head_size = 2, layout = pairs} : f32[batch, tokens, 4]
          %mixed, %mixedq = attention(%qr, %kr, %k) {heads = 4, kv_heads = 2, head_size = 2, scale = 0.7071067811865476, causal = true, quantized = true} : f32[batch, tokens, 8], q8[batch, tokens, 8]
          %qq = quantize(%qr) {groups = 4} : q8[batch, tokens, 8]
          %kq = quantize(%kr) {groups = 2} : q8[batch, tokens, 4]
          %mixed8 = attention(%qq, %kq, %kq) {heads = 4, kv_heads = 2, head_size = 2, scale = 0.5, causal = false} : f32[batch, tokens, 8]
          %h, %hq = recurrent(%mixed8, %square, %offset) {cell = rnn, reversed = true, quantizes_state = true, quantized = true} : f32[batch, tokens, 8], q8[batch, tokens, 8]
          %joined, %joinedq = concatenate(%h, %mixed8) {quantized = true} : f32[batch, tokens, 16], q8[batch, tokens, 16]
          %whole = quantize(%mixed8) : q8[batch, tokens, 8]
          %out = linear(%whole, %square) : f32[batch, tokens, 8]
          %relu = unary(%out) {function = relu} : f32[batch, tokens, 8]
          %silu = unary(%relu) {function = silu} : f32[batch, tokens, 8]
          %tanh = unary(%silu) {function = tanh} : f32[batch, tokens, 8]
          %sigmoid = unary(%tanh) {function = sigmoid} : f32[batch, tokens, 8]
          %gelu = unary(%sigmoid) {function = gelu} : f32[batch, tokens, 8]
          %gelut, %geluq = unary(%gelu) {function = gelu_tanh, quantized = true} : f32[batch, tokens, 8], q8[batch, tokens, 8]
          %gate = gate(%gelut, %mixed) {function = silu} : f32[batch, tokens, 8]
          %gate2, %gateq = gate(%gate, %mixed) {function = silu, quantized = true} : f32[batch, tokens, 8], q8[batch, tokens, 8]
          %first = select_token(%gate2) {position = first} : f32[batch, 8]
          %last = select_token(%gate2) {position = last} : f32[batch, 8]
          %mean = mean_tokens(%gate2) : f32[batch, 8]
          %unit = l2_normalize(%mean) {epsilon = 1e-12} : f32[batch, 8]
          output "hidden states" = %gate2
          output "unit" = %unit
        }

        """

    @Test func everyOperationAndAttributeReadsBack() throws {
        let graph = try Graph(parsing: Self.everything)
        #expect(graph.text == Self.everything)
        try graph.verify()
        let mnemonics = Set(graph.nodes.map(\.operation.mnemonic))
        #expect(mnemonics.count == 15, "one line for each operation is wanted above, there are \(mnemonics.sorted())")
    }

    @Test(arguments: GoldenModel.all) func importedGraphsReadBack(_ golden: GoldenModel) throws {
        let text = try golden.open().graph.text
        let parsed = try Graph(parsing: text)
        #expect(parsed.text == text)
    }

    @Test func attributesReadBackToTheSameBits() throws {
        for epsilon in [1e-12, 0.1, 1.0 / 3, Double.leastNonzeroMagnitude, 1.7976931348623157e308] {
            var builder = GraphBuilder(name: "g")
            let x = try builder.input("x", ValueType(.float32, [.batch, 4]))
            try builder.output("y", try builder.add(.l2Normalize(L2Normalize(epsilon: epsilon)), [x]))
            let parsed = try Graph(parsing: builder.graph.text)
            #expect(parsed.nodes[0].operation == .l2Normalize(L2Normalize(epsilon: epsilon)))
        }
    }

    static let header = "graph \"g\" {\n  input %x: f32[batch, tokens, 4]\n  parameter %w: f32[4, 4] stored(f32, 64)\n"

    /// All of these stand in line 4; what is missing at its end is found missing in line 5.
    @Test(arguments: [
        ("%y = linear(%x, %v) : f32[batch, tokens, 4]", GraphError.Code.undefinedValue, "%v is not defined"),
        ("%y = linear(%y, %w) : f32[batch, tokens, 4]", .undefinedValue, "%y is not defined"),
        ("%x = linear(%x, %w) : f32[batch, tokens, 4]", .duplicateName, "x"),
        ("%y = convolve(%x, %w) : f32[batch, tokens, 4]", .syntax, "there is no operation convolve"),
        ("%y = linear(%x, %w) : f32[batch, tokens, 5]", .resultType, "f32[batch, tokens, 4]"),
        ("%y = linear(%x, %w) : q8[batch, tokens, 4]", .resultType, "y"),
        ("%y = linear(%x, %w) : f32[batch, tokens, 4], f32[4]", .resultType, "y"),
        ("%y, %z = linear(%x, %w) : f32[batch, tokens, 4], f32[4]", .syntax, "1 results, 2 are named"),
        ("%y = linear(%x, %w) {groups = 2} : f32[batch, tokens, 4]", .attribute, "there is no attribute groups"),
        ("%y = l2_normalize(%x) : f32[batch, tokens, 4]", .attribute, "epsilon is missing"),
        ("%y = l2_normalize(%x) {epsilon = true} : f32[batch, tokens, 4]", .attribute, "epsilon must be a number"),
        ("%y = l2_normalize(%x) {epsilon = 1, epsilon = 1} : f32[batch, tokens, 4]", .attribute, "twice"),
        ("%y = unary(%x) {function = mish} : f32[batch, tokens, 4]", .attribute, "relu, silu, tanh"),
        ("%y = quantize(%x) {groups = 1.5} : q8[batch, tokens, 4]", .attribute, "must be an integer"),
        ("%y = linear(%x, %w) : f64[batch, tokens, 4]", .syntax, "there is no element type f64"),
        ("%y = linear(%x, %w)", .syntax, "expected :"),
        ("%y = linear(%x, %w : f32[4]", .syntax, "expected )"),
        ("%y = linear(%x, %w) : f32[batch, tokens, 4] @ \"origin", .syntax, "not closed"),
        ("parameter %v: f32[4] stored(f32, many)", .syntax, "number of bytes"),
        ("parameter %v: f32[4] stored(f32, 16) quantized(w3)", .syntax, "w3"),
        ("parameter %v: f32[0] stored(f32, 0)", .syntax, "extent 0"),
        ("parameter %v: f32[-1] stored(f32, 0)", .syntax, "extent -1"),
        ("output \"y\" = %z", .undefinedValue, "%z"),
        ("nonsense", .syntax, "expected %"),
    ]) func whatIsWrongIsFoundWithItsLine(_ text: String, _ code: GraphError.Code, _ words: String) {
        let error = #expect(throws: GraphError.self) { try Graph(parsing: Self.header + "  \(text)\n}\n") }
        #expect(error?.code == code, "\(error?.description ?? "")")
        #expect(error?.reason.contains(words) == true, "\(error?.description ?? "")")
        #expect(error?.line == 4 || error?.line == 5 && words == "expected :" || words == "not closed", "\(error?.description ?? "")")
    }

    @Test(arguments: [
        ("", 1), ("graf \"g\" {}", 1), ("graph g {}", 1), ("graph \"g\" {\n\n", 3), ("graph \"g\" {\n}\n}\n", 3),
        ("graph \"two\nlines\" {\n  nonsense", 3),
    ]) func brokenFramesAreSyntaxErrors(_ text: String, _ line: Int) {
        let error = #expect(throws: GraphError.self) { try Graph(parsing: text) }
        #expect(error?.code == .syntax)
        #expect(error?.line == line)
    }

    @Test func everyTruncationIsAnErrorAndNoCrash() {
        let bytes = Array(Self.everything.utf8)
        for count in 0..<bytes.count - 2 {
            #expect(throws: GraphError.self) { try Graph(parsing: String(decoding: bytes[..<count], as: UTF8.self)) }
        }
    }

    @Test func hugeNumbersAreErrorsAndNoCrash() {
        let big = "4611686018427387904"
        for text in [
            "%y = attention(%x, %x, %x) {heads = \(big), kv_heads = \(big), head_size = 4, scale = 1, causal = true} : f32[batch, tokens, 4]",
            "%y = attention(%x, %x, %x) {heads = -1, kv_heads = 1, head_size = 4, scale = 1, causal = true} : f32[batch, tokens, 4]",
            "%y = attention(%x, %x, %x) {heads = 1, kv_heads = 0, head_size = 4, scale = 1, causal = true} : f32[batch, tokens, 4]",
            "%y = attention(%x, %x, %x) {heads = 1, kv_heads = 1, head_size = 4, scale = inf, causal = true} : f32[batch, tokens, 4]",
            "%y = rotary(%x, %w, %w) {head_size = -2, layout = half} : f32[batch, tokens, 4]",
            "%y = quantize(%x) {groups = 0} : q8[batch, tokens, 4]",
            "%y = quantize(%x) {groups = -\(big)} : q8[batch, tokens, 4]",
            "%y = l2_normalize(%x) {epsilon = nan} : f32[batch, tokens, 4]",
            "%y = embedding(%x, %w) {index_offset = \(big)} : f32[batch, tokens, 4]",
            "parameter %v: f32[99999999999999999999] stored(f32, 99999999999999999999)",
        ] {
            #expect(throws: GraphError.self, "\(text)") { try Graph(parsing: Self.header + text + "\n}\n") }
        }
    }
}
