import GoldenModels
import ShrinkGraph
import ShrinkPasses
import Testing

@testable import ShrinkPacking

/// What is for training only has no place in an artifact, and lowering says so.
@Suite struct TrainingGraphTests {
    func expectRefusal(_ graph: Graph, _ output: String, _ words: String, sourceLocation: SourceLocation = #_sourceLocation) {
        let error = #expect(throws: PackingError.self, sourceLocation: sourceLocation) {
            _ = try PackedModel(
                entryPoints: [.init(kind: .tag, graph: graph, output: output, maximumTokens: 8)], vocabularySize: 61, maximumPositions: 8,
                labels: (0..<5).map { "L\($0)" })
        }
        #expect(error?.code == .unsupported && error?.reason.contains(words) == true, "\(String(describing: error))", sourceLocation: sourceLocation)
    }

    @Test func gradientsAreRefused() throws {
        let graph = try GoldenModel.named("bert-tag").open().graph.extracting(outputs: ["token_labels"])
        var builder = GraphBuilder(extending: graph)
        let labels = try #require(graph.output(named: "token_labels"))
        try builder.output("back", try builder.add(.unaryGradient(UnaryGradient(.tanh)), [labels, labels]))
        expectRefusal(builder.graph, "token_labels", "unary_gradient: this operation is for training")
    }

    @Test func paddingIsRefused() throws {
        var graph = try GoldenModel.named("bert-tag").open().graph.extracting(outputs: ["token_labels"])
        _ = try PassManager([.padSequences]).run(on: &graph)
        expectRefusal(graph, "token_labels", "pads no sequences")
    }

    @Test func weightsByInputAndPackedAttentionAreRefusedWithThePassThatHelps() throws {
        let graph = try GoldenModel.named("gpt2").open().graph.extracting(outputs: ["logits"])
        expectRefusal(graph, "logits", "orient-weights")
        var turned = graph
        _ = try PassManager([.orientWeights]).run(on: &turned)
        expectRefusal(turned, "logits", "split-packed-attention")
    }
}
