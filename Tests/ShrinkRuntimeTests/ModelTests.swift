import Foundation
import RuntimeTestSupport
import ShrinkFormat
import ShrinkRuntime
import Testing

@Suite struct ModelTests {
    static let assembler = SmallEncoder(isQuantized: true).program()

    static func artifact(selfTest: [UInt8]? = nil) -> [UInt8] {
        ArtifactFile.archive(
            ArtifactFile.entries(
                program: assembler.encoded(), weights: assembler.weights, tokenizer: Array("words".utf8), selfTest: selfTest))
    }

    func error(_ body: () throws -> Void) -> RuntimeError? {
        do { try body() } catch { return error as? RuntimeError }
        return nil
    }

    @Test func aFileMappedReadOrInMemoryGivesTheSame() throws {
        let content = Self.artifact()
        let file = try TemporaryFile(content)
        let memory = GuardedBytes(content)
        let input = tokens(9, below: 37)
        var reading = Model.Options()
        reading.readsIntoMemory = true
        let mapped = try Model(path: file.name)
        let read = try Model(path: file.name, options: reading)
        let unowned = try Model(unowned: memory.raw)
        func output(_ model: borrowing Model) throws -> [[UInt32]] {
            var session = try Session(model, options(.embed))
            return try session.rows(input)
        }
        let expected = try output(mapped)
        #expect(try output(read) == expected)
        #expect(try output(unowned) == expected)
        #expect(mapped.bytes(of: .tokenizer).map { Array($0) } == Array("words".utf8))
        #expect(mapped.bytes(of: .manifest).map { Array($0) } == Array("{}".utf8))
        #expect(mapped.bytes(of: .selfTest) == nil)
        #expect((0..<3).map { mapped.program.label($0).map { String(decoding: $0, as: UTF8.self) } } == ["O", "città", "日本"])
    }

    @Test func aDescriptorIsReadFromItsStartAndStaysOpen() throws {
        let content = Self.artifact()
        let file = try TemporaryFile(content)
        let descriptor = open(file.name, O_RDONLY)
        defer { close(descriptor) }
        #expect(lseek(descriptor, 100, SEEK_SET) == 100)
        let expected = try Model(path: file.name).fingerprint
        for reads in [false, true] {
            var options = Model.Options()
            options.readsIntoMemory = reads
            let fingerprint = try Model(descriptor: descriptor, options: options).fingerprint
            #expect(fingerprint.indices.allSatisfy { fingerprint[$0] == expected[$0] })
        }
        #expect(lseek(descriptor, 0, SEEK_CUR) == 100)
        #expect(error { _ = try Model(descriptor: -1) }?.detail == Int(EBADF))
    }

    @Test func bytesAreCopiedWhenAsked() throws {
        let counting = CountingAllocator()
        var options = Model.Options(allocator: counting.allocator)
        options.readsIntoMemory = true
        let content = GuardedBytes([0] + Self.artifact())
        do {
            let model = try Model(unowned: UnsafeRawBufferPointer(rebasing: content.raw[1...]), options: options)
            content.bytes.initializeMemory(as: UInt8.self, repeating: 0)
            var session = try Session(model, ShrinkRuntimeTests.options(.embed))
            #expect(try session.rows([1, 2]).count == 1)
            #expect(model.memory.mapped == 0)
        }
        #expect(counting.live.isEmpty)
    }

    @Test func theFingerprintIsTheDigestOfTheChecksums() throws {
        let content = Self.artifact()
        let range = try content.withUnsafeBytes { try ArtifactDirectory(reading: $0) }[.checksums]!
        let expected = Array(content[range]).withUnsafeBytes { SHA256.digest(of: $0) }
        let memory = GuardedBytes(content)
        let fingerprint = try Model(unowned: memory.raw).fingerprint
        #expect(fingerprint.indices.allSatisfy { fingerprint[$0] == expected[$0] })
    }

    @Test func filesThatCannotBeOpenedSayWhy() throws {
        #expect(error { _ = try Model(path: "/nonexistent/model.shrink") }?.detail == Int(ENOENT))
        #expect(error { _ = try Model(path: "/") }?.detail == Int(EISDIR))
        let device = error { _ = try Model(path: "/dev/zero") }
        #expect(device?.code == .inputOutput)
        #expect(device?.detail == Int(ENODEV))
        let empty = try TemporaryFile([])
        #expect(error { _ = try Model(path: empty.name) }?.code == .invalidArtifact)
    }

    @Test func aFileBeyondTheLimitIsRefused() throws {
        let content = Self.artifact()
        let file = try TemporaryFile(content)
        var options = Model.Options()
        options.maximumByteCount = content.count - 1
        #expect(error { _ = try Model(path: file.name, options: options) }?.code == .limitExceeded)
        options.maximumByteCount = content.count
        #expect(error { _ = try Model(path: file.name, options: options) } == nil)
    }

    @Test func unalignedMemoryIsRefused() throws {
        let content = Self.artifact()
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: content.count + 64, alignment: 64)
        defer { memory.deallocate() }
        let shifted = UnsafeMutableRawBufferPointer(rebasing: memory[16..<(16 + content.count)])
        shifted.copyBytes(from: content)
        #expect(error { _ = try Model(unowned: UnsafeRawBufferPointer(shifted)) }?.code == .invalidArgument)
    }

    @Test func damagedWeightsAreFoundUnlessNotLookedFor() throws {
        var content = Self.artifact()
        let weights = try content.withUnsafeBytes { try ArtifactDirectory(reading: $0) }[.weights]!
        content[weights.lowerBound + 100] ^= 0x10
        let file = try TemporaryFile(content)
        #expect(error { _ = try Model(path: file.name) }?.code == .invalidArtifact)
        var options = Model.Options()
        options.verifiesWeights = false
        #expect(error { _ = try Model(path: file.name, options: options) } == nil)
    }

    @Test func everyTruncationAtASectionEdgeIsRefused() throws {
        let content = Self.artifact()
        let directory = try content.withUnsafeBytes { try ArtifactDirectory(reading: $0) }
        var edges = Set([0, 512, content.count - 512, content.count - 1024, content.count - 1])
        for entry in ArtifactDirectory.Entry.allCases {
            guard let range = directory[entry] else { continue }
            edges.formUnion([range.lowerBound - 512, range.lowerBound, range.upperBound, (range.upperBound + 511) / 512 * 512])
        }
        for edge in edges {
            let file = try TemporaryFile(Array(content[..<edge]))
            #expect(error { _ = try Model(path: file.name) }?.code == .invalidArtifact, "\(edge) bytes")
        }
    }

    @Test func aThousandRandomFlipsAreRefused() throws {
        let content = GuardedBytes(Self.artifact())
        var random = RandomValues(seed: 77)
        for _ in 0..<1000 {
            let i = random.below(content.bytes.count)
            let mask = UInt8(1 << random.below(8))
            content.bytes[i] ^= mask
            #expect(error { _ = try Model(unowned: content.raw) } != nil, "byte \(i)")
            content.bytes[i] ^= mask
        }
        #expect(error { _ = try Model(unowned: content.raw) } == nil)
    }

    // MARK: Self-test

    /// The same digest made of the session's rows by hand.
    @Test func theDigestIsOverTheRowsWithoutPadding() throws {
        let loaded = try LoadedProgram(Self.assembler)
        let input = tokens(9, below: 37)
        var session = try Session(loaded.model, options(.tag))
        let bytes = try session.rows(input).flatMap { $0 }.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        #expect(bytes.count == 9 * 3 * 4)
        let expected = bytes.withUnsafeBytes { SHA256.digest(of: $0) }
        let digest = try input.withUnsafeBufferPointer { try loaded.model.outputDigest(kind: .tag, tokens: $0) }
        #expect(digest.indices.allSatisfy { digest[$0] == expected[$0] })
    }

    @Test func aSelfTestPassesEverywhereAndFailsForAnotherModel() throws {
        let loaded = try LoadedProgram(Self.assembler)
        let input = tokens(9, below: 37)
        let entry = try input.withUnsafeBufferPointer { input in
            let digest = try loaded.model.outputDigest(kind: .encode, tokens: input)
            return [UInt8](unsafeUninitializedCapacity: SelfTest.byteCount(tokenCount: input.count)) { buffer, count in
                SelfTest.write(kind: .encode, tokens: input, digest: digest, to: UnsafeMutableRawPointer(buffer.baseAddress!))
                count = buffer.count
            }
        }
        let memory = GuardedBytes(Self.artifact(selfTest: entry))
        let model = try Model(unowned: memory.raw)
        for set in readyInstructionSets {
            #expect(try model.selfTest(instructionSet: set, threads: 2) == true)
        }
        let plain = GuardedBytes(Self.artifact())
        let without = try Model(unowned: plain.raw)
        #expect(try without.selfTest() == nil)
        withExtendedLifetime((memory, plain)) {}
        let other = try LoadedProgram(SmallEncoder(isQuantized: true, seed: 99).program())
        #expect(try entry.withUnsafeBytes { try other.model.selfTest(SelfTest(reading: $0)) } == false)
    }
}
