import RuntimeTestSupport
import ShrinkFormat
import ShrinkRuntime
import Testing

/// Damaged programs are refused, or run inside their memory: weights, program and session lie before
/// unreadable pages, and whatever the session had before it was written would show.
@Suite struct HostileProgramTests {
    enum Outcome {
        case refused
        /// Accepted; some entry points may have become another kind, or shorter than the input.
        case ran(entryPoints: Int)
    }

    /// Makes the model and runs every entry point.
    func run(_ program: GuardedBytes, _ weights: GuardedBytes, kinds: [EntryRecord.Kind]) -> Outcome {
        var ran = 0
        let counting = CountingAllocator()
        do throws(RuntimeError) {
            let model = try Model(program: program.raw, weights: weights.raw, allocator: counting.allocator)
            for kind in kinds {
                var options = SessionOptions(kind: kind)
                options.context = 11
                options.chunk = 5
                options.maximumByteCount = 1 << 24
                do throws(RuntimeError) {
                    var session = try Session(model, options)
                    let tokens: [UInt32] = [1, 0, 3, 2, 1, 0, 0, 2, 3]
                    try tokens.withUnsafeBufferPointer { (tokens) throws(RuntimeError) in _ = try session.feed(tokens) }
                    ran += 1
                } catch {
                    // A damaged limit or kind; nothing else may go wrong once the program is accepted.
                    #expect([.invalidArgument, .limitExceeded].contains(error.code), "\(error)")
                }
            }
        } catch {
            #expect([.invalidArtifact, .unsupportedVersion].contains(error.code))
            return .refused
        }
        #expect(counting.live.isEmpty)
        return .ran(entryPoints: ran)
    }

    func flipEveryBit(of assembler: ProgramAssembler, kinds: [EntryRecord.Kind]) -> (ran: Int, refused: Int) {
        let program = GuardedBytes(assembler.encoded())
        let weights = GuardedBytes(assembler.weights)
        var counts = (ran: 0, refused: 0)
        for i in program.bytes.indices {
            for bit in 0..<8 {
                program.bytes[i] ^= 1 << UInt8(bit)
                switch run(program, weights, kinds: kinds) {
                case .ran(let entryPoints): counts.ran += entryPoints
                case .refused: counts.refused += 1
                }
                program.bytes[i] ^= 1 << UInt8(bit)
            }
        }
        return counts
    }

    @Test(arguments: [true, false]) func everyFlippedBitOfADecoderIsRefusedOrHarmless(isQuantized: Bool) {
        let counts = flipEveryBit(of: SmallDecoder(isQuantized: isQuantized).program(), kinds: [.generate, .score])
        #expect(counts.ran > 1_000 && counts.refused > 1_000, "\(counts)")
    }

    @Test func everyFlippedBitOfAnEncoderIsRefusedOrHarmless() {
        let counts = flipEveryBit(
            of: SmallEncoder(isQuantized: true).program(), kinds: [.embed, .classify, .tag, .encode])
        #expect(counts.ran > 1_000 && counts.refused > 1_000, "\(counts)")
    }

    @Test(arguments: [false, true]) func everyFlippedBitOfARecurrentModelIsRefusedOrHarmless(isBidirectional: Bool) {
        let counts = flipEveryBit(
            of: SmallRecurrent(isBidirectional ? .gru : .lstm, bidirectional: isBidirectional, quantized: !isBidirectional).program(),
            kinds: isBidirectional ? [.tag, .embed] : [.generate, .score])
        #expect(counts.ran > 1_000 && counts.refused > 1_000, "\(counts)")
    }

    /// Records put together from random valid numbers go deeper than single bits.
    @Test func shuffledRecordsAreRefusedOrHarmless() {
        var random = RandomValues(seed: 11)
        let original = SmallDecoder(isQuantized: true).program()
        let weights = GuardedBytes(original.weights)
        var ran = 0
        for _ in 0..<20_000 {
            var changed = original
            for _ in 0...random.below(3) {
                switch random.below(4) {
                case 0:
                    let i = random.below(changed.instructions.count)
                    changed.instructions[i].operands[random.below(8)] = UInt32(random.below(changed.tensors.count))
                case 1:
                    let (a, b) = (random.below(changed.tensors.count), random.below(changed.tensors.count))
                    changed.tensors[a].offset = changed.tensors[b].offset
                case 2:
                    let (a, b) = (random.below(changed.tensors.count), random.below(changed.tensors.count))
                    changed.tensors[a].columns = changed.tensors[b].columns
                    changed.tensors[a].groups = changed.tensors[b].groups
                default:
                    let (a, b) = (random.below(changed.instructions.count), random.below(changed.instructions.count))
                    changed.instructions.swapAt(a, b)
                }
            }
            if case .ran(let entryPoints) = run(GuardedBytes(changed.encoded()), weights, kinds: [.generate, .score]) {
                ran += entryPoints
            }
        }
        #expect(ran > 1_000, "\(ran)")
    }

    @Test func anyWeightsAreHarmless() {
        let assembler = SmallDecoder(isQuantized: true).program()
        let program = GuardedBytes(assembler.encoded())
        for byte in [UInt8(0xFF), 0x80, 0x7F, 0x00] {
            let weights = GuardedBytes([UInt8](repeating: byte, count: assembler.weights.count))
            guard case .ran(2) = run(program, weights, kinds: [.generate, .score]) else {
                Issue.record("refused")
                continue
            }
        }
        var random = RandomValues(seed: 5)
        for _ in 0..<20 {
            let weights = GuardedBytes(assembler.weights.map { _ in UInt8(random.below(256)) })
            guard case .ran(2) = run(program, weights, kinds: [.generate, .score]) else {
                Issue.record("refused")
                continue
            }
        }
    }
}
