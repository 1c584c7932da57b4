/// Checks everything about a program before anything of it runs. What it accepts, the executor
/// executes without a check: every access stays inside the weights, the arena and the state that
/// the records' sizes ask for, no value is read before it is written or after its memory was given
/// to another tensor, and the result does not depend on how the tokens are split into steps.
///
/// Not read here: the contents of the weights (any bytes are safe), and the ids of a step's tokens
/// and segments, which are the session's to check.
public enum ProgramVerifier {
    /// Bounds that keep every later product inside 63 bits, and the work of the verifier small.
    public enum Limit {
        public static let instructions = 16_384
        public static let tensors = 65_536
        /// Tensors outside the weights.
        public static let arenaTensors = 8_192
        /// One of each kind.
        public static let entries = 6
        public static let labels = 1 << 20
        /// Rows of a tensor, positions, vocabulary.
        public static let rows = 1 << 24
        /// Elements of one row: groups × columns.
        public static let rowElements = 1 << 24
        /// The attention's sum of products of two codes less their zeros is exact up to this head size.
        public static let headSize = 32_768
        /// Arena and state, per token or position, and fixed.
        public static let regionBytes: UInt64 = 1 << 40
    }

    /// Working memory that `verify` needs.
    public static func scratchByteCount(_ program: ProgramView) -> Int {
        LiveTensors.byteCount(tensorCount: Int(program.header.tensorCount))
    }

    /// Throws `invalidArtifact` (with the index of the record of the kind that the message names)
    /// for the first thing that is wrong. `scratch` has at least `scratchByteCount`, aligned to 8.
    public static func verify(
        _ program: ProgramView, weightByteCount: Int, scratch: UnsafeMutableRawBufferPointer
    ) throws(RuntimeError) {
        try verifyHeader(program.header, weightByteCount: weightByteCount)
        guard let memory = scratch.baseAddress, scratch.count >= scratchByteCount(program) else {
            throw RuntimeError(.invalidArgument, "the scratch memory is too small", scratch.count)
        }
        try verifyTensors(program)
        for i in 0..<Int(program.header.instructionCount) where program.instruction(i) == nil {
            throw RuntimeError(.invalidArtifact, "instruction: malformed record", i)
        }
        try verifyLabels(program)
        var live = LiveTensors(memory: memory, tensorCount: Int(program.header.tensorCount))
        for i in 0..<Int(program.header.entryCount) {
            try verifyEntry(i, of: program, live: &live)
        }
    }

    private static func verifyHeader(_ header: ProgramHeader, weightByteCount: Int) throws(RuntimeError) {
        guard header.instructionCount <= Limit.instructions, header.tensorCount <= Limit.tensors,
            header.labelCount <= Limit.labels, header.entryCount >= 1, header.entryCount <= Limit.entries
        else { throw RuntimeError(.invalidArtifact, "header: a count is out of range", 0) }
        guard header.vocabularySize >= 1, header.vocabularySize <= Limit.rows, header.maximumPositions <= Limit.rows
        else { throw RuntimeError(.invalidArtifact, "header: vocabulary or positions out of range", 0) }
        guard UInt64(exactly: weightByteCount) == header.weightByteCount else {
            throw RuntimeError(.invalidArtifact, "header: the weights entry has another size", weightByteCount)
        }
        guard header.stateBytesPerPosition <= Limit.regionBytes,
            header.stateBytesPerPosition % UInt64(Program.rowAlignment) == 0
        else { throw RuntimeError(.invalidArtifact, "header: the state size is out of range or unaligned", 0) }
        guard header.carryByteCount <= Limit.regionBytes, header.carryByteCount % UInt64(Program.rowAlignment) == 0 else {
            throw RuntimeError(.invalidArtifact, "header: the size of the carry is out of range or unaligned", 0)
        }
        guard header.positionLimit != nil || header.stateBytesPerPosition == 0 else {
            throw RuntimeError(.invalidArtifact, "header: state for every position without a last one", 0)
        }
    }

    private static func verifyTensors(_ program: ProgramView) throws(RuntimeError) {
        var arenaTensors = 0
        for i in 0..<Int(program.header.tensorCount) {
            guard let tensor = program.tensor(i) else {
                throw RuntimeError(.invalidArtifact, "tensor: malformed record", i)
            }
            if let problem = tensor.problem(in: program.header) { throw RuntimeError(.invalidArtifact, problem, i) }
            if tensor.storage != .weights { arenaTensors += 1 }
        }
        if arenaTensors > Limit.arenaTensors {
            throw RuntimeError(.invalidArtifact, "header: too many tensors outside the weights", arenaTensors)
        }
    }

    private static func verifyLabels(_ program: ProgramView) throws(RuntimeError) {
        for i in 0..<Int(program.header.labelCount) {
            guard let label = program.label(i) else {
                throw RuntimeError(.invalidArtifact, "label: outside the strings", i)
            }
            guard isUTF8(label) else { throw RuntimeError(.invalidArtifact, "label: not UTF-8", i) }
        }
    }

    /// Well-formed UTF-8 as RFC 3629 has it: shortest form, no surrogates, at most U+10FFFF.
    static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var i = 0
        while i < bytes.count {
            let lead = bytes[i]
            let more: Int
            var second: ClosedRange<UInt8> = 0x80...0xBF
            switch lead {
            case 0x00...0x7F: more = 0
            case 0xC2...0xDF: more = 1
            case 0xE0...0xEF:
                more = 2
                if lead == 0xE0 { second = 0xA0...0xBF }
                if lead == 0xED { second = 0x80...0x9F }
            case 0xF0...0xF4:
                more = 3
                if lead == 0xF0 { second = 0x90...0xBF }
                if lead == 0xF4 { second = 0x80...0x8F }
            default: return false
            }
            guard bytes.count - i > more else { return false }
            for j in 0..<more where !(j == 0 ? second : 0x80...0xBF).contains(bytes[i + 1 + j]) { return false }
            i += 1 + more
        }
        return true
    }

    private static func verifyEntry(_ index: Int, of program: ProgramView, live: inout LiveTensors) throws(RuntimeError) {
        guard let entry = program.entry(index) else {
            throw RuntimeError(.invalidArtifact, "entry point: malformed record", index)
        }
        for i in 0..<index where program.entry(i)?.kind == entry.kind {
            throw RuntimeError(.invalidArtifact, "entry point: a second one of its kind", index)
        }
        let end = Int(entry.firstInstruction) + Int(entry.instructionCount)
        guard entry.instructionCount >= 1, end <= Int(program.header.instructionCount) else {
            throw RuntimeError(.invalidArtifact, "entry point: instructions out of range", index)
        }
        guard entry.maximumTokens >= 1, Int(entry.maximumTokens) <= program.header.positionLimit ?? Limit.rows else {
            throw RuntimeError(.invalidArtifact, "entry point: maximum tokens out of range", index)
        }
        guard entry.arenaBytesPerToken <= Limit.regionBytes, entry.arenaFixedBytes <= Limit.regionBytes,
            entry.arenaBytesPerToken % UInt64(Program.rowAlignment) == 0,
            entry.arenaFixedBytes % UInt64(Program.rowAlignment) == 0
        else { throw RuntimeError(.invalidArtifact, "entry point: an arena size is out of range or unaligned", index) }

        live.reset()
        for i in Int(entry.firstInstruction)..<end {
            guard let record = program.instruction(i) else {
                throw RuntimeError(.invalidArtifact, "instruction: malformed record", i)
            }
            var verifier = InstructionVerifier(program: program, entry: entry, index: i, record: record)
            try verifier.verify()
            try live.apply(verifier.effects, of: i, in: program)
        }
        if let problem = outputProblem(entry, of: program, live: live) {
            throw RuntimeError(.invalidArtifact, problem, index)
        }
    }

    private static func outputProblem(_ entry: EntryRecord, of program: ProgramView, live: LiveTensors) -> StaticString? {
        let index = Int(entry.outputTensor)
        guard let output = program.tensor(index) else { return "entry point: its output tensor does not exist" }
        guard output.type == .float32 else { return "entry point: its output is not float" }
        switch entry.kind {
        case .generate, .embed, .classify:
            guard output.storage == .fixed, output.rows == 1 else { return "entry point: its output is not one fixed row" }
        case .score, .tag, .encode:
            guard output.storage == .tokens else { return "entry point: its output is not a row for each token" }
        }
        switch entry.kind {
        case .generate, .score:
            guard output.rowElements == Int(program.header.vocabularySize) else {
                return "entry point: its output is not as wide as the vocabulary"
            }
        case .classify, .tag:
            guard program.header.labelCount == 0 || output.rowElements == Int(program.header.labelCount) else {
                return "entry point: its output is not as wide as there are labels"
            }
        case .embed, .encode:
            break
        }
        return live.contains(index) ? nil : "entry point: its output is not there at the end"
    }
}
