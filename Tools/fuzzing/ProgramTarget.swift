import ShrinkFormat

/// Programs with more bytes of weights are verified, but not run.
private let mostWeightBytes: UInt64 = 1 << 17

/// Any bytes as a program: refused, or run. -1 keeps what did not run out of the corpus, so that only programs that do
/// are edited further.
@c(fuzz_verifier) func fuzzVerifier(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    useProgram(data, count) ? 0 : -1
}

/// Mostly a few bytes anywhere: what moves or changes more hardly ever passes.
@c(mutate_verifier) func mutateVerifier(_ data: UnsafeMutablePointer<UInt8>, _ count: Int, _ capacity: Int, _ seed: UInt32) -> Int {
    var random = FuzzRandom(seed: UInt64(seed))
    let size = 1 << random.below(4)
    if count < size || random.oneIn(8) { return LLVMFuzzerMutate(data, count, capacity) }
    mutateInPlace(data + random.below(count / size) * size, size)
    return count
}

/// The same with `ProgramEditor` between.
@c(fuzz_program) func fuzzProgram(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    useProgram(data, count) ? 0 : -1
}

@c(mutate_program) func mutateProgram(_ data: UnsafeMutablePointer<UInt8>, _ count: Int, _ capacity: Int, _ seed: UInt32) -> Int {
    var random = FuzzRandom(seed: UInt64(seed))
    return ProgramEditor.edit(data, count, capacity, &random) ?? LLVMFuzzerMutate(data, count, capacity)
}

/// Whether the verifier accepts the program and it is small enough to run; then it runs.
private func useProgram(_ data: UnsafePointer<UInt8>, _ count: Int) -> Bool {
    var hasRun = false
    do throws(RuntimeError) {
        let program = ExactBlock(copying: data, count: count)
        var random = FuzzRandom(hashing: program.raw)
        fuzz_allocator_reset(0, 0x7E)
        let view = try ProgramView(program.raw)
        if view.header.weightByteCount > mostWeightBytes {
            let plausible = view.header.tensorCount <= ProgramVerifier.Limit.tensors
            let scratch = ExactBlock(count: plausible ? ProgramVerifier.scratchByteCount(view) : 0)
            try ProgramVerifier.verify(view, weightByteCount: Int(clamping: view.header.weightByteCount), scratch: scratch.bytes)
            fuzz_count_skipped()
        } else {
            try runEntries(view, program.raw, &random)
            hasRun = true
            fuzz_count_accepted()
        }
    } catch {
        check(error.code == .invalidArtifact || error.code == .unsupportedVersion, "a program was refused for another reason")
    }
    check(fuzz_allocator_live() == 0, "memory was not given back")
    return hasRun
}

/// Every entry point twice: in a session, and watched, with other steps, other bytes in fresh memory and, where that is
/// promised for these weights, another instruction set. Both must give the same bits.
private func runEntries(_ view: ProgramView, _ program: UnsafeRawBufferPointer, _ random: inout FuzzRandom) throws(RuntimeError) {
    let weights = ExactBlock(count: Int(view.header.weightByteCount))
    let isTame = !random.oneIn(4)
    SyntheticWeights.fill(weights.bytes, isTame: isTame)
    let model = try Model(program: program, weights: weights.raw, allocator: .exact)
    for i in 0..<Int(view.header.entryCount) {
        guard let entry = view.entry(i), var run = EntryRun(entry, of: view, &random) else { continue }
        defer { run.deallocate() }
        do throws(RuntimeError) {
            let expected = try run.run(model)
            fuzz_count_run()
            fuzz_allocator_reset(0, 0x01)
            run.options.chunk = 1 + random.below(min(run.options.context ?? 1, Int(entry.maximumTokens)))
            if isTame && !usesSums(view) { run.options.instructionSet = EntryRun.instructionSet(&random) }
            var watched = try WatchedRun(view, weights: weights.raw, run.options)
            check(watched.run(run.tokens, run.segments) == expected, "the result depends on steps, fresh memory or the instruction set")
            fuzz_allocator_reset(0, 0x7E)
        } catch {
            check(error.code == .limitExceeded, "an accepted program did not run")
            fuzz_count_skipped()
        }
    }
    check(SyntheticWeights.isFilled(weights.raw, isTame: isTame), "a run changed the weights")
}

/// Whether there are linear layers of codes: their sums, which the weights here do not have right, are used in other ways
/// by other instruction sets.
private func usesSums(_ program: ProgramView) -> Bool {
    for i in 0..<Int(program.header.instructionCount) {
        if let record = program.instruction(i), record.opcode == .linear || record.opcode == .recurrent, record.operands[3] != InstructionRecord.absent { return true }
    }
    return false
}

/// Weights of any size that the same program always gets: the first bytes of one of two tables.
enum SyntheticWeights {
    nonisolated(unsafe) private static var tables: UnsafeMutablePointer<UInt32>?
    private static var wordCount: Int { Int(mostWeightBytes) / 4 }

    /// Any bytes, or words that are a float between 2^-7 and 2 as well as four codes other than -128.
    private static func table(isTame: Bool) -> UnsafeMutablePointer<UInt32> {
        if let tables { return tables + (isTame ? wordCount : 0) }
        let made = UnsafeMutablePointer<UInt32>.allocate(capacity: 2 * wordCount)
        var random = FuzzRandom(seed: 1)
        for i in 0..<wordCount {
            made[i] = UInt32(truncatingIfNeeded: random.next())
            made[wordCount + i] = made[i] & 0x837F_7F7F | 0x3C01_0101
        }
        tables = made
        return table(isTame: isTame)
    }

    static func fill(_ bytes: UnsafeMutableRawBufferPointer, isTame: Bool) {
        bytes.copyMemory(from: UnsafeRawBufferPointer(start: table(isTame: isTame), count: bytes.count))
    }

    static func isFilled(_ bytes: UnsafeRawBufferPointer, isTame: Bool) -> Bool {
        guard let base = bytes.baseAddress else { return true }
        return fuzz_compare(base, table(isTame: isTame), bytes.count) == 0
    }
}
