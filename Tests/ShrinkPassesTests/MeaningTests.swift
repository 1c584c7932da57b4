import GoldenModels
import ShrinkCompute
import ShrinkGraph
import ShrinkPasses
import Testing

/// Passes change how a model computes, not what.
@Suite struct MeaningTests {
    func output(_ graph: Graph, _ golden: GoldenModel) throws -> HostTensor {
        try #require(try HostExecutor(graph).run(tokens: golden.tokens, segments: golden.segments)[golden.mainOutput])
    }

    @Test(arguments: GoldenModel.all + GoldenModel.recurrent) func fusionKeepsEveryOutput(_ golden: GoldenModel) throws {
        let graph = try golden.open().graph
        var fused = graph
        let reports = try PassManager.compile(.fp32).run(on: &fused)
        #expect(reports.map(\.rewrites).reduce(0, +) > 0 || GoldenModel.recurrent.contains { $0.name == golden.name }, "a recurrent model has nothing to fuse")
        let before = try HostExecutor(graph).run(tokens: golden.tokens, segments: golden.segments)
        let after = try HostExecutor(fused).run(tokens: golden.tokens, segments: golden.segments)
        for name in golden.outputs.keys {
            #expect(largestDifference(try #require(before[name]).floats, try #require(after[name]).floats) <= 1e-5, "\(name)")
        }
    }

    @Test(arguments: GoldenModel.decoders) func theLastTokenAloneIsTheLastRow(_ golden: GoldenModel) throws {
        let graph = try golden.open().graph.extracting(outputs: ["logits"])
        var last = graph
        _ = try PassManager([.lastTokenOnly(output: "logits")]).run(on: &last)
        let all = try output(graph, golden), one = try output(last, golden)
        #expect(one.rowCount == 1)
        #expect(largestDifference(one.floats, all.floats.suffix(one.width)) <= 1e-5, "another shape of product has another order of sums")
        // Per layer but the last nothing changes; of the last, the feed-forward block and what follows is one row. Behind a
        // recurrent layer that is the selection and the head.
        let rows = last.order.filter { last[last[$0].results[0]].type.shape.count == 2 }.count
        #expect(GoldenModel.recurrent.contains { $0.name == golden.name } ? rows == 2 : rows >= 8)
    }

    /// Fusing quantization into producers moves the same rounding elsewhere: not one bit may differ.
    @Test(arguments: GoldenModel.all) func fusedQuantizationIsTheSameQuantization(_ golden: GoldenModel) throws {
        let graph = try golden.open().graph.extracting(outputs: [golden.mainOutput])
        var apart = graph, fused = graph
        _ = try PassManager([.canonicalize, .splitPackedAttention, .orientWeights, .fuseResidualNorm, .fuseGate, .quantizeW8A8]).run(on: &apart)
        _ = try PassManager.compile(.w8a8).run(on: &fused)
        // A mean of one recurrent layer's states leaves nothing to fuse.
        #expect(golden.name == "rnn-encoder" ? fused.order.count == apart.order.count : fused.order.count < apart.order.count)
        #expect(largestDifference(try output(apart, golden).floats, try output(fused, golden).floats) == 0)
    }

    /// With 8 bits, the root-mean-square error stays below 5 % of the root-mean-square of the output. The
    /// models are random and narrow, the worst case: an error of 1/255 of a row's range per step, some
    /// ten steps, averaged over a few dozen channels only.
    @Test(arguments: GoldenModel.all + GoldenModel.recurrent) func eightBitsStayCloseToFloats(_ golden: GoldenModel) throws {
        let expected = try #require(golden.outputs[golden.mainOutput])
        var graph = try golden.open().graph.extracting(outputs: [golden.mainOutput])
        _ = try PassManager.compile(.w8a8).run(on: &graph)
        let result = try output(graph, golden)
        let error = zip(result.floats, expected).reduce(0.0) { $0 + Double(($1.0 - $1.1) * ($1.0 - $1.1)) }
        let power = expected.reduce(0.0) { $0 + Double($1 * $1) }
        let relative = (error / power).squareRoot()
        print("\(golden.name): relative error of w8a8 \(relative)")
        #expect(relative > 1e-5, "it is not quantized")
        #expect(relative < 0.05)
    }
}
