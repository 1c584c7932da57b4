import ShrinkFormat

@_extern(c) func fuzz_state_model(_ index: Int, _ byteCount: UnsafeMutablePointer<Int>) -> UnsafePointer<UInt8>?

/// Any bytes as a saved state, restored into sessions of a quantized, a float and a recurrent model: refused, or gone on from.
@c(fuzz_state) func fuzzState(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let state = ExactBlock(copying: data, count: count, alignment: 1)
    var random = FuzzRandom(hashing: state.raw)
    fuzz_allocator_reset(0, 0x7E)
    var isAccepted = false
    for index in 0..<StateModels.count {
        do throws(RuntimeError) {
            if try restore(state.raw, into: index, &random) { isAccepted = true }
        } catch {
            finding("a session failed for another reason than its state")
        }
    }
    check(fuzz_allocator_live() == StateModels.liveBlocks + 1, "memory was not given back")
    if isAccepted { fuzz_count_accepted() }
    return 0
}

@c(mutate_state) func mutateState(_ data: UnsafeMutablePointer<UInt8>, _ count: Int, _ capacity: Int, _ seed: UInt32) -> Int {
    var random = FuzzRandom(seed: UInt64(seed))
    let headerAndTrailer = SavedStateHeader.byteCount + SavedStateHeader.trailerByteCount
    if count < headerAndTrailer || random.oneIn(64) {
        guard let made = try? saveFresh(to: UnsafeMutableRawBufferPointer(start: data, count: capacity), &random) else {
            return LLVMFuzzerMutate(data, count, capacity)
        }
        return made
    }
    if random.oneIn(16) { return LLVMFuzzerMutate(data, count, capacity) }
    // The rows, and at times what precedes them; the checksum is made right again.
    let rows = count - headerAndTrailer
    switch random.below(4) {
    case 0: mutateInPlace(data + 12, 4)
    case 1: mutateInPlace(data, SavedStateHeader.byteCount)
    default: mutateInPlace(data + SavedStateHeader.byteCount, rows)
    }
    let digest = SHA256.digest(of: UnsafeRawBufferPointer(start: data, count: count - SavedStateHeader.trailerByteCount))
    for i in digest.indices { data[count - SavedStateHeader.trailerByteCount + i] = digest[i] }
    return count
}

/// Whether the state is accepted; then it comes out again as it went in, and the session goes on.
private func restore(_ state: UnsafeRawBufferPointer, into index: Int, _ random: inout FuzzRandom) throws(RuntimeError) -> Bool {
    var session = try StateModels.session(index, context: 1 + random.below(24), EntryRun.instructionSet(&random))
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
private func saveFresh(to buffer: UnsafeMutableRawBufferPointer, _ random: inout FuzzRandom) throws(RuntimeError) -> Int {
    var session = try StateModels.session(random.below(StateModels.count), context: 24, .best)
    for _ in 0..<random.below(7) {
        try step(&session, UInt32(random.below(20)))
    }
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
