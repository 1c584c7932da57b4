import RuntimeTestSupport
import ShrinkEvaluation
import ShrinkFormat
import Testing

/// Against sums over the sizes of the model of two layers that the program was made of.
@Suite struct WorkloadTests {
    func workload(_ decoder: SmallDecoder, _ kind: EntryRecord.Kind, tokens: Int, position: Int) throws -> Workload {
        try decoder.program().encoded().withUnsafeBytes { bytes in
            let view = try ProgramView(bytes)
            return Workload(view, try #require(view.entry(kind)), tokens: tokens, position: position)
        }
    }

    // Shape.wide: vocabulary 1000, width 256, 8 heads of 32, 4 of keys and values, hidden 600.
    let layerWeights = 256 * 256 + 2 * 128 * 256 + 256 * 256 + 3 * 600 * 256
    let head = 1000 * 256

    @Test(arguments: [(tokens: 1, position: 0), (1, 37), (20, 0), (20, 5)])
    func operationsAreTwoForEachProductOfLayersAndAttention(_ run: (tokens: Int, position: Int)) throws {
        let found = try workload(SmallDecoder(isQuantized: true, shape: .wide), .generate, tokens: run.tokens, position: run.position)
        let attended = (0..<run.tokens).reduce(0) { $0 + run.position + $1 + 1 }
        let products = run.tokens * 2 * layerWeights + head + 2 * (2 * 8 * 32 * attended)
        #expect(found.int8Operations == Double(2 * products))
    }

    @Test func everyTokenHasLogitsWhenScored() throws {
        let decoder = SmallDecoder(isQuantized: true, shape: .wide)
        let one = try workload(decoder, .generate, tokens: 9, position: 0), all = try workload(decoder, .score, tokens: 9, position: 0)
        #expect(all.int8Operations - one.int8Operations == Double(2 * 8 * head))
    }

    @Test(arguments: [(tokens: 1, position: 37), (20, 5)])
    func bytesAreWeightsOnceLookedUpRowsAndState(_ run: (tokens: Int, position: Int)) throws {
        let found = try workload(SmallDecoder(isQuantized: true, shape: .wide), .generate, tokens: run.tokens, position: run.position)
        // Channels in blocks of 32: 600 takes 608 and 1000 takes 1024. A scale and a sum of 4 bytes each for a channel.
        let layer = 256 * 256 + 2 * 128 * 256 + 256 * 256 + 2 * 608 * 256 + 256 * 600 + 8 * (256 + 2 * 128 + 256 + 2 * 600 + 256)
        let weights = 2 * layer + 1024 * 256 + 8 * 1000 + 5 * 256 * 4
        let state = 2 * 2 * (run.position + run.tokens) * 4 * (32 + 16)
        #expect(found.byteCount == Double(weights + run.tokens * 256 + state))
    }

    @Test func recurrentLayersMultiplyTheirStateAtEveryToken() throws {
        let small = SmallRecurrent(.lstm, quantized: true, vocabularySize: 64, width: 32)
        let found = try small.program().encoded().withUnsafeBytes { bytes in
            let view = try ProgramView(bytes)
            return Workload(view, try #require(view.entry(.score)), tokens: 9, position: 100)
        }
        // Embeddings of 29, four gates of 32, twice; the head.
        let products = 128 * 29 + 128 * 32 + 2 * 128 * 32 + 64 * 32
        #expect(found.int8Operations == Double(2 * 9 * products))
    }

    @Test func aFloatModelHasNoInt8Operations() throws {
        let found = try workload(SmallDecoder(isQuantized: false, shape: .wide), .generate, tokens: 4, position: 0)
        #expect(found.int8Operations == 0 && found.byteCount > 4 * Double(2 * layerWeights))
    }
}
