import RuntimeTestSupport
import ShrinkFormat
import ShrinkRuntime
import Testing

extension Session {
    func saved() throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: savedByteCount) { buffer, count in
            count = try save(to: UnsafeMutableRawBufferPointer(buffer))
        }
    }

    mutating func restore(_ state: [UInt8]) throws(RuntimeError) {
        // A copy before an unreadable page: reading beyond the state ends the test.
        let copy = GuardedBytes(state)
        try restore(from: copy.raw)
    }
}

@Suite struct SavedStateTests {
    static let decoder = SmallDecoder(isQuantized: true)
    static let input = tokens(40, below: 51)

    func failure(_ state: [UInt8], _ session: inout Session) -> RuntimeError? {
        do throws(RuntimeError) {
            try session.restore(state)
            return nil
        } catch { return error }
    }

    /// The state of the first tokens of `input`.
    func state(_ model: borrowing Model, tokens count: Int) throws -> [UInt8] {
        var session = try Session(model, options(.generate))
        if count > 0 { _ = try session.fed(Array(Self.input[..<count])) }
        return try session.saved()
    }

    /// With the checksum that its bytes have now.
    func sealed(_ state: [UInt8]) -> [UInt8] {
        let rows = state.dropLast(SHA256.digestByteCount)
        let digest = Array(rows).withUnsafeBytes { SHA256.digest(of: $0) }
        return rows + digest.indices.map { digest[$0] }
    }

    @Test(arguments: [true, false]) func aRestoredSessionGoesOnWithTheSameBits(isQuantized: Bool) throws {
        let loaded = try LoadedProgram(SmallDecoder(isQuantized: isQuantized).program())
        var unbroken = try Session(loaded.model, options(.score, chunk: 1))
        let expected = try unbroken.rows(Self.input, stepsOf: 1)
        for count in [0, 1, 7, 39] {
            let state = try state(loaded.model, tokens: count)
            for set in readyInstructionSets {
                for (context, chunk, threads) in [(nil, nil, 1), (40, 3, 2), (96, 1, 3)] as [(Int?, Int?, Int)] {
                    var session = try Session(loaded.model, options(.score, context: context, chunk: chunk, threads: threads, set))
                    _ = try session.fed([5])
                    try session.restore(state)
                    #expect(session.position == count)
                    #expect(try session.rows(Array(Self.input[count...]), stepsOf: session.chunk) == Array(expected[count...]))
                }
            }
        }
    }

    @Test func savingAgainGivesTheSameBytes() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        let state = try state(loaded.model, tokens: 11)
        var session = try Session(loaded.model, options(.generate, context: 12))
        try session.restore(state)
        #expect(try session.saved() == state)
    }

    @Test func everyChangedByteIsRefusedAndLeavesAnEmptySession() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        let state = try state(loaded.model, tokens: 2)
        var session = try Session(loaded.model, options(.generate))
        for i in state.indices {
            _ = try session.fed([1])
            var damaged = state
            damaged[i] ^= 0x20
            #expect(failure(damaged, &session)?.code == .invalidState, "byte \(i)")
            #expect(session.position == 0)
        }
        for count in 0..<state.count {
            #expect(failure(Array(state[..<count]), &session)?.code == .invalidState, "\(count) bytes")
        }
        #expect(failure(state + [0], &session)?.code == .invalidState)
    }

    /// The checksum protects from damage only: whoever makes a state up makes the checksum too. Heads have 10 codes,
    /// 6 bytes of padding, then scale, zero point, sum and a reserved word.
    @Test func rowsThatNoKernelMakesAreRefusedInSpiteOfTheirChecksum() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        let state = try state(loaded.model, tokens: 2)
        let rows = SavedStateHeader.byteCount..<(state.count - SavedStateHeader.trailerByteCount)
        // Two layers, keys and values, two rows of two heads.
        #expect(rows.count == 2 * 2 * 2 * 2 * 32)
        var session = try Session(loaded.model, options(.score))
        for i in rows {
            var made = state
            made[i] ^= 0x40
            let place = (i - rows.lowerBound) % 32
            let isHarmless = (16..<20).contains(place) || place == 20
            let error = failure(sealed(made), &session)
            #expect(error?.code == (isHarmless ? nil : .invalidState), "byte \(i)")
            if error == nil { #expect(try session.fed([3]).count == 1) }
        }
    }

    @Test func aPositionThatLiesIsRefused() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        let state = try state(loaded.model, tokens: 3)
        var session = try Session(loaded.model, options(.generate))
        for position in [0, 2, 4, 97, 0x7FFF_FFFF, 0xFFFF_FFFF] as [UInt32] {
            var made = state
            for i in 0..<4 { made[12 + i] = UInt8(truncatingIfNeeded: position >> (8 * UInt32(i))) }
            #expect(failure(sealed(made), &session)?.code == .invalidState)
        }
    }

    @Test func moreTokensThanTheContextAreRefused() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        let state = try state(loaded.model, tokens: 9)
        var session = try Session(loaded.model, options(.generate, context: 8))
        let error = failure(state, &session)
        #expect(error?.code == .limitExceeded)
        #expect(error?.detail == 9)
    }

    @Test func theStateOfAnotherModelIsRefused() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        let other = try LoadedProgram(SmallDecoder(isQuantized: true, rotary: .pairs).program())
        var session = try Session(other.model, options(.generate))
        #expect(failure(try state(loaded.model, tokens: 3), &session)?.code == .invalidState)
    }

    @Test func kindsWithoutStateHaveNoneToSave() throws {
        let loaded = try LoadedProgram(SmallEncoder(isQuantized: true).program())
        var session = try Session(loaded.model, options(.embed))
        #expect(session.savedByteCount == 0)
        #expect(throws: RuntimeError.self) { _ = try session.saved() }
        #expect(failure([1, 2, 3], &session)?.code == .invalidArgument)
    }

    @Test func aBufferThatIsTooSmallIsNotWritten() throws {
        let loaded = try LoadedProgram(Self.decoder.program())
        var session = try Session(loaded.model, options(.generate))
        _ = try session.fed([1, 2])
        let need = session.savedByteCount
        let buffer = GuardedBytes([UInt8](repeating: 9, count: need - 1))
        do throws(RuntimeError) {
            _ = try session.save(to: buffer.bytes)
            Issue.record("saved")
        } catch {
            #expect(error.code == .limitExceeded)
            #expect(error.detail == need)
        }
        #expect(buffer.bytes.allSatisfy { $0 == 9 })
    }
}
