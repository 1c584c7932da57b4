import GoldenModels
import ShrinkPasses
import ShrinkRuntime
import Testing

import struct ShrinkFormat.EntryRecord

/// One list of models on every executor: the host, and the runtime through a file with each instruction set.
@Suite struct ArtifactConformance {
    @Test(arguments: GoldenModel.all) func theFloatArtifactEqualsTransformers(_ golden: GoldenModel) throws {
        let packed = try PackedGolden(golden, .fp32)
        let expected = try #require(golden.outputs[golden.mainOutput])
        let difference = largestDifference(try packed.run(packed.kinds[0]), expected)
        print("\(golden.name) fp32: largest difference to transformers \(difference)")
        #expect(difference <= 1e-4)
    }

    /// The host computes the same quantized graph with the same roundings to codes, but float sums in another
    /// order. As long as no code falls to the other side of a half, that is 1e-7 of the range (seen for all
    /// of these); the bound leaves room for one that does, which is 1/255 of the range of one row.
    @Test(arguments: GoldenModel.all) func theQuantizedArtifactIsWhatTheHostSays(_ golden: GoldenModel) throws {
        let packed = try PackedGolden(golden, .w8a8)
        let result = try packed.run(packed.kinds[0]), expected = try packed.runOnHost()
        #expect(result.count == expected.count)
        let error = zip(result, expected).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        let power = expected.reduce(0.0) { $0 + Double($1) * Double($1) }
        let range = (expected.max() ?? 0) - (expected.min() ?? 0)
        let largest = largestDifference(result, expected) / range
        print("\(golden.name) w8a8: relative error \((error / power).squareRoot()), largest \(largest) of the range")
        #expect((error / power).squareRoot() <= 2e-3)
        #expect(largest <= 1e-2)
    }

    @Test(arguments: GoldenModel.all, Scheme.allCases)
    func bitsAreEqualForEveryInstructionSetThreadsAndChunks(_ golden: GoldenModel, _ scheme: Scheme) throws {
        let packed = try PackedGolden(golden, scheme)
        let sets = InstructionSet.allCases.filter { $0.status == .ready }
        #expect(sets.contains(.scalar))
        for kind in packed.kinds {
            let reference = try packed.run(kind, isa: .scalar, threads: 1, chunk: golden.tokens.count).map(\.bitPattern)
            for isa in sets {
                for threads in 1...3 {
                    for chunk in kind.isIncremental ? [1, 7, 64, golden.tokens.count] : [64] {
                        let bits = try packed.run(kind, isa: isa, threads: threads, chunk: chunk).map(\.bitPattern)
                        #expect(bits == reference, "\(kind) \(isa), \(threads) threads, chunks of \(chunk)")
                    }
                }
            }
        }
    }

    @Test(arguments: GoldenModel.decoders, Scheme.allCases)
    func generateIsTheLastRowOfScore(_ golden: GoldenModel, _ scheme: Scheme) throws {
        let packed = try PackedGolden(golden, scheme)
        let last = try packed.run(.generate), all = try packed.run(.score)
        #expect(all.count == golden.tokens.count * last.count)
        #expect(last.map(\.bitPattern) == all.suffix(last.count).map(\.bitPattern))
    }
}
