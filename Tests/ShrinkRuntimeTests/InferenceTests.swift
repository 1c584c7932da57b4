import RuntimeTestSupport
import ShrinkFormat
import ShrinkRuntime
import Testing

/// The executor against formulas in double precision.
@Suite struct InferenceTests {
    /// Largest difference over the root mean square of the expected values.
    func relativeError(_ rows: [[UInt32]], _ expected: [[Double]]) -> Double {
        let values = expected.flatMap { $0 }
        let size = (values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot()
        return zip(rows.flatMap { $0 }, values).map { abs(Double(Float(bitPattern: $0)) - $1) }.max()! / size
    }

    /// Float: rounding only. Quantized: the reference quantizes alike, but a value at the edge of two
    /// codes may fall on the other side, which moves it by one of 255 steps.
    func bound(isQuantized: Bool) -> Double { isQuantized ? 0.03 : 2e-5 }

    @Test(arguments: [true, false], [RotaryKind.half, .pairs])
    func decoderLogitsOfEveryTokenMatchTheFormulas(isQuantized: Bool, rotary: RotaryKind) throws {
        let decoder = SmallDecoder(isQuantized: isQuantized, rotary: rotary)
        let loaded = try LoadedProgram(decoder.program())
        let input = tokens(33, below: decoder.vocabularySize)
        var session = try Session(loaded.model, options(.score, context: 48, chunk: 48))
        let rows = try session.rows(input)
        #expect(rows.count == 33)
        #expect(relativeError(rows, decoder.logits(input)) < bound(isQuantized: isQuantized))
    }

    @Test(arguments: [true, false]) func decoderLogitsOfTheLastTokenMatchTheFormulas(isQuantized: Bool) throws {
        let decoder = SmallDecoder(isQuantized: isQuantized)
        let loaded = try LoadedProgram(decoder.program())
        let input = tokens(20, below: decoder.vocabularySize, seed: 9)
        var session = try Session(loaded.model, options(.generate, context: 20, chunk: 8))
        let rows = try session.fed(input)
        #expect(rows.count == 1)
        #expect(relativeError(rows, [decoder.logits(input)[19]]) < bound(isQuantized: isQuantized))
    }

    @Test(arguments: [true, false], [EntryRecord.Kind.embed, .classify, .tag, .encode])
    func encoderOutputsMatchTheFormulas(isQuantized: Bool, kind: EntryRecord.Kind) throws {
        let encoder = SmallEncoder(isQuantized: isQuantized)
        let loaded = try LoadedProgram(encoder.program())
        var session = try Session(loaded.model, options(kind))
        for count in [1, 2, 17, 40] {
            let input = tokens(count, below: encoder.vocabularySize, seed: UInt64(count))
            let segments = tokens(count, below: 2, seed: UInt64(count + 1))
            let rows = try session.rows(input, segments: segments)
            let expected = encoder.output(kind, input, segments: segments)
            #expect(rows.count == expected.count)
            #expect(relativeError(rows, expected) < bound(isQuantized: isQuantized), "\(count) tokens")
        }
    }

    @Test func withoutSegmentsAllAreZero() throws {
        let encoder = SmallEncoder(isQuantized: true)
        let loaded = try LoadedProgram(encoder.program())
        var session = try Session(loaded.model, options(.encode))
        let input = tokens(9, below: encoder.vocabularySize)
        #expect(try session.rows(input) == session.rows(input, segments: [UInt32](repeating: 0, count: 9)))
    }
}
