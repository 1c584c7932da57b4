import CShrinkKernels
import ShrinkFormat

extension Model {
    /// Whether this device computes what the one did that packed the model: runs the artifact's
    /// self-test and compares the digests. nil: the artifact has none. Throws as a session does.
    public func selfTest(instructionSet: InstructionSet? = nil, threads: Int = 1) throws(RuntimeError) -> Bool? {
        guard let entry = bytes(of: .selfTest) else { return nil }
        return try selfTest(SelfTest(reading: entry), instructionSet: instructionSet, threads: threads)
    }

    /// The same for a self-test of other origin.
    public func selfTest(
        _ test: SelfTest, instructionSet: InstructionSet? = nil, threads: Int = 1
    ) throws(RuntimeError) -> Bool {
        let memory = try RawMemory(byteCount: test.tokenCount * 4, from: reference.allocator)
        let tokens = memory.base.bindMemory(to: UInt32.self, capacity: test.tokenCount)
        for i in 0..<test.tokenCount { (tokens + i).initialize(to: test.token(i)) }
        let digest = try outputDigest(
            kind: test.kind, tokens: UnsafeBufferPointer(start: tokens, count: test.tokenCount),
            instructionSet: instructionSet, threads: threads)
        for i in digest.indices where digest[i] != test.digest[i] { return false }
        return true
    }

    /// The digest that a self-test of these tokens holds: `SelfTest.write` makes the entry from it.
    public func outputDigest(
        kind: EntryRecord.Kind, tokens: UnsafeBufferPointer<UInt32>, instructionSet: InstructionSet? = nil, threads: Int = 1
    ) throws(RuntimeError) -> SHA256.Digest {
        var options = SessionOptions(kind: kind)
        options.context = max(tokens.count, 1)
        options.chunk = max(tokens.count, 1)
        options.threads = threads
        options.instructionSet = instructionSet
        var session = try Session(self, options)
        let output = try session.step(tokens)
        var hash = SHA256()
        for row in 0..<output.rowCount { hash.update(UnsafeRawBufferPointer(output[row])) }
        return hash.digest()
    }
}
