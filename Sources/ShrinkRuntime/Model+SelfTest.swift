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
        var options = SessionOptions(kind: test.kind)
        options.threads = threads
        options.instructionSet = instructionSet
        return try selfTest(test, options)
    }

    /// The same by a session with these options but for the context and the chunk, which the test decides.
    func selfTest(_ test: SelfTest, _ options: SessionOptions) throws(RuntimeError) -> Bool {
        let memory = try RawMemory(byteCount: test.tokenCount * 4, from: reference.allocator)
        let tokens = memory.base.bindMemory(to: UInt32.self, capacity: test.tokenCount)
        for i in 0..<test.tokenCount { (tokens + i).initialize(to: test.token(i)) }
        let digest = try outputDigest(
            tokens: UnsafeBufferPointer(start: tokens, count: test.tokenCount), options)
        for i in digest.indices where digest[i] != test.digest[i] { return false }
        return true
    }

    /// The digest that a self-test of these tokens holds: `SelfTest.write` makes the entry from it.
    public func outputDigest(
        kind: EntryRecord.Kind, tokens: UnsafeBufferPointer<UInt32>, instructionSet: InstructionSet? = nil, threads: Int = 1
    ) throws(RuntimeError) -> SHA256.Digest {
        var options = SessionOptions(kind: kind)
        options.threads = threads
        options.instructionSet = instructionSet
        return try outputDigest(tokens: tokens, options)
    }

    private func outputDigest(
        tokens: UnsafeBufferPointer<UInt32>, _ given: SessionOptions
    ) throws(RuntimeError) -> SHA256.Digest {
        var options = given
        options.context = max(tokens.count, 1)
        options.chunk = max(tokens.count, 1)
        var session = try Session(self, options)
        let output = try session.step(tokens)
        var hash = SHA256()
        for row in 0..<output.rowCount { hash.update(UnsafeRawBufferPointer(output[row])) }
        return hash.digest()
    }
}
