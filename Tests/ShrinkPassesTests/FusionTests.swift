import ShrinkGraph
import ShrinkPasses
import Testing

/// Text in, text out.
func run(_ pass: Pass, on text: String) throws -> (text: String, report: PassReport) {
    var graph = try Graph(parsing: text)
    let reports = try PassManager([pass]).run(on: &graph)
    return (graph.text, try #require(reports.first))
}

/// The lines of the nodes and outputs, without types, names of the graph, or indentation.
func body(_ text: String) -> [String] {
    text.split(separator: "\n").map { $0.drop { $0 == " " } }
        .filter { !$0.hasPrefix("graph") && !$0.hasPrefix("input") && !$0.hasPrefix("parameter") && $0 != "}" }
        .map { line in
            guard let end = line.range(of: " : ") else { return String(line) }
            return String(line[..<end.lowerBound])
        }
}

@Suite struct FusionTests {
    static let head = """
        graph "g" {
          input %x: f32[batch, tokens, 4]
          input %y: f32[batch, tokens, 4]
          parameter %w: f32[4, 4] stored(f32, 64)
          parameter %gain: f32[4] stored(f32, 16)
          parameter %offset: f32[4] stored(f32, 16)

        """

    func check(
        _ pass: Pass, _ lines: [String], gives expected: [String], refusing: [PassReport.Refusal] = [],
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let result = try run(pass, on: Self.head + lines.joined(separator: "\n") + "\n}\n")
        #expect(body(result.text) == expected, sourceLocation: sourceLocation)
        #expect(result.report.refusals.map(\.reason) == refusing, sourceLocation: sourceLocation)
    }

    let f = "f32[batch, tokens, 4]"

    // MARK: canonicalize

    @Test func equalNodesAreMergedThroughTheWholeGraph() throws {
        try check(
            .canonicalize,
            [
                "%a = linear(%x, %w) : \(f)", "%b = linear(%x, %w) : \(f)", "%c = unary(%a) {function = relu} : \(f)",
                "%d = unary(%b) {function = relu} : \(f)", "%e = binary(%c, %d) {function = add} : \(f)", "output \"e\" = %e",
            ],
            gives: ["%a = linear(%x, %w)", "%c = unary(%a) {function = relu}", "%e = binary(%c, %c) {function = add}", "output \"e\" = %e"])
    }

    @Test func nodesWithOtherAttributesOrInputsStay() throws {
        let lines = [
            "%a = unary(%x) {function = relu} : \(f)", "%b = unary(%x) {function = silu} : \(f)", "%c = unary(%y) {function = relu} : \(f)",
            "output \"a\" = %a", "output \"b\" = %b", "output \"c\" = %c",
        ]
        try check(.canonicalize, lines, gives: body(lines.joined(separator: "\n")))
    }

    @Test func unusedNodesAndParametersAreDropped() throws {
        let result = try run(
            .canonicalize,
            on: Self.head + "  %a = linear(%x, %w) : \(f)\n  %b = unary(%x) {function = relu} : \(f)\n  output \"b\" = %b\n}\n")
        #expect(body(result.text) == ["%b = unary(%x) {function = relu}", "output \"b\" = %b"])
        #expect(!result.text.contains("parameter"))
        #expect(result.report.rewrites == 1)
    }

    @Test func mergedOutputsKeepTheirNames() throws {
        try check(
            .canonicalize,
            ["%a = unary(%x) {function = relu} : \(f)", "%b = unary(%x) {function = relu} : \(f)", "output \"a\" = %a", "output \"b\" = %b"],
            gives: ["%a = unary(%x) {function = relu}", "output \"a\" = %a", "output \"b\" = %a"])
    }

    // MARK: fuse-residual-norm

    @Test func aSumThatOnlyANormReadsDisappears() throws {
        try check(
            .fuseResidualNorm,
            ["%s = binary(%x, %y) {function = add} : \(f)", "%n = layer_norm(%s, %gain, %offset) {epsilon = 0.5} : \(f)", "output \"n\" = %n"],
            gives: ["%v7 = layer_norm(%x, %gain, %offset, %y) {epsilon = 0.5}", "output \"n\" = %v7"])
    }

    @Test func aSumThatOthersReadIsKept() throws {
        try check(
            .fuseResidualNorm,
            [
                "%s = binary(%x, %y) {function = add} : \(f)", "%n = rms_norm(%s, %gain) {epsilon = 0.5} : \(f)",
                "%t = binary(%s, %n) {function = multiply} : \(f)", "output \"t\" = %t",
            ],
            gives: [
                "%v8, %v9 = rms_norm(%x, %gain, %y) {epsilon = 0.5, keeps_sum = true}", "%t = binary(%v9, %v8) {function = multiply}",
                "output \"t\" = %t",
            ])
    }

    @Test func aSumThatIsAnOutputIsKept() throws {
        try check(
            .fuseResidualNorm,
            [
                "%s = binary(%x, %y) {function = add} : \(f)", "%n = rms_norm(%s, %gain) {epsilon = 0.5} : \(f)", "output \"n\" = %n",
                "output \"s\" = %s",
            ],
            gives: ["%v7, %v8 = rms_norm(%x, %gain, %y) {epsilon = 0.5, keeps_sum = true}", "output \"n\" = %v7", "output \"s\" = %v8"])
    }

    @Test func onlyTheFirstOfTwoNormsOfASumTakesIt() throws {
        try check(
            .fuseResidualNorm,
            [
                "%s = binary(%x, %y) {function = add} : \(f)", "%n = rms_norm(%s, %gain) {epsilon = 0.5} : \(f)",
                "%m = rms_norm(%s, %offset) {epsilon = 0.5} : \(f)", "output \"n\" = %n", "output \"m\" = %m",
            ],
            gives: [
                "%v8, %v9 = rms_norm(%x, %gain, %y) {epsilon = 0.5, keeps_sum = true}", "%m = rms_norm(%v9, %offset) {epsilon = 0.5}",
                "output \"n\" = %v8", "output \"m\" = %m",
            ], refusing: [.otherReaders(1)])
    }

    @Test func normsOfOtherThingsAreRefusedWithTheReason() throws {
        try check(
            .fuseResidualNorm,
            [
                "%n = rms_norm(%x, %gain) {epsilon = 0.5} : \(f)", "%p = binary(%n, %y) {function = multiply} : \(f)",
                "%m = rms_norm(%p, %gain) {epsilon = 0.5} : \(f)", "output \"m\" = %m",
            ],
            gives: [
                "%n = rms_norm(%x, %gain) {epsilon = 0.5}", "%p = binary(%n, %y) {function = multiply}",
                "%m = rms_norm(%p, %gain) {epsilon = 0.5}", "output \"m\" = %m",
            ], refusing: [.notComputed, .producer("binary")])
    }

    @Test func aNormThatHasAResidualStays() throws {
        let lines = [
            "%s = binary(%x, %y) {function = add} : \(f)", "%n = rms_norm(%s, %gain, %y) {epsilon = 0.5} : \(f)", "output \"n\" = %n",
        ]
        try check(.fuseResidualNorm, lines, gives: body(lines.joined(separator: "\n")))
    }

    // MARK: fuse-gate

    @Test(arguments: ["%a, %y", "%y, %a"]) func siluTimesAnythingIsAGate(_ order: String) throws {
        try check(
            .fuseGate,
            ["%a = unary(%x) {function = silu} : \(f)", "%p = binary(\(order)) {function = multiply} : \(f)", "output \"p\" = %p"],
            gives: ["%v7 = gate(%x, %y) {function = silu}", "output \"p\" = %v7"])
    }

    @Test func otherActivationsAndReadersAreRefusedWithTheReason() throws {
        let relu = ["%a = unary(%x) {function = relu} : \(f)", "%p = binary(%a, %y) {function = multiply} : \(f)", "output \"p\" = %p"]
        try check(
            .fuseGate, relu, gives: body(relu.joined(separator: "\n")), refusing: [.unsupported("there is no gate for relu")])
        let shared = [
            "%a = unary(%x) {function = silu} : \(f)", "%p = binary(%a, %y) {function = multiply} : \(f)", "output \"p\" = %p",
            "output \"a\" = %a",
        ]
        try check(.fuseGate, shared, gives: body(shared.joined(separator: "\n")), refusing: [.otherReaders(1)])
        let square = ["%a = unary(%x) {function = silu} : \(f)", "%p = binary(%a, %a) {function = multiply} : \(f)", "output \"p\" = %p"]
        try check(.fuseGate, square, gives: body(square.joined(separator: "\n")), refusing: [.otherReaders(1)])
        let plain = ["%p = binary(%x, %y) {function = multiply} : \(f)", "output \"p\" = %p"]
        try check(.fuseGate, plain, gives: body(plain.joined(separator: "\n")), refusing: [.producer("neither factor")])
    }

    // MARK: quantize-w8a8 and fuse-quantize

    @Test func linearsGetQuantizedInputsAndWeightsOneQuantizeForAllReaders() throws {
        let result = try run(
            .quantizeW8A8,
            on: Self.head
                + "  %a = linear(%x, %w) : \(f)\n  %b = linear(%x, %w, %offset) : \(f)\n  %c = binary(%a, %b) {function = add} : \(f)\n  output \"c\" = %c\n}\n")
        #expect(body(result.text) == [
            "%v8 = quantize(%x)", "%a = linear(%v8, %w)", "%b = linear(%v8, %w, %offset)", "%c = binary(%a, %b) {function = add}",
            "output \"c\" = %c",
        ])
        #expect(result.text.contains("%w: f32[4, 4] stored(f32, 64) quantized(w8)"))
        #expect(result.text.contains("%offset: f32[4] stored(f32, 16)\n"), "biases stay")
        #expect(result.report.rewrites == 2)
        #expect(try run(.quantizeW8A8, on: result.text).text == result.text, "it does nothing a second time")
    }

    @Test func attentionIsQuantizedByHead() throws {
        let result = try run(
            .quantizeW8A8,
            on: """
                graph "g" {
                  input %q: f32[batch, tokens, 8]
                  input %k: f32[batch, tokens, 4]
                  input %v: f32[batch, tokens, 4]
                  %y = attention(%q, %k, %v) {heads = 4, kv_heads = 2, head_size = 2, scale = 1, causal = true} : f32[batch, tokens, 8]
                  output "y" = %y
                }
                """)
        #expect(body(result.text) == [
            "%v4 = quantize(%q) {groups = 4}", "%v5 = quantize(%k) {groups = 2}", "%v6 = quantize(%v) {groups = 2}",
            "%y = attention(%v4, %v5, %v6) {heads = 4, kv_heads = 2, head_size = 2, scale = 1.0, causal = true}", "output \"y\" = %y",
        ])
    }

    @Test func aWeightThatIsComputedCannotBeQuantized() throws {
        let text = """
            graph "g" {
              input %x: f32[batch, tokens, 4]
              input %w: f32[4, 4]
              %y = linear(%x, %w) : f32[batch, tokens, 4]
              output "y" = %y
            }
            """
        #expect(throws: GraphError.self) { try run(.quantizeW8A8, on: text) }
    }

    @Test func quantizingMovesIntoTheProducerThatKeepsItsFloats() throws {
        try check(
            .fuseQuantize,
            [
                "%n, %s = rms_norm(%x, %gain, %y) {epsilon = 0.5, keeps_sum = true} : \(f), \(f)",
                "%q = quantize(%n) : q8[batch, tokens, 4]", "%a = linear(%q, %w) : \(f)",
                "%b = binary(%a, %n) {function = add} : \(f)", "%c = binary(%b, %s) {function = add} : \(f)", "output \"c\" = %c",
            ],
            gives: [
                "%v11, %v12, %v13 = rms_norm(%x, %gain, %y) {epsilon = 0.5, keeps_sum = true, quantized = true}",
                "%a = linear(%v12, %w)", "%b = binary(%a, %v11) {function = add}", "%c = binary(%b, %v13) {function = add}",
                "output \"c\" = %c",
            ])
    }

    @Test func whatCannotQuantizeIsRefusedWithTheReason() throws {
        let lines = [
            "%a = quantize(%x) : q8[batch, tokens, 4]", "%b = linear(%a, %w) : \(f)", "%c = quantize(%b) : q8[batch, tokens, 4]",
            "%d = linear(%c, %w) : \(f)", "%e = unary(%d) {function = relu} : \(f)",
            "%g = quantize(%e) {groups = 2} : q8[batch, tokens, 4]",
            "%h = attention(%g, %g, %g) {heads = 2, kv_heads = 2, head_size = 2, scale = 1, causal = false} : \(f)", "output \"h\" = %h",
        ]
        try check(
            .fuseQuantize, lines, gives: body(lines.joined(separator: "\n").replacing("scale = 1,", with: "scale = 1.0,")),
            refusing: [.notComputed, .producer("linear"), .unsupported("it quantizes by head")])
    }

    @Test func theSumOfANormIsNotItsQuantizedResult() throws {
        let lines = [
            "%n, %s = rms_norm(%x, %gain, %y) {epsilon = 0.5, keeps_sum = true} : \(f), \(f)", "%q = quantize(%s) : q8[batch, tokens, 4]",
            "%a = linear(%q, %w) : \(f)", "%b = binary(%a, %n) {function = add} : \(f)", "output \"b\" = %b",
        ]
        try check(.fuseQuantize, lines, gives: body(lines.joined(separator: "\n")), refusing: [.producer("rms_norm")])
    }

    @Test func aProducerThatQuantizesAlreadyIsLeftAlone() throws {
        let lines = [
            "%n, %p, %s = rms_norm(%x, %gain, %y) {epsilon = 0.5, keeps_sum = true, quantized = true} : \(f), q8[batch, tokens, 4], \(f)",
            "%q = quantize(%n) : q8[batch, tokens, 4]", "%a = linear(%q, %w) : \(f)", "%b = linear(%p, %w) : \(f)",
            "%c = binary(%a, %b) {function = add} : \(f)", "%d = binary(%c, %s) {function = add} : \(f)", "output \"d\" = %d",
        ]
        try check(
            .fuseQuantize, lines, gives: body(lines.joined(separator: "\n")),
            refusing: [.unsupported("rms_norm quantizes its result already")])
    }

    // MARK: last-token-only

    @Test func theSelectionRisesUpToAttention() throws {
        try check(
            .lastTokenOnly(output: "y"),
            [
                "%a = attention(%x, %y, %y) {heads = 2, kv_heads = 2, head_size = 2, scale = 1, causal = true} : \(f)",
                "%b = linear(%a, %w) : \(f)", "%c = binary(%b, %x) {function = add} : \(f)",
                "%n = rms_norm(%c, %gain) {epsilon = 0.5} : \(f)", "%d = linear(%n, %w) : \(f)",
                "%e = binary(%d, %c) {function = add} : \(f)", "output \"y\" = %e",
            ],
            gives: [
                "attention(%x, %y, %y)", "select_token(%a)", "linear", "select_token(%x)", "add", "rms_norm", "linear", "add", "output",
            ], comparing: { line, expected in line.contains(expected) })
    }

    @Test func whatOthersReadIsComputedForAllTokens() throws {
        let lines = ["%a = linear(%x, %w) : \(f)", "output \"all\" = %a", "output \"y\" = %a"]
        let result = try run(.lastTokenOnly(output: "y"), on: Self.head + lines.joined(separator: "\n") + "\n}\n")
        #expect(body(result.text).map { $0.contains("select_token") } == [false, true, false, false])
        #expect(result.report.rewrites == 0)
    }

    @Test func theSelectionStopsAtQuantizedInputs() throws {
        let result = try run(
            .lastTokenOnly(output: "y"),
            on: Self.head + "  %q = quantize(%x) : q8[batch, tokens, 4]\n  %a = linear(%q, %w) : \(f)\n  output \"y\" = %a\n}\n")
        #expect(body(result.text)[2].hasSuffix("select_token(%a) {position = last}"))
    }

    @Test func anUnknownOutputIsAnError() throws {
        #expect(throws: GraphError.self) { try run(.lastTokenOnly(output: "none"), on: Self.head + "  output \"x\" = %x\n}\n") }
    }

    private func check(
        _ pass: Pass, _ lines: [String], gives expected: [String], comparing: (String, String) -> Bool,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let result = body(try run(pass, on: Self.head + lines.joined(separator: "\n") + "\n}\n").text)
        #expect(
            result.count == expected.count && zip(result, expected).allSatisfy(comparing), "\(result.joined(separator: "\n"))",
            sourceLocation: sourceLocation)
    }
}
