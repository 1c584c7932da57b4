import RuntimeTestSupport
import ShrinkFormat
import ShrinkRuntime
import Testing

/// Recurrent layers: against formulas, the same bits every way, and what a session carries from token to token.
@Suite struct RecurrentTests {
    static let cells: [RecurrentCell] = [.tanh, .gru, .lstm]

    func relativeError(_ rows: [[UInt32]], _ expected: [[Double]]) -> Double {
        InferenceTests().relativeError(rows, expected)
    }

    func code(_ body: () throws -> Void) -> RuntimeError.Code? {
        do {
            try body()
            return nil
        } catch { return (error as? RuntimeError)?.code }
    }

    /// With 8 bits for h, one value at the edge of two codes that falls on the other side moves all that follow. For
    /// so few tokens none does, so that quantized models are as near to their formulas as the others.
    static let quantizedLengths = [1, 2, 5, 12]
    static let floatLengths = [33, 1, 2, 64]

    @Test(arguments: cells, [true, false]) func aLanguageModelMatchesTheFormulas(cell: RecurrentCell, isQuantized: Bool) throws {
        let small = SmallRecurrent(cell, quantized: isQuantized)
        let loaded = try LoadedProgram(small.program())
        for count in isQuantized ? Self.quantizedLengths : Self.floatLengths {
            let input = tokens(count, below: small.vocabularySize, seed: UInt64(count))
            let expected = small.logits(input)
            var session = try Session(loaded.model, options(.score))
            #expect(relativeError(try session.rows(input), expected) < 2e-5)
            var generate = try Session(loaded.model, options(.generate))
            #expect(relativeError(try generate.fed(input), [expected[count - 1]]) < 2e-5)
        }
    }

    /// Sequences of other lengths one after the other: nothing is left of the one before.
    @Test(arguments: cells, [true, false]) func aTaggerMatchesTheFormulas(cell: RecurrentCell, isQuantized: Bool) throws {
        let small = SmallRecurrent(cell, bidirectional: true, quantized: isQuantized)
        let loaded = try LoadedProgram(small.program())
        var session = try Session(loaded.model, options(.tag))
        for count in isQuantized ? Self.quantizedLengths : Self.floatLengths {
            let input = tokens(count, below: small.vocabularySize, seed: UInt64(count))
            #expect(relativeError(try session.rows(input), small.logits(input)) < 2e-5, "\(count) tokens")
        }
    }

    @Test(arguments: BitEqualityTests.ways, [true, false])
    func aLanguageModelGivesTheSameBitsEveryWay(way: BitEqualityTests.Way, isQuantized: Bool) throws {
        for cell in Self.cells {
            let small = SmallRecurrent(cell, quantized: isQuantized)
            let loaded = try LoadedProgram(small.program())
            let input = tokens(100, below: small.vocabularySize)
            var reference = try Session(loaded.model, options(.score, chunk: 100, .scalar))
            let expected = try reference.rows(input)
            for size in [1, 7, 64, 100] {
                var score = try Session(loaded.model, options(.score, chunk: size, threads: way.threads, way.instructionSet))
                #expect(try score.rows(input, stepsOf: size) == expected, "\(cell): score in steps of \(size)")
                var generate = try Session(loaded.model, options(.generate, chunk: size, threads: way.threads, way.instructionSet))
                #expect(try generate.fed(input) == [expected[99]], "\(cell): generate in steps of \(size)")
            }
        }
    }

    @Test(arguments: BitEqualityTests.ways, [true, false])
    func aTaggerGivesTheSameBitsEveryWay(way: BitEqualityTests.Way, isQuantized: Bool) throws {
        for cell in Self.cells {
            let small = SmallRecurrent(cell, bidirectional: true, quantized: isQuantized)
            let loaded = try LoadedProgram(small.program())
            let input = tokens(50, below: small.vocabularySize)
            for kind in [EntryRecord.Kind.tag, .embed] {
                var reference = try Session(loaded.model, options(kind, .scalar))
                var session = try Session(loaded.model, options(kind, context: 50, threads: way.threads, way.instructionSet))
                #expect(try session.rows(input) == reference.rows(input), "\(cell): \(kind)")
            }
        }
    }

    /// Wide enough for the product with h to be shared out over threads at every token.
    @Test(arguments: BitEqualityTests.ways) func aWideLayerGivesTheSameBitsEveryWay(way: BitEqualityTests.Way) throws {
        let small = SmallRecurrent(.lstm, quantized: true, width: 320)
        let loaded = try LoadedProgram(small.program())
        let input = tokens(40, below: small.vocabularySize)
        var reference = try Session(loaded.model, options(.score, .best))
        let expected = try reference.rows(input)
        for size in [1, 40] {
            var session = try Session(loaded.model, options(.score, chunk: size, threads: way.threads, way.instructionSet))
            #expect(try session.rows(input, stepsOf: size) == expected, "steps of \(size)")
        }
    }

    @Test func theMemoryOfASessionDoesNotDependOnTheContext() throws {
        let loaded = try LoadedProgram(SmallRecurrent(.gru, quantized: true).program())
        let unlimited = try Session(loaded.model, options(.generate, chunk: 8))
        #expect(unlimited.context == Int.max)
        let short = try Session(loaded.model, options(.generate, context: 10, chunk: 8))
        #expect(short.context == 10)
        #expect(unlimited.byteCount == short.byteCount)
    }

    @Test func moreTokensThanAnAskedForContextAreRefused() throws {
        let loaded = try LoadedProgram(SmallRecurrent(.gru, quantized: true).program())
        var session = try Session(loaded.model, options(.generate, context: 5))
        #expect(code { _ = try session.fed([1, 2, 3, 4, 5, 6]) } == .limitExceeded)
    }

    @Test(arguments: cells) func resetForgetsWhatWasCarried(cell: RecurrentCell) throws {
        let small = SmallRecurrent(cell, quantized: true)
        let loaded = try LoadedProgram(small.program())
        let input = tokens(9, below: small.vocabularySize)
        var session = try Session(loaded.model, options(.score))
        let first = try session.rows(input)
        #expect(try session.rows(input) != first)
        session.reset()
        #expect(try session.rows(input) == first)
        try session.truncate(to: 0)
        #expect(try session.rows(input) == first)
    }

    @Test func tokensCannotBeForgottenOneByOne() throws {
        let loaded = try LoadedProgram(SmallRecurrent(.lstm, quantized: true).program())
        var session = try Session(loaded.model, options(.score))
        let canTruncate = session.canTruncate
        #expect(!canTruncate)
        _ = try session.rows([1, 2, 3])
        #expect(code { try session.truncate(to: 2) } == .invalidArgument)
        #expect(session.position == 3)
        try session.truncate(to: 3)
        #expect(session.position == 3)
    }

    /// The work itself asks for the end at its n-th piece, somewhere inside of the feed.
    @Test(arguments: [1, 5, 12]) func aFeedThatIsCancelledLeavesWhatWasCarried(when: Int32) throws {
        let small = SmallRecurrent(.lstm, quantized: true, width: 320)
        let loaded = try LoadedProgram(small.program())
        let input = tokens(30, below: small.vocabularySize)
        var reference = try Session(loaded.model, options(.score, chunk: 4))
        let expected = try reference.rows(input, stepsOf: 4)
        // Pieces that are left, and the flag.
        let counts = UnsafeMutablePointer<Int32>.allocate(capacity: 2)
        defer { counts.deallocate() }
        counts[0] = 0
        counts[1] = 0
        var own = options(.score, chunk: 4, threads: 2)
        own.cancelFlag = UnsafePointer(counts + 1)
        own.parallelFor = ParallelFor(context: counts) { context, shares, work, workContext in
            for i in 0..<shares { work?(workContext, i) }
            guard let counts = context?.assumingMemoryBound(to: Int32.self) else { return }
            counts[0] -= 1
            if counts[0] == 0 { counts[1] = 1 }
        }
        var session = try Session(loaded.model, own)
        _ = try session.rows(Array(input[..<4]))
        let saved = try session.saved()
        counts[0] = when
        #expect(code { _ = try session.fed(Array(input[4...])) } == .cancelled)
        #expect(session.position == 4)
        #expect(try session.saved() == saved)
        counts[1] = 0
        #expect(try session.rows(Array(input[4...]), stepsOf: 4) == Array(expected[4...]))
    }

    @Test(arguments: cells, [true, false]) func aRestoredSessionGoesOnWithTheSameBits(cell: RecurrentCell, isQuantized: Bool) throws {
        let small = SmallRecurrent(cell, quantized: isQuantized)
        let loaded = try LoadedProgram(small.program())
        let input = tokens(40, below: small.vocabularySize)
        var unbroken = try Session(loaded.model, options(.score))
        let expected = try unbroken.rows(input)
        for count in [0, 1, 17] {
            var first = try Session(loaded.model, options(.generate))
            if count > 0 { _ = try first.fed(Array(input[..<count])) }
            let state = try first.saved()
            for set in readyInstructionSets {
                var session = try Session(loaded.model, options(.score, context: 50, chunk: 9, threads: 2, set))
                _ = try session.fed([5])
                try session.restore(state)
                #expect(session.position == count)
                #expect(try session.saved() == state)
                #expect(try session.rows(Array(input[count...]), stepsOf: 9) == Array(expected[count...]))
            }
        }
    }

    @Test func aStateThatIsRefusedLeavesNothingCarried() throws {
        let small = SmallRecurrent(.lstm, quantized: false)
        let loaded = try LoadedProgram(small.program())
        var session = try Session(loaded.model, options(.score))
        let first = try session.rows([7, 8])
        var damaged = try session.saved()
        // Two layers of two rows of 37 floats, padded to 160 bytes, whatever the tokens.
        #expect(damaged.count == SavedStateHeader.byteCount + SavedStateHeader.trailerByteCount + 2 * 2 * 160)
        damaged[60] ^= 1
        #expect(code { try session.restore(damaged) } == .invalidState)
        #expect(session.position == 0)
        #expect(try session.rows([7, 8]) == first)
    }

    // MARK: Programs that are refused

    /// The instruction of the recurrent layer, which the change spoils.
    func refusal(_ small: SmallRecurrent, _ change: (inout ProgramAssembler, Int) -> Void) -> RuntimeError.Code? {
        var program = small.program()
        guard let index = program.instructions.firstIndex(where: { $0.opcode == .recurrent }) else { return nil }
        change(&program, index)
        return code { _ = try LoadedProgram(program) }
    }

    @Test func programsThatWouldDependOnStepsOrLeaveTheirMemoryAreRefused() throws {
        let forward = SmallRecurrent(.lstm, quantized: true), both = SmallRecurrent(.gru, bidirectional: true, quantized: true)
        #expect(refusal(forward) { _, _ in } == nil)
        #expect(refusal(both) { _, _ in } == nil)
        // A reversed layer in steps, and flags and cells that do not exist.
        #expect(refusal(forward) { $0.instructions[$1].integers[1] = 1 } == .invalidArtifact)
        #expect(refusal(both) { $0.instructions[$1].integers[1] = 2 } == .invalidArtifact)
        #expect(refusal(forward) { $0.instructions[$1].integers[0] = 3 } == .invalidArtifact)
        // Of other widths, without c, without scales, without outputs.
        #expect(refusal(forward) { $0.instructions[$1].integers[0] = 1 } == .invalidArtifact)
        #expect(refusal(forward) { $0.tensors[Int($0.instructions[$1].operands[5])].rows = 1 } == .invalidArtifact)
        #expect(refusal(forward) { $0.tensors[Int($0.instructions[$1].operands[5])].columns += 1 } == .invalidArtifact)
        #expect(refusal(forward) { $0.instructions[$1].operands[2] = InstructionRecord.absent } == .invalidArtifact)
        #expect(refusal(forward) { $0.instructions[$1].operands[7] = InstructionRecord.absent } == .invalidArtifact)
        // What is carried where it is not kept, outside of the carry, or by two layers.
        #expect(refusal(forward) { $0.tensors[Int($0.instructions[$1].operands[5])].storage = .fixed } == .invalidArtifact)
        #expect(refusal(both) { $0.tensors[Int($0.instructions[$1].operands[5])].storage = .carry } == .invalidArtifact)
        #expect(refusal(forward) { program, _ in program.header.carryByteCount -= 16 } == .invalidArtifact)
        #expect(refusal(forward) { program, first in
            let second = program.instructions.indices.first { $0 > first && program.instructions[$0].opcode == .recurrent }!
            program.instructions[second].operands[5] = program.instructions[first].operands[5]
        } == .invalidArtifact)
    }

    @Test func withoutALastPositionNothingMayDependOnOne() throws {
        var decoder = SmallDecoder(isQuantized: false).program()
        decoder.header.maximumPositions = 0
        #expect(code { _ = try LoadedProgram(decoder) } == .invalidArtifact)

        var program = SmallRecurrent(.tanh, quantized: false).program()
        program.instructions[0].integers[0] = EmbedIndex.positions.rawValue
        #expect(code { _ = try LoadedProgram(program) } == .invalidArtifact)
        program.header.maximumPositions = 41
        program.entries = program.entries.map { entry in
            var entry = entry
            entry.maximumTokens = 41
            return entry
        }
        #expect(code { _ = try LoadedProgram(program) } == nil)
    }
}
