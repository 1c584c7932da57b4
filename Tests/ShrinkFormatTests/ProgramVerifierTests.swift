import RuntimeTestSupport
import ShrinkFormat
import Testing

@Suite struct ProgramVerifierTests {
    static func error(_ program: [UInt8], weights: Int) -> RuntimeError? {
        program.withUnsafeBytes { bytes in
            do throws(RuntimeError) {
                let view = try ProgramView(bytes)
                let scratch = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: ProgramVerifier.scratchByteCount(view), alignment: 64)
                defer { scratch.deallocate() }
                try ProgramVerifier.verify(view, weightByteCount: weights, scratch: scratch)
                return nil
            } catch {
                return error
            }
        }
    }

    static func error(_ program: ProgramAssembler) -> RuntimeError? {
        error(program.encoded(), weights: program.weights.count)
    }

    @Test(arguments: [true, false]) func acceptsTheSmallModels(isQuantized: Bool) {
        #expect(Self.error(SmallDecoder(isQuantized: isQuantized).program()) == nil)
        #expect(Self.error(SmallEncoder(isQuantized: isQuantized).program()) == nil)
    }

    @Test func everyTruncationIsRefused() {
        let program = SmallEncoder(isQuantized: true).program()
        let bytes = program.encoded()
        for count in 0..<bytes.count {
            #expect(Self.error(Array(bytes[..<count]), weights: program.weights.count) != nil, "\(count) bytes")
        }
        #expect(Self.error(bytes + [0], weights: program.weights.count) != nil)
    }

    @Test func everyBitOfTheHeaderMatters() {
        let program = SmallEncoder(isQuantized: true).program()
        // A smaller vocabulary or fewer positions than the tables have rows for are other valid programs.
        let free = Set(36..<44)
        for i in 0..<ProgramHeader.byteCount where !free.contains(i) {
            for bit in 0..<8 {
                var bytes = program.encoded()
                bytes[i] ^= 1 << UInt8(bit)
                let isMoreState = (56..<72).contains(i)
                #expect(isMoreState || Self.error(bytes, weights: program.weights.count) != nil, "byte \(i) bit \(bit)")
            }
        }
    }

    @Test func anotherVersionIsNamed() {
        let program = SmallEncoder(isQuantized: true).program()
        var bytes = program.encoded()
        bytes[8] = 3
        let error = Self.error(bytes, weights: program.weights.count)
        #expect(error?.code == .unsupportedVersion)
        #expect(error?.detail == 3 << 16 | Int(Program.minorVersion))
    }

    @Test func weightsOfAnotherSizeAreRefused() {
        let program = SmallEncoder(isQuantized: true).program()
        for difference in [-64, -1, 1, 64] {
            #expect(Self.error(program.encoded(), weights: program.weights.count + difference) != nil)
        }
    }

    // MARK: Changes of one thing

    struct Change: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let message: String
        let apply: @Sendable (inout ProgramAssembler) -> Void

        init(_ name: String, _ message: String, _ apply: @escaping @Sendable (inout ProgramAssembler) -> Void) {
            testDescription = name
            self.message = message
            self.apply = apply
        }
    }

    /// Index of the nth instruction of a kind.
    static func index(_ program: ProgramAssembler, _ opcode: Opcode, _ nth: Int = 0) -> Int {
        program.instructions.indices.filter { program.instructions[$0].opcode == opcode }[nth]
    }

    static func tensor(_ program: ProgramAssembler, _ opcode: Opcode, _ operand: Int, nth: Int = 0) -> Int {
        Int(program.instructions[index(program, opcode, nth)].operands[operand])
    }

    static let decoderChanges: [Change] = [
        Change("tensor offset beyond the weights", "outside the weights") { p in
            p.tensors[tensor(p, .linear, 1)].offset = UInt64(p.weights.count) / 64 * 64
        },
        Change("tensor offset that overflows", "outside the weights") { p in
            p.tensors[tensor(p, .linear, 1)].offset = UInt64.max / 64 * 64
        },
        Change("unaligned weights", "unaligned offset") { p in p.tensors[tensor(p, .linear, 1)].offset += 32 },
        Change("unaligned activation", "unaligned offset") { p in p.tensors[tensor(p, .linear, 5)].offset += 8 },
        Change("activation beyond the arena", "outside the arena") { p in
            p.tensors[tensor(p, .linear, 5)].offset = p.entries[0].arenaBytesPerToken
        },
        Change("state beyond its bytes", "outside the state") { p in
            p.header.stateBytesPerPosition -= 16
        },
        Change("columns beyond an exact sum", "more columns") { p in p.tensors[tensor(p, .linear, 1)].columns = 65_537 },
        Change("no columns", "columns out of range") { p in p.tensors[tensor(p, .linear, 5)].columns = 0 },
        Change("groups times columns too large", "columns out of range") { p in
            p.tensors[tensor(p, .rotary, 0)].groups = 1 << 22
        },
        Change("rows in a token tensor", "rows out of range") { p in p.tensors[tensor(p, .linear, 5)].rows = 1 },
        Change("packed activations", "activations of this type") { p in p.tensors[tensor(p, .linear, 5)].type = .packedInt8 },
        Change("quantized weights", "weights of this type") { p in p.tensors[tensor(p, .norm, 3)].type = .quantizedRow },
        Change("missing operand", "an operand is missing") { p in
            p.instructions[index(p, .linear)].operands[0] = InstructionRecord.absent
        },
        Change("operand that does not exist", "no such tensor") { p in
            p.instructions[index(p, .linear)].operands[0] = UInt32(p.tensors.count)
        },
        Change("too many operands", "more operands") { p in p.instructions[index(p, .linear)].operands[6] = 0 },
        Change("unused integer", "unused integer") { p in p.instructions[index(p, .linear)].integers[0] = 1 },
        Change("unused float", "unused float") { p in p.instructions[index(p, .linear)].floats[1] = 1 },
        Change("linear of another width", "another width") { p in
            let weight = tensor(p, .linear, 1)
            p.tensors[weight].columns -= 1
        },
        Change("linear without sums", "operand is missing") { p in
            p.instructions[index(p, .linear)].operands[3] = InstructionRecord.absent
        },
        Change("linear with sums for scales", "vector of weights") { p in
            p.instructions[index(p, .linear)].operands[2] = p.instructions[index(p, .linear)].operands[3]
        },
        Change("linear to other channels", "another shape") { p in p.tensors[tensor(p, .linear, 5)].columns -= 1 },
        Change("linear that writes weights", "not float activations") { p in
            p.instructions[index(p, .linear)].operands[5] = p.instructions[index(p, .norm)].operands[3]
        },
        Change("epsilon of zero", "epsilon") { p in p.instructions[index(p, .norm)].floats[0] = 0 },
        Change("epsilon that is not a number", "epsilon") { p in p.instructions[index(p, .norm)].floats[0] = .nan },
        Change("unknown norm", "kind of norm") { p in p.instructions[index(p, .norm)].integers[0] = 2 },
        Change("norm without output", "no output") { p in
            p.instructions[index(p, .norm)].operands[6] = InstructionRecord.absent
        },
        Change("unknown activation", "kind of activation") { p in p.instructions[index(p, .activate)].integers[0] = 8 },
        Change("factor that is not taken", "does not take") { p in
            p.instructions[index(p, .activate)].integers[0] = ActivationKind.silu.rawValue
        },
        Change("unknown rotation", "kind of rotation") { p in p.instructions[index(p, .rotary)].integers[0] = 2 },
        Change("odd heads", "odd size") { p in
            p.tensors[tensor(p, .rotary, 0)].groups = 12
            p.tensors[tensor(p, .rotary, 0)].columns = 5
        },
        Change("too few angles", "table of angles") { p in p.tensors[tensor(p, .rotary, 1)].rows -= 1 },
        Change("state attention that is not causal", "not causal") { p in p.instructions[index(p, .attention)].integers[0] = 0 },
        Change("attention with an infinite scale", "not finite") { p in
            p.instructions[index(p, .attention)].floats[0] = .infinity
        },
        Change("attention in one step", "attention over one step only") { p in
            // Query, key and value all from the quantized query.
            let i = index(p, .attention)
            p.instructions[i].operands[1] = p.instructions[i].operands[0]
            p.instructions[i].operands[2] = p.instructions[i].operands[0]
        },
        Change("first row of a step", "first row") { p in p.instructions[index(p, .selectRow)].integers[0] = 0 },
        Change("table with too few rows", "too few rows") { p in p.header.vocabularySize += 1 },
        Change("table with an offset", "too few rows") { p in p.instructions[index(p, .embed)].integers[2] = 1 },
        Change("negative table offset", "negative") { p in p.instructions[index(p, .embed)].integers[2] = -1 },
        Change("flag of two", "flag") { p in p.instructions[index(p, .embed)].integers[1] = 2 },
        Change("accumulating into nothing", "not there") { p in p.instructions[index(p, .embed)].integers[1] = 1 },
        Change("reading before writing", "not there") { p in
            let i = index(p, .norm)
            p.instructions.swapAt(i - 1, i)
        },
        Change("state that is read before it is written", "not there") { p in
            let i = index(p, .attention)
            p.instructions.swapAt(i - 1, i)
        },
        Change("state of the other layer overwritten", "state is written twice") { p in
            p.tensors[tensor(p, .attention, 1, nth: 1)].offset = p.tensors[tensor(p, .attention, 1)].offset
        },
        Change("output over its input", "overlaps an input") { p in
            p.tensors[tensor(p, .linear, 5)].offset = p.tensors[tensor(p, .linear, 0)].offset
        },
        Change("partial overlap in place", "overlaps an input") { p in
            // The sum of the second norm, moved 16 bytes into x.
            let i = index(p, .norm, 1)
            var sum = p.tensors[Int(p.instructions[i].operands[0])]
            sum.offset += 16
            p.tensors.append(sum)
            p.instructions[i].operands[2] = UInt32(p.tensors.count - 1)
        },
        Change("memory given away while in use", "not there") { p in
            // The gate is written over by the up projection that comes after it.
            p.tensors[tensor(p, .linear, 5, nth: 5)].offset = p.tensors[tensor(p, .linear, 5, nth: 4)].offset
        },
        Change("output of another width", "as wide as the vocabulary") { p in
            p.entries[0].outputTensor = p.instructions[index(p, .selectRow)].operands[1]
        },
        Change("output that is a row per token", "one fixed row") { p in p.entries[0].outputTensor = p.entries[1].outputTensor },
        Change("output that is not written", "not there at the end") { p in p.entries[0].instructionCount -= 1 },
        Change("no instructions", "instructions out of range") { p in p.entries[0].instructionCount = 0 },
        Change("instructions beyond the end", "instructions out of range") { p in p.entries[1].instructionCount += 1 },
        Change("first instruction near 2^32", "instructions out of range") { p in p.entries[1].firstInstruction = .max },
        Change("second entry point of a kind", "second one") { p in p.entries[1].kind = .generate },
        Change("more tokens than positions", "maximum tokens") { p in
            p.entries[0].maximumTokens = p.header.maximumPositions + 1
        },
        Change("no tokens", "maximum tokens") { p in p.entries[0].maximumTokens = 0 },
        Change("unaligned arena", "unaligned") { p in p.entries[0].arenaBytesPerToken += 8 },
        Change("arena of 2^60 bytes", "out of range") { p in p.entries[0].arenaFixedBytes = 1 << 60 },
        Change("state of 2^60 bytes", "state size") { p in p.header.stateBytesPerPosition = 1 << 60 },
        Change("no vocabulary", "vocabulary") { p in p.header.vocabularySize = 0 },
        Change("2^31 positions", "positions") { p in p.header.maximumPositions = 1 << 31 },
        Change("no entry points", "count is out of range") { p in p.entries = [] },
        Change("stateless kind with state", "state in an entry point") { p in p.entries[1].kind = .tag },
    ]

    static let encoderChanges: [Change] = [
        Change("classes that are not the labels", "as there are labels") { p in p.labels.append("more") },
        Change("beta that is missing", "operand is missing") { p in
            p.instructions[index(p, .norm)].operands[4] = InstructionRecord.absent
        },
        Change("positions beyond the table", "too few rows") { p in
            p.instructions[index(p, .embed, 1)].integers[2] += 1
        },
        Change("segments without rows", "too few rows") { p in p.instructions[index(p, .embed, 2)].integers[2] = 2 },
        Change("unknown index", "unknown index") { p in p.instructions[index(p, .embed)].integers[0] = 3 },
        Change("mean to two rows", "other shapes") { p in p.tensors[tensor(p, .meanRows, 1)].rows = 2 },
        Change("selection of another width", "other shapes") { p in p.tensors[tensor(p, .selectRow, 1)].columns -= 1 },
        Change("heads of the query in one group", "do not fit") { p in
            let q = tensor(p, .attention, 0)
            p.tensors[q].columns *= p.tensors[q].groups
            p.tensors[q].groups = 1
        },
        Change("linear over quantized heads", "quantized in groups") { p in
            p.instructions[index(p, .linear, 3)].operands[0] = p.instructions[index(p, .attention)].operands[0]
        },
    ]

    @Test(arguments: decoderChanges) func aDecoderWithOneThingWrongIsRefused(change: Change) {
        var program = SmallDecoder(isQuantized: true).program()
        change.apply(&program)
        check(Self.error(program), change)
    }

    @Test(arguments: encoderChanges) func anEncoderWithOneThingWrongIsRefused(change: Change) {
        var program = SmallEncoder(isQuantized: true).program()
        change.apply(&program)
        check(Self.error(program), change)
    }

    private func check(_ error: RuntimeError?, _ change: Change) {
        #expect(error?.code == .invalidArtifact)
        let said = error.map { "\($0.message)" } ?? "accepted"
        #expect(said.contains(change.message), "\(said)")
    }

    @Test func headsThatDoNotDivideAreRefused() {
        let error = Self.error(SmallDecoder(isQuantized: true, shape: .uneven).program())
        #expect("\(error?.message ?? "")" == "instruction: heads of attention that do not fit each other")
    }

    @Test func theMeanOfOneStepIsRefused() {
        var program = ProgramAssembler(vocabularySize: 8, maximumPositions: 4)
        let table = program.packedFloats([Float](repeating: 1, count: 64), rows: 8, columns: 8)
        let x = program.tokens(.float32, columns: 8)
        let mean = program.fixed(.float32, columns: 8)
        program.emit(.embed, [x, table], integers: [0, 0, 0])
        program.emit(.meanRows, [x, mean])
        program.endEntry(.embed, output: mean, maximumTokens: 4)
        #expect(Self.error(program) == nil)
        program.entries[0].kind = .generate
        #expect("\(Self.error(program)?.message ?? "")" == "instruction: the mean of one step")
    }

    @Test func labelsOutsideTheStringsOrNotUTF8AreRefused() {
        let program = SmallEncoder(isQuantized: true).program()
        let bytes = program.encoded()
        let strings = program.labels.reduce(0) { $0 + $1.utf8.count }
        let records = bytes.count - strings - program.labels.count * 8
        var outside = bytes
        outside[records + 3] = 0xFF
        #expect("\(Self.error(outside, weights: program.weights.count)?.message ?? "")" == "label: outside the strings")
        for (offset, byte) in [(0, UInt8(0xFF)), (strings - 1, 0x20), (strings - 3, 0xE0), (1, 0x80)] {
            var damaged = bytes
            damaged[bytes.count - strings + offset] = byte
            #expect("\(Self.error(damaged, weights: program.weights.count)?.message ?? "")" == "label: not UTF-8")
        }
    }

    @Test func inPlaceWhereRowsAreIndependentIsAccepted() {
        var program = SmallDecoder(isQuantized: false).program()
        // gate = silu(gate) × up, and the norm over its residual.
        let i = Self.index(program, .activate)
        let down = Self.index(program, .linear, 6)
        program.instructions[i].operands[2] = program.instructions[i].operands[0]
        program.instructions[down].operands[0] = program.instructions[i].operands[0]
        #expect(Self.error(program) == nil)
    }
}
