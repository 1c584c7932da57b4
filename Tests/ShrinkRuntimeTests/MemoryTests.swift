import CAllocationCounter
import RuntimeTestSupport
import ShrinkFormat
import ShrinkRuntime
import Testing

@Suite struct MemoryTests {
    @Test(arguments: [1, 3], [nil, 1, 33] as [Int?])
    func aSessionTakesExactlyWhatWasPredictedInOnePiece(threads: Int, chunk: Int?) throws {
        let loaded = try LoadedProgram(SmallDecoder(isQuantized: true).program())
        let counting = CountingAllocator()
        for kind in [EntryRecord.Kind.generate, .score] {
            let options = options(kind, context: 50, chunk: chunk, threads: threads)
            let predicted = try loaded.model.sessionByteCount(options)
            let before = (counting.calls, counting.totalBytes)
            do {
                var session = try Session(loaded.model, options, allocator: counting.allocator)
                #expect(session.byteCount == predicted)
                #expect(counting.liveBytes == predicted)
                _ = try session.fed(tokens(50, below: 51))
                #expect(counting.calls - before.0 == 1)
                #expect(counting.totalBytes - before.1 == predicted)
            }
            #expect(counting.live.isEmpty)
        }
    }

    @Test func theCounterSeesAnAllocation() {
        allocation_counter_begin()
        let array = [Int](repeating: tokens(1, below: 9).count, count: 1000)
        let count = allocation_counter_end()
        #expect(count > 0)
        #expect(array.count == 1000)
    }

    @Test(arguments: [1, 3], [true, false]) func aStepAllocatesNothing(threads: Int, isQuantized: Bool) throws {
        let decoder = SmallDecoder(isQuantized: isQuantized, shape: .wide)
        let loaded = try LoadedProgram(decoder.program())
        var session = try Session(loaded.model, options(.generate, context: 160, chunk: 64, threads: threads))
        var samplerOptions = SamplerOptions()
        samplerOptions.temperature = 0.8
        samplerOptions.topK = 40
        samplerOptions.topP = 0.9
        var sampler = try Sampler(vocabularySize: decoder.vocabularySize, options: samplerOptions)
        let prompt = tokens(100, below: decoder.vocabularySize)
        try prompt.withUnsafeBufferPointer { prompt in
            allocation_counter_begin()
            defer { _ = allocation_counter_end() }
            var token = try sampler.sample(session.feed(prompt)[0])
            for _ in 0..<20 {
                token = try withUnsafePointer(to: token) {
                    try sampler.sample(session.step(UnsafeBufferPointer(start: $0, count: 1))[0])
                }
            }
            let count = allocation_counter_end()
            #expect(count == 0)
        }
    }

    @Test func everyFailedAllocationIsAnErrorAndNothingLeaks() throws {
        let assembler = SmallDecoder(isQuantized: true).program()
        let file = ArtifactFile.archive(ArtifactFile.entries(program: assembler.encoded(), weights: assembler.weights))
        let path = try TemporaryFile(file)
        func attempt(_ counting: CountingAllocator) throws(RuntimeError) {
            var modelOptions = Model.Options(allocator: counting.allocator)
            modelOptions.readsIntoMemory = true
            let model = try Model(path: path.name, options: modelOptions)
            _ = try Session(model, SessionOptions(kind: .score))
            _ = try Sampler(vocabularySize: 51, options: SamplerOptions(), allocator: counting.allocator)
        }
        let whole = CountingAllocator()
        try attempt(whole)
        #expect(whole.live.isEmpty)
        #expect(whole.calls >= 5)
        for call in 0..<whole.calls {
            let counting = CountingAllocator(failingCall: call)
            do throws(RuntimeError) {
                try attempt(counting)
                Issue.record("call \(call) failed, and no error")
            } catch {
                #expect(error.code == .outOfMemory)
            }
            #expect(counting.live.isEmpty, "call \(call)")
        }
    }

    @Test func aSessionKeepsTheModelAlive() throws {
        let assembler = SmallDecoder(isQuantized: true).program()
        let file = ArtifactFile.archive(ArtifactFile.entries(program: assembler.encoded(), weights: assembler.weights))
        let path = try TemporaryFile(file)
        let counting = CountingAllocator()
        func makeSession() throws -> Session {
            var modelOptions = Model.Options(allocator: counting.allocator)
            modelOptions.readsIntoMemory = true
            return try Session(Model(path: path.name, options: modelOptions), options(.score, chunk: 8))
        }
        do {
            var session = try makeSession()
            #expect(counting.live.values.contains(file.count))
            #expect(try session.rows([1, 2, 3]).count == 3)
        }
        #expect(counting.live.isEmpty)
    }

    @Test func aSessionBeyondTheLimitIsRefusedBeforeMemoryIsTaken() throws {
        let loaded = try LoadedProgram(SmallDecoder(isQuantized: true).program())
        let counting = CountingAllocator()
        var options = options(.generate)
        let needed = try loaded.model.sessionByteCount(options)
        options.maximumByteCount = needed - 1
        do throws(RuntimeError) {
            _ = try Session(loaded.model, options, allocator: counting.allocator)
            Issue.record("accepted")
        } catch {
            #expect(error.code == .limitExceeded)
            #expect(error.detail == needed)
        }
        #expect(counting.calls == 0)
        options.maximumByteCount = needed
        _ = try Session(loaded.model, options, allocator: counting.allocator)
    }
}
