import ShrinkFormat

@_extern(c) func fuzz_state_model(_ index: Int, _ byteCount: UnsafeMutablePointer<Int>) -> UnsafePointer<UInt8>?

/// Any bytes as a saved state, restored into sessions of a quantized, a float and a recurrent model: refused, or gone on
/// from. Two bytes stand for the state of a model, by its number, after a number of tokens: seeds that no change of the
/// format or the models makes stale. -1 keeps what is refused out of the corpus.
@c(fuzz_state) func fuzzState(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    fuzz_allocator_reset(0, 0x7E)
    guard count == 2 else { return restoreAnywhere(ExactBlock(copying: data, count: count, alignment: 1)) }
    let made = UnsafeMutableRawBufferPointer.allocate(byteCount: StateModels.mostStateBytes, alignment: 1)
    defer { made.deallocate() }
    guard let size = try? saveFresh(of: Int(data[0]) % StateModels.count, tokens: Int(data[1]) % StateModels.context, to: made),
        let base = made.baseAddress?.assumingMemoryBound(to: UInt8.self)
    else { finding("a session could not save its state") }
    return restoreAnywhere(ExactBlock(copying: base, count: size, alignment: 1))
}

private func restoreAnywhere(_ state: borrowing ExactBlock) -> Int32 {
    var random = FuzzRandom(hashing: state.raw)
    var isAccepted = false
    for index in 0..<StateModels.count {
        do throws(RuntimeError) {
            // At times there is room for fewer tokens, which may be too few.
            if random.oneIn(4) { _ = try restore(state.raw, into: index, context: 1 + random.below(StateModels.context), &random) }
            if try restore(state.raw, into: index, context: StateModels.context, &random) { isAccepted = true }
        } catch {
            finding("a session failed for another reason than its state")
        }
    }
    check(fuzz_allocator_live() == StateModels.liveBlocks + 1, "memory was not given back")
    guard isAccepted else { return -1 }
    fuzz_count_accepted()
    return 0
}

@c(mutate_state) func mutateState(_ data: UnsafeMutablePointer<UInt8>, _ count: Int, _ capacity: Int, _ seed: UInt32) -> Int {
    var random = FuzzRandom(seed: UInt64(seed))
    let headerAndTrailer = SavedStateHeader.byteCount + SavedStateHeader.trailerByteCount
    if count < headerAndTrailer || random.oneIn(64) {
        let buffer = UnsafeMutableRawBufferPointer(start: data, count: capacity)
        let made = try? saveFresh(of: random.below(StateModels.count), tokens: random.below(random.oneIn(8) ? StateModels.context : 7), to: buffer)
        return made ?? LLVMFuzzerMutate(data, count, capacity)
    }
    if random.oneIn(16) { return LLVMFuzzerMutate(data, count, capacity) }
    // The rows, and at times what precedes them; the checksum is made right again.
    let rows = count - headerAndTrailer
    switch random.below(8) {
    case 0: mutateInPlace(data + 12, 4)
    case 1: mutateInPlace(data, SavedStateHeader.byteCount)
    default: mutateInPlace(data + SavedStateHeader.byteCount, rows)
    }
    let digest = SHA256.digest(of: UnsafeRawBufferPointer(start: data, count: count - SavedStateHeader.trailerByteCount))
    for i in digest.indices { data[count - SavedStateHeader.trailerByteCount + i] = digest[i] }
    return count
}

/// Whether the state is accepted; then it comes out again as it went in, and the session goes on.
private func restore(
    _ state: UnsafeRawBufferPointer, into index: Int, context: Int, _ random: inout FuzzRandom
) throws(RuntimeError) -> Bool {
    var session = try StateModels.session(index, context: context, EntryRun.instructionSet(&random))
    do throws(RuntimeError) {
        try session.restore(from: state)
    } catch {
        check(error.code == .invalidState || error.code == .limitExceeded, "a state was refused for another reason")
        check(session.position == 0, "a session holds tokens of a state that was refused")
        return false
    }
    let saved = ExactBlock(count: session.savedByteCount)
    check(try session.save(to: saved.bytes) == state.count, "a restored state is saved with another size")
    check(fuzz_compare(saved.base, state.baseAddress.unsafelyUnwrapped, state.count) == 0, "a restored state is saved otherwise")
    for _ in 0..<min(3, session.context - session.position) {
        try step(&session, UInt32(random.below(20)))
        fuzz_count_run()
    }
    return true
}

/// A state as a session makes it.
private func saveFresh(of index: Int, tokens: Int, to buffer: UnsafeMutableRawBufferPointer) throws(RuntimeError) -> Int {
    var session = try StateModels.session(index, context: StateModels.context, .best)
    for token in 0..<tokens { try step(&session, UInt32(token * 7 % 20)) }
    return try session.save(to: buffer)
}

private func step(_ session: inout Session, _ token: UInt32) throws(RuntimeError) {
    try withUnsafePointer(to: token) { token throws(RuntimeError) in
        _ = try session.step(UnsafeBufferPointer(start: token, count: 1))
    }
}

/// The models, opened once and never closed.
private enum StateModels {
    static let count = 3
    /// All positions that the models have.
    static let context = 70
    /// More than any of their states has.
    static let mostStateBytes = 1 << 16
    nonisolated(unsafe) private static var models: UnsafeMutablePointer<Model>?
    nonisolated(unsafe) static var liveBlocks = 0

    static func session(_ index: Int, context: Int, _ instructionSet: InstructionSet) throws(RuntimeError) -> Session {
        var options = SessionOptions(kind: .generate)
        options.context = context
        options.chunk = 1
        options.instructionSet = instructionSet
        return try Session(opened()[index], options)
    }

    private static func opened() throws(RuntimeError) -> UnsafeMutablePointer<Model> {
        if let models { return models }
        let made = UnsafeMutablePointer<Model>.allocate(capacity: count)
        let live = fuzz_allocator_live()
        for index in 0..<count {
            var byteCount = 0
            let bytes = UnsafeRawBufferPointer(start: fuzz_state_model(index, &byteCount), count: byteCount)
            (made + index).initialize(to: try Model(unowned: bytes, options: Model.Options(allocator: .exact)))
        }
        liveBlocks = fuzz_allocator_live() - live
        models = made
        return made
    }
}
