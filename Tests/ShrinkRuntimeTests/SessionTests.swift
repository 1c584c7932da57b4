import RuntimeTestSupport
import ShrinkFormat
import ShrinkRuntime
import Testing

@Suite struct SessionTests {
    static let decoder = SmallDecoder(isQuantized: true)

    /// The code of the error that the body throws.
    func code(_ body: () throws -> Void) -> RuntimeError.Code? {
        do { try body() } catch { return (error as? RuntimeError)?.code }
        return nil
    }

    @Test func defaultsAreTheModelsContextAndSteps128Tokens() throws {
        let loaded = try LoadedProgram(SmallDecoder(isQuantized: true, shape: .wide).program())
        let session = try Session(loaded.model, SessionOptions(kind: .generate))
        #expect(session.context == 160)
        #expect(session.chunk == 128)
        #expect(session.instructionSet == .best)
        let short = try Session(loaded.model, options(.generate, context: 10))
        #expect(short.chunk == 10)
        let encoder = try LoadedProgram(SmallEncoder(isQuantized: true).program())
        #expect(try Session(encoder.model, SessionOptions(kind: .embed)).chunk == 40)
    }

    @Test func optionsOutOfRangeAreRefused() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        #expect(code { _ = try Session(loaded.model, options(.generate, context: 97)) } == .limitExceeded)
        #expect(code { _ = try Session(loaded.model, options(.generate, context: 0)) } == .limitExceeded)
        #expect(code { _ = try Session(loaded.model, options(.generate, chunk: 97)) } == .limitExceeded)
        #expect(code { _ = try Session(loaded.model, options(.generate, chunk: 0)) } == .limitExceeded)
        #expect(code { _ = try Session(loaded.model, options(.generate, context: .max)) } == .limitExceeded)
        #expect(code { _ = try Session(loaded.model, options(.generate, threads: 0)) } == .invalidArgument)
        #expect(code { _ = try Session(loaded.model, options(.generate, threads: 257)) } == .invalidArgument)
        #expect(code { _ = try Session(loaded.model, options(.embed)) } == .invalidArgument)
        for set in InstructionSet.allCases where set.status != .ready {
            #expect(code { _ = try Session(loaded.model, options(.generate, context: 8, set)) } == .unsupportedISA)
        }
    }

    @Test func whatIsRefusedChangesNothing() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        var session = try Session(loaded.model, options(.score, context: 20, chunk: 8))
        var undisturbed = try Session(loaded.model, options(.score, context: 20, chunk: 8))
        let input = tokens(20, below: 51)
        _ = try session.fed(Array(input[..<15]))
        _ = try undisturbed.fed(Array(input[..<15]))
        #expect(code { _ = try session.fed(tokens(6, below: 51)) } == .limitExceeded)
        #expect(code { _ = try session.rows(tokens(9, below: 51)) } == .limitExceeded)
        #expect(code { _ = try session.rows([]) } == .invalidArgument)
        #expect(code { _ = try session.rows([1, 51]) } == .invalidArgument)
        #expect(code { _ = try session.rows([.max]) } == .invalidArgument)
        #expect(code { _ = try session.rows([1, 2], segments: [0]) } == .invalidArgument)
        #expect(code { try session.truncate(to: 16) } == .invalidArgument)
        #expect(code { try session.truncate(to: -1) } == .invalidArgument)
        #expect(session.position == 15)
        #expect(try session.rows(Array(input[15...])) == undisturbed.rows(Array(input[15...])))
    }

    @Test func aWrongTokenIsNamedByItsIndex() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        var session = try Session(loaded.model, options(.score))
        let input: [UInt32] = [1, 2, 3, 1000]
        do throws(RuntimeError) {
            try input.withUnsafeBufferPointer { (input) throws(RuntimeError) in _ = try session.step(input) }
            Issue.record("accepted")
        } catch {
            #expect(error.detail == 3)
        }
    }

    @Test func segmentsThatTheTableLacksAreRefused() throws {
        let encoder = try LoadedProgram(SmallEncoder(isQuantized: true).program())
        var session = try Session(encoder.model, options(.embed))
        #expect(code { _ = try session.rows([1, 2], segments: [1, 2]) } == .invalidArgument)
        #expect(code { _ = try session.rows([1, 2], segments: [1, .max]) } == .invalidArgument)
        #expect(code { _ = try session.rows([1, 2], segments: [1, 1]) } == nil)
    }

    @Test func anInputLongerThanTheEncodersContextIsRefused() throws {
        let encoder = try LoadedProgram(SmallEncoder(isQuantized: true).program())
        var session = try Session(encoder.model, options(.embed, context: 7))
        #expect(code { _ = try session.rows(tokens(8, below: 37)) } == .limitExceeded)
        #expect(code { _ = try session.fed(tokens(8, below: 37)) } == .limitExceeded)
        #expect(code { _ = try session.rows(tokens(7, below: 37)) } == nil)
        #expect(session.position == 0)
    }

    @Test func truncateAndResetGoBackToWhatWasThere() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        var session = try Session(loaded.model, options(.score))
        let input = tokens(90, below: 51)
        let whole = try session.fed(input)
        for (kept, other) in [(12, 9), (50, 30)] {
            try session.truncate(to: kept)
            #expect(session.position == kept)
            _ = try session.rows(tokens(other, below: 51, seed: 8))
            try session.truncate(to: kept)
            #expect(try session.rows(Array(input[kept...])) == Array(whole[kept...]))
        }
        session.reset()
        #expect(session.position == 0)
        #expect(try session.rows(input) == whole)
    }

    @Test func aCancelledStepLeavesThePositionAndCanBeRepeated() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        let input = tokens(20, below: 51)
        var reference = try Session(loaded.model, options(.score, chunk: 20))
        let expected = try reference.rows(input)
        var flag: Int32 = 0
        try withUnsafeMutablePointer(to: &flag) { flag in
            var cancellable = options(.score, chunk: 10)
            cancellable.cancelFlag = UnsafePointer(flag)
            var session = try Session(loaded.model, cancellable)
            #expect(try session.rows(Array(input[..<10])) == Array(expected[..<10]))
            flag.pointee = 1
            #expect(code { _ = try session.rows(Array(input[10...])) } == .cancelled)
            #expect(code { _ = try session.fed(Array(input[10...])) } == .cancelled)
            #expect(session.position == 10)
            flag.pointee = 0
            #expect(try session.rows(Array(input[10...])) == Array(expected[10...]))
        }
    }

    /// Cancelled in the second of three steps, by the caller's own threads, which see every piece of work.
    @Test func aCancelledFeedForgetsTheStepsBefore() throws {
        struct Watch {
            var calls = 0
            var limit = Int.max
            var flag: Int32 = 0
        }
        let decoder = SmallDecoder(isQuantized: true, shape: .wide)
        let loaded = try LoadedProgram(decoder.program())
        let input = tokens(60, below: decoder.vocabularySize)
        var watch = Watch()
        try withUnsafeMutablePointer(to: &watch) { watch in
            var watched = options(.score, chunk: 20, threads: 2)
            watched.cancelFlag = UnsafePointer(watch.pointer(to: \.flag)!)
            watched.parallelFor = ParallelFor(context: watch) { context, count, work, workContext in
                let watch = context!.assumingMemoryBound(to: Watch.self)
                watch.pointee.calls += 1
                if watch.pointee.calls > watch.pointee.limit { watch.pointee.flag = 1 }
                for i in 0..<count { work?(workContext, i) }
            }
            var session = try Session(loaded.model, watched)
            _ = try session.rows(Array(input[..<20]))
            let callsOfAStep = watch.pointee.calls
            session.reset()
            watch.pointee.calls = 0
            watch.pointee.limit = callsOfAStep * 3 / 2
            #expect(code { _ = try session.fed(input) } == .cancelled)
            #expect(watch.pointee.calls > callsOfAStep)
            #expect(session.position == 0)
        }
    }

    @Test func sessionsOfOneModelDoNotDisturbEachOther() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        let inputs = (0..<3).map { tokens(12, below: 51, seed: UInt64($0 + 20)) }
        let expected = try inputs.map { input in
            var session = try Session(loaded.model, options(.score))
            return try session.rows(input)
        }
        var a = try Session(loaded.model, options(.score))
        var b = try Session(loaded.model, options(.score))
        var c = try Session(loaded.model, options(.score))
        var results: [[[UInt32]]] = [[], [], []]
        for t in 0..<12 {
            results[0] += try a.rows([inputs[0][t]])
            results[1] += try b.rows([inputs[1][t]])
            results[2] += try c.rows([inputs[2][t]])
        }
        #expect(results == expected)
    }
}
