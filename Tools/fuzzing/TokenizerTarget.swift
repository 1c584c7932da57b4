import ShrinkFormat

/// Any bytes as tokenizer tables: refused, or used on texts that the bytes decide. -1 keeps what is refused out of the
/// corpus: every check of the verifier is one edit away from tables that pass, and none is easier to reach from others.
@c(fuzz_tokenizer) func fuzzTokenizer(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let block = ExactBlock(copying: data, count: count, alignment: 8)
    var random = FuzzRandom(hashing: block.raw)
    // At times one request for memory fails first; whatever it was for must stay whole.
    if random.oneIn(8) { _ = useTables(block.raw, failing: 1 + random.below(24), random) }
    guard useTables(block.raw, failing: 0, random) else { return -1 }
    fuzz_count_accepted()
    return 0
}

/// Whether the tables were accepted.
private func useTables(_ tables: UnsafeRawBufferPointer, failing: Int, _ random: FuzzRandom) -> Bool {
    var random = random
    var isAccepted = false
    fuzz_allocator_reset(failing, 0x7E)
    do throws(RuntimeError) {
        var tokenizer = try Tokenizer(tables: tables, allocator: .exact)
        isAccepted = true
        try useTokenizer(&tokenizer, &random)
    } catch {
        check(
            error.code == .invalidArtifact || error.code == .unsupportedVersion || error.code == .outOfMemory,
            "a tokenizer failed for another reason")
    }
    check(fuzz_allocator_live() == 1, "memory was not given back")
    return isAccepted
}

@c(mutate_tokenizer) func mutateTokenizer(_ data: UnsafeMutablePointer<UInt8>, _ count: Int, _ capacity: Int, _ seed: UInt32) -> Int {
    var random = FuzzRandom(seed: UInt64(seed))
    return TableEditor.edit(data, count, capacity, &random) ?? LLVMFuzzerMutate(data, count, capacity)
}

/// Encodes, decodes and chats.
func useTokenizer(_ tokenizer: inout Tokenizer, _ random: inout FuzzRandom) throws(RuntimeError) {
    var text = TokenizerBuffer<UInt8>(allocator: .exact)
    for _ in 0..<3 {
        text.truncate()
        try appendText(&text, tokenizer.tables, &random)
        try encode(&tokenizer, text, &random)
        fuzz_count_run()
    }
    if tokenizer.hasChatTemplate { try chat(&tokenizer, text, &random) }
}

/// A text of mostly some 100 bytes, at times of 4 KiB: words, spaces, marks, scripts, broken UTF-8, and what tokens are
/// spelled like.
private func appendText(_ text: inout TokenizerBuffer<UInt8>, _ tables: TokenizerTables, _ random: inout FuzzRandom) throws(RuntimeError) {
    let pieces: StaticString = """
        the quick brown fox don't I'LL 12345 ٣٤ \u{1100}\u{1161}\u{11A8} 각 e\u{301}\u{323} Å ſ's  \t\r\n x<|im_end|>[MASK] 中文 👍🏽 ǅ İß ﬁ \
        \u{A0}\u{200D}\u{FEFF} aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        """
    if random.oneIn(16) {
        // Long without a boundary between words, mostly.
        let token = tables.bytes(ofToken: random.below(Int(tables.header.vocabularySize)))
        let (size, shift) = (random.below(4096), random.below(3))
        for i in 0..<(token.isEmpty ? 0 : size) { try text.append(token[(i + (i >> 9) * shift) % token.count]) }
    }
    for _ in 0...random.below(12) {
        switch random.below(6) {
        case 0, 1:
            // Cuts within characters are wanted.
            let start = random.below(pieces.utf8CodeUnitCount)
            let count = min(1 + random.below(30), pieces.utf8CodeUnitCount - start)
            try text.append(UnsafeBufferPointer(start: pieces.utf8Start + start, count: count))
        case 2, 3:
            let token = tables.bytes(ofToken: random.below(Int(tables.header.vocabularySize)))
            for byte in UnsafeRawBufferPointer(rebasing: token[..<min(token.count, 40)]) { try text.append(byte) }
        case 4:
            let run = UInt8(truncatingIfNeeded: random.next() & 0x7F)
            for _ in 0..<random.below(70) { try text.append(run) }
        default:
            for _ in 0..<random.below(12) { try text.append(UInt8(truncatingIfNeeded: random.next())) }
        }
    }
}

private func encode(
    _ tokenizer: inout Tokenizer, _ text: borrowing TokenizerBuffer<UInt8>, _ random: inout FuzzRandom
) throws(RuntimeError) {
    // Bytes in a block of exactly their size.
    let exact = ExactBlock(count: text.count, alignment: 1)
    text.withElements { exact.bytes.copyMemory(from: UnsafeRawBufferPointer($0)) }
    let bytes = exact.raw.bindMemory(to: UInt8.self)
    let second = UnsafeBufferPointer(rebasing: bytes[(bytes.count / 2)...])
    var output = TokenBuffer(allocator: .exact)
    let (adds, parses) = (random.oneIn(2), random.oneIn(2))
    let pair = random.oneIn(3) ? second : nil
    let limit = random.oneIn(3) ? random.below(20) : Int.max
    do throws(RuntimeError) {
        _ = try tokenizer.encode(bytes, pair: pair, addSpecialTokens: adds, parseSpecialTokens: parses, limit: limit, into: &output)
    } catch {
        guard error.code == .limitExceeded, limit != .max else { throw error }
        check(output.count == 0, "tokens of a text that was refused")
    }
    check(output.count <= limit, "more tokens than the limit")
    if limit == .max, random.oneIn(4) {
        // What earlier texts have left in its memory must not matter.
        var fresh = try Tokenizer(tables: tokenizer.tables, allocator: .exact)
        var again = TokenBuffer(allocator: .exact)
        try fresh.encode(bytes, pair: pair, addSpecialTokens: adds, parseSpecialTokens: parses, into: &again)
        check(output.ids.elementsEqual(again.ids), "another tokenizer gives other tokens")
    }
    var decoder = Detokenizer(tables: tokenizer.tables, skipsSpecialTokens: random.oneIn(2))
    var decoded = TokenizerBuffer<UInt8>(allocator: .exact)
    for id in output.ids {
        check(id < tokenizer.tables.header.vocabularySize, "a token that is not in the vocabulary")
        let before = decoded.count
        try decoder.push(id, into: &decoded)
        check(decoded.count - before <= decoder.maximumPushByteCount, "more text of a token than was said")
        _ = tokenizer.isStop(id)
    }
    // Any id is allowed.
    try decoder.push(UInt32(truncatingIfNeeded: random.next()), into: &decoded)
    try decoder.flush(into: &decoded)
    check(UTF8Stream.wellFormedCount(decoded.elements) == decoded.count, "decoded text is not UTF-8")
}

private func chat(
    _ tokenizer: inout Tokenizer, _ text: borrowing TokenizerBuffer<UInt8>, _ random: inout FuzzRandom
) throws(RuntimeError) {
    let role: StaticString = "system"
    let bytes = text.elements
    let system = ChatMessage(role: UnsafeBufferPointer(start: role.utf8Start, count: role.utf8CodeUnitCount), content: bytes)
    let user = ChatMessage(role: UnsafeBufferPointer(rebasing: bytes[..<min(bytes.count, 5)]), content: bytes)
    var output = TokenBuffer(allocator: .exact)
    let messages = UnsafeMutableBufferPointer<ChatMessage>.allocate(capacity: 2)
    defer { messages.deallocate() }
    messages[0] = random.oneIn(2) ? system : user
    messages[1] = user
    try tokenizer.encodeChat(
        UnsafeBufferPointer(rebasing: messages[..<random.below(3)]), addGenerationPrompt: random.oneIn(2),
        parseSpecialTokens: random.oneIn(2), into: &output)
    for id in output.ids { check(id < tokenizer.tables.header.vocabularySize, "a token that is not in the vocabulary") }
}

/// Mutates the header or one section of tokenizer tables, and keeps the directory right when a section changes its size.
enum TableEditor {
    private static let sectionCount = 21
    private static let directoryStart = 256

    /// Edits tables in place within `capacity` and returns their new size; nil when their directory is not usable.
    static func edit(_ data: UnsafeMutablePointer<UInt8>, _ count: Int, _ capacity: Int, _ random: inout FuzzRandom) -> Int? {
        if count < TokenizerFormat.headerByteCount || random.oneIn(16) { return nil }
        if random.oneIn(5) {
            if random.oneIn(4) { mutateInPlace(data + 12, directoryStart - 12) } else { editHeader(data, &random) }
            return count
        }
        let index = random.below(sectionCount)
        let (offset, size) = section(data, index)
        guard offset >= 0, size >= 0, offset <= count, size <= count - offset else { return nil }
        if size > 0, !random.oneIn(3) {
            mutateNumbers(data + offset, size, &random)
            return count
        }
        return resize(data, count, capacity, index, &random)
    }

    /// Another value that a field of the header may have, by the layout of `TokenizerHeader`: other steps, stages and
    /// roles of tokens go with any tables.
    private static func editHeader(_ header: UnsafeMutablePointer<UInt8>, _ random: inout FuzzRandom) {
        let bytes = UnsafeMutableRawPointer(header)
        for _ in 0...random.below(3) {
            let slot = random.below(8)
            switch random.below(10) {
            case 0: header[12] = UInt8(random.below(2))  // Model.
            case 1: header[13] = UInt8(random.below(2))  // Chat template.
            case 2: header[14] = UInt8(random.below(2))  // Whether merges are ignored.
            case 3: bytes.storeBytes(of: UInt32(random.below(20)), toByteOffset: 24, as: UInt32.self)  // Longest word.
            case 4:
                let vocabulary = Int(bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
                let id = random.oneIn(4) ? TokenizerFormat.noToken : UInt32(truncatingIfNeeded: random.below(vocabulary))
                bytes.storeBytes(of: id, toByteOffset: 32 + random.below(9) * 4, as: UInt32.self)
            case 5, 6: header[68 + slot] = UInt8(random.below(8))  // Normalizer steps.
            case 7:  // Stages of the pre-tokenizer, all of them with a kind.
                header[15] = UInt8(slot)
                for i in 0..<slot where header[76 + i * 4] == 0 { header[76 + i * 4] = UInt8(1 + random.below(7)) }
            default:
                header[76 + slot * 4] = UInt8(1 + random.below(7))
                header[77 + slot * 4] = UInt8(random.below(4))
            }
        }
    }

    /// Words are more often what matters than bytes.
    private static func mutateNumbers(_ base: UnsafeMutablePointer<UInt8>, _ size: Int, _ random: inout FuzzRandom) {
        if size < 8 || random.oneIn(2) { return mutateInPlace(base, size) }
        let words = UnsafeMutableRawPointer(base)
        for _ in 0...random.below(3) {
            let (to, from) = (random.below(size / 4) * 4, random.below(size / 4) * 4)
            let value = words.loadUnaligned(fromByteOffset: random.oneIn(2) ? from : to, as: UInt32.self)
            let delta = UInt32(truncatingIfNeeded: random.below(5)) &- 2
            words.storeBytes(of: value &+ delta, toByteOffset: to, as: UInt32.self)
        }
    }

    private static func section(_ data: UnsafePointer<UInt8>, _ index: Int) -> (offset: Int, size: Int) {
        let place = UnsafeRawPointer(data) + directoryStart + index * 8
        return (Int(place.loadUnaligned(as: UInt32.self)), Int(place.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
    }

    /// Gives one section another size and lays all of them out anew.
    private static func resize(
        _ data: UnsafeMutablePointer<UInt8>, _ count: Int, _ capacity: Int, _ changed: Int, _ random: inout FuzzRandom
    ) -> Int? {
        let old = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
        defer { old.deallocate() }
        old.update(from: data, count: count)
        var end = TokenizerFormat.headerByteCount
        for i in 0..<sectionCount {
            let (offset, size) = section(old, i)
            guard offset <= count, size <= count - offset else { continue }
            let start = (end + 7) & ~7
            guard start + size <= capacity else { return nil }
            for gap in end..<max(end, start) { data[gap] = 0 }
            (data + start).update(from: old + offset, count: size)
            var newSize = size
            if i == changed {
                let room = min(capacity - start, size + 64)
                newSize = random.oneIn(2) ? size & ~7 : LLVMFuzzerMutate(data + start, size, room)
                if random.oneIn(2) { newSize = min(newSize &+ 4, room) & ~3 }
                for i in size..<max(size, newSize) where random.oneIn(2) { data[start + i] = UInt8(random.below(4)) }
            }
            let place = UnsafeMutableRawPointer(data) + directoryStart + i * 8
            place.storeBytes(of: newSize == 0 ? 0 : UInt32(truncatingIfNeeded: start), as: UInt32.self)
            place.storeBytes(of: UInt32(truncatingIfNeeded: newSize), toByteOffset: 4, as: UInt32.self)
            if newSize > 0 { end = start + newSize }
        }
        return end
    }
}
