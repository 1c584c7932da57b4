import CShrinkKernels
import RuntimeTestSupport
import ShrinkFormat
import ShrinkRuntime
import Testing

/// The numeric contract: the same bits for every instruction set, number of threads and split.
@Suite struct BitEqualityTests {
    struct Way: Sendable, CustomTestStringConvertible {
        let instructionSet: InstructionSet
        let threads: Int
        var testDescription: String { "\(instructionSet) × \(threads)" }
    }

    static let ways = readyInstructionSets.flatMap { set in [1, 2, 3].map { Way(instructionSet: set, threads: $0) } }

    @Test(arguments: ways, [true, false])
    func decoderGivesTheSameBitsEveryWay(way: Way, isQuantized: Bool) throws {
        let decoder = SmallDecoder(isQuantized: isQuantized)
        let loaded = try LoadedProgram(decoder.program())
        let input = tokens(96, below: decoder.vocabularySize)
        var reference = try Session(loaded.model, options(.score, chunk: 96, threads: 1, .scalar))
        let expected = try reference.rows(input)
        for size in [1, 7, 64, 96] {
            var score = try Session(loaded.model, options(.score, chunk: size, threads: way.threads, way.instructionSet))
            #expect(try score.rows(input, stepsOf: size) == expected, "score in steps of \(size)")
            var generate = try Session(loaded.model, options(.generate, chunk: size, threads: way.threads, way.instructionSet))
            #expect(try generate.fed(input) == [expected[95]], "generate in steps of \(size)")
        }
    }

    @Test(arguments: ways, [true, false])
    func encoderGivesTheSameBitsEveryWay(way: Way, isQuantized: Bool) throws {
        let encoder = SmallEncoder(isQuantized: isQuantized)
        let loaded = try LoadedProgram(encoder.program())
        let input = tokens(39, below: encoder.vocabularySize)
        for kind in [EntryRecord.Kind.embed, .classify, .tag, .encode] {
            var reference = try Session(loaded.model, options(kind, threads: 1, .scalar))
            var session = try Session(loaded.model, options(kind, context: 39, threads: way.threads, way.instructionSet))
            #expect(try session.rows(input) == reference.rows(input), "\(kind)")
        }
    }

    /// Large enough for every operation to be split over the threads, in both ways that attention is.
    @Test(arguments: ways) func aWideModelGivesTheSameBitsEveryWay(way: Way) throws {
        let decoder = SmallDecoder(isQuantized: true, shape: .wide)
        let loaded = try LoadedProgram(decoder.program())
        let input = tokens(150, below: decoder.vocabularySize)
        var reference = try Session(loaded.model, options(.score, chunk: 150, threads: 1, .best))
        let expected = try reference.rows(input)
        for size in [1, 3, 150] {
            var session = try Session(loaded.model, options(.score, chunk: size, threads: way.threads, way.instructionSet))
            #expect(try session.rows(input, stepsOf: size) == expected, "steps of \(size)")
        }
    }

    /// Runs the shares last to first, on the calling thread: of few tokens their channels, of many the tokens. A
    /// share that needs what a later one has still to compute gives other bits.
    @Test(arguments: [20, 75]) func theCallersOwnThreadsGiveTheSameBits(count: Int) throws {
        let decoder = SmallDecoder(isQuantized: true, shape: .wide)
        let loaded = try LoadedProgram(decoder.program())
        let input = tokens(count, below: decoder.vocabularySize)
        var reference = try Session(loaded.model, options(.score, chunk: count))
        var ownOptions = options(.score, chunk: count, threads: 4)
        var calls = 0
        let own = try withUnsafeMutablePointer(to: &calls) { calls in
            ownOptions.parallelFor = ParallelFor(context: calls) { context, count, work, workContext in
                context?.assumingMemoryBound(to: Int.self).pointee += 1
                for i in (0..<count).reversed() { work?(workContext, i) }
            }
            var session = try Session(loaded.model, ownOptions)
            return try session.rows(input)
        }
        #expect(own == (try reference.rows(input)))
        #expect(calls > 0)
    }
}
