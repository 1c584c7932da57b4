import CShrinkKernels
import ShrinkFormat

/// Any bytes as an artifact: refused, or opened, self-tested, tokenized with and run.
@c(fuzz_artifact) func fuzzArtifact(_ data: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let file = ExactBlock(copying: data, count: count)
    var random = FuzzRandom(hashing: file.raw)
    // At times one request for memory fails first.
    if random.oneIn(8) { _ = openAndUse(file.raw, failing: 1 + random.below(12), random) }
    guard openAndUse(file.raw, failing: 0, random) else { return -1 }
    fuzz_count_accepted()
    return 0
}

/// Whether the artifact was opened.
private func openAndUse(_ file: UnsafeRawBufferPointer, failing: Int, _ random: FuzzRandom) -> Bool {
    var random = random
    var isAccepted = false
    fuzz_allocator_reset(failing, 0x7E)
    do throws(RuntimeError) {
        var options = Model.Options(allocator: .exact)
        options.readsIntoMemory = random.oneIn(4)
        options.verifiesWeights = random.oneIn(2)
        let model = try Model(unowned: file, options: options)
        isAccepted = true
        try useArtifact(model, &random)
    } catch {
        let known: [RuntimeError.Code] = [.invalidArtifact, .unsupportedVersion, .outOfMemory]
        check(known.contains(error.code), "an artifact failed for another reason")
    }
    check(fuzz_allocator_live() == 1, "memory was not given back")
    return isAccepted
}

@c(mutate_artifact) func mutateArtifact(_ data: UnsafeMutablePointer<UInt8>, _ count: Int, _ capacity: Int, _ seed: UInt32) -> Int {
    var random = FuzzRandom(seed: UInt64(seed))
    return ArtifactEditor.edit(data, count, capacity, &random) ?? LLVMFuzzerMutate(data, count, capacity)
}

private func useArtifact(_ model: borrowing Model, _ random: inout FuzzRandom) throws(RuntimeError) {
    for i in 0..<Int(model.program.header.labelCount) { check(model.program.label(i) != nil, "a label is not there") }
    if let tables = model.bytes(of: .tokenizer) {
        var tokenizer = try Tokenizer(tables: tables, allocator: .exact)
        try useTokenizer(&tokenizer, &random)
    }
    for i in 0..<Int(model.program.header.entryCount) {
        guard let entry = model.program.entry(i), let run = EntryRun(entry, of: model.program, &random) else { continue }
        defer { run.deallocate() }
        do throws(RuntimeError) {
            _ = try run.run(model)
            fuzz_count_run()
        } catch {
            guard error.code == .limitExceeded else { throw error }
            fuzz_count_skipped()
        }
    }
    try selfTest(model)
}

/// Runs the self-test when it is short enough.
private func selfTest(_ model: borrowing Model) throws(RuntimeError) {
    guard let bytes = model.bytes(of: .selfTest) else { return }
    let test = try SelfTest(reading: bytes)
    guard let entry = model.program.entry(test.kind),
        EntryRun.work(entry, of: model.program, tokens: test.tokenCount) <= EntryRun.mostWork
    else { return fuzz_count_skipped() }
    do throws(RuntimeError) {
        let passes = try model.selfTest()
        check(passes != false || shrink_environment("SHRINK_FUZZ_SEEDS") == nil, "a seed fails its self-test: Tools/fuzzing/make-seeds makes them anew")
        fuzz_count_run()
    } catch {
        // Tokens that the model does not have, or too many of them.
        guard error.code == .limitExceeded || error.code == .invalidArgument else { throw error }
    }
}

/// Mutates the content of one entry of an artifact and writes the archive around it anew, with sizes and checksums that
/// are right: without that nothing but the checksums would ever be tested.
enum ArtifactEditor {
    static func edit(_ data: UnsafeMutablePointer<UInt8>, _ count: Int, _ capacity: Int, _ random: inout FuzzRandom) -> Int? {
        let file = UnsafeRawBufferPointer(start: data, count: count)
        guard !random.oneIn(8), let directory = try? ArtifactDirectory(reading: file) else { return nil }
        let old = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
        defer { old.deallocate() }
        old.update(from: data, count: count)

        let chosen = ArtifactDirectory.Entry(rawValue: random.below(8)) ?? .program
        var archive = ArchiveWriter(base: UnsafeMutableRawPointer(data), capacity: capacity)
        for entry in ArtifactDirectory.Entry.allCases {
            guard let range = directory[entry] else { continue }
            if entry == chosen, random.oneIn(16) { continue }
            guard let room = archive.beginEntry(atLeast: range.count) else { return nil }
            var size = range.count
            if entry == .checksums, !(entry == chosen && random.oneIn(2)) {
                size = archive.writeChecksums(to: room)
            } else {
                room.base.update(from: old + range.lowerBound, count: size)
                if entry == chosen || entry == .weights && chosen == .checksums {
                    size = mutate(entry, room.base, size, room.capacity, &random)
                }
            }
            if entry == .program, chosen == .program { archive.weightByteCount = weightByteCount(room.base, size) }
            if entry == .weights, let wanted = archive.weightByteCount, wanted <= room.capacity {
                for i in min(size, wanted)..<max(size, wanted) { room.base[i] = 1 }
                size = wanted
            }
            archive.endEntry(entry.name, size)
        }
        return archive.end()
    }

    private static func mutate(
        _ entry: ArtifactDirectory.Entry, _ base: UnsafeMutablePointer<UInt8>, _ size: Int, _ capacity: Int, _ random: inout FuzzRandom
    ) -> Int {
        let edited: Int? =
            switch entry {
            case .program: random.oneIn(4) ? nil : ProgramEditor.edit(base, size, capacity, &random)
            case .tokenizer: TableEditor.edit(base, size, capacity, &random)
            default: nil
            }
        if let edited { return edited }
        if random.oneIn(2) {
            mutateInPlace(base, size)
            return size
        }
        return LLVMFuzzerMutate(base, size, min(capacity, size + 256))
    }

    /// What a program's header asks of the weights.
    private static func weightByteCount(_ program: UnsafeMutablePointer<UInt8>, _ size: Int) -> Int? {
        guard size >= ProgramHeader.byteCount, let header = ProgramHeader(reading: program) else { return nil }
        return Int(exactly: header.weightByteCount)
    }
}

/// Writes an ustar archive in the form that artifacts have.
private struct ArchiveWriter {
    let base: UnsafeMutableRawPointer
    let capacity: Int
    var weightByteCount: Int?
    private var offset = 0
    private var names = InlineArray<8, StaticString>(repeating: "")
    private var contents = InlineArray<8, Range<Int>>(repeating: 0..<0)
    private var count = 0

    init(base: UnsafeMutableRawPointer, capacity: Int) {
        self.base = base
        self.capacity = capacity
    }

    /// Where the next entry's content goes, with room for its padding and the end kept back; nil when it is too large.
    func beginEntry(atLeast size: Int) -> (base: UnsafeMutablePointer<UInt8>, capacity: Int)? {
        let room = capacity - offset - 512 - 511 - 1024
        return room < size ? nil : ((base + offset + 512).assumingMemoryBound(to: UInt8.self), room)
    }

    mutating func endEntry(_ name: StaticString, _ size: Int) {
        writeHeader(name, size)
        names[count] = name
        contents[count] = (offset + 512)..<(offset + 512 + size)
        count += 1
        offset += 512
        let padded = (size + 511) & ~511
        (base + offset + size).initializeMemory(as: UInt8.self, repeating: 0, count: padded - size)
        offset += padded
    }

    /// Two empty blocks; the size of the whole.
    func end() -> Int {
        (base + offset).initializeMemory(as: UInt8.self, repeating: 0, count: 1024)
        return offset + 1024
    }

    /// The lines of SHA256SUMS for the entries so far; fewer when there is no room.
    func writeChecksums(to room: (base: UnsafeMutablePointer<UInt8>, capacity: Int)) -> Int {
        var size = 0
        for i in 0..<count {
            let name = names[i]
            guard size + 64 + 3 + name.utf8CodeUnitCount <= room.capacity else { break }
            let digest = SHA256.digest(of: UnsafeRawBufferPointer(start: base + contents[i].lowerBound, count: contents[i].count))
            for j in digest.indices {
                room.base[size] = hexDigit(digest[j] >> 4)
                room.base[size + 1] = hexDigit(digest[j] & 15)
                size += 2
            }
            put("  ", room.base, &size)
            put(name, room.base, &size)
            put("\n", room.base, &size)
        }
        return size
    }

    private func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x57 + value }

    private func put(_ text: StaticString, _ to: UnsafeMutablePointer<UInt8>, _ offset: inout Int) {
        for i in 0..<text.utf8CodeUnitCount { to[offset + i] = text.utf8Start[i] }
        offset += text.utf8CodeUnitCount
    }

    /// POSIX ustar: name, mode, owner, group, size, time, checksum, type, magic, version, device numbers.
    private func writeHeader(_ name: StaticString, _ size: Int) {
        let header = (base + offset).initializeMemory(as: UInt8.self, repeating: 0, count: 512)
        func field(_ text: StaticString, at offset: Int) {
            var place = offset
            put(text, header, &place)
        }
        func octal(_ value: Int, digits: Int, at offset: Int) {
            for i in 0..<digits { header[offset + digits - 1 - i] = 0x30 + UInt8(value >> (3 * i) & 7) }
        }
        field(name, at: 0)
        field("000644 ", at: 100)
        field("000000 ", at: 108)
        field("000000 ", at: 116)
        octal(size, digits: 11, at: 124)
        field(" ", at: 135)
        field("00000000000 ", at: 136)
        field("        ", at: 148)
        field("0", at: 156)
        field("ustar", at: 257)
        field("00", at: 263)
        field("000000 ", at: 329)
        field("000000 ", at: 337)
        var sum = 0
        for i in 0..<512 { sum += Int(header[i]) }
        octal(sum, digits: 6, at: 148)
        header[154] = 0
    }
}
