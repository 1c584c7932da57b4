import Foundation
import Glibc
import GoldenModels
import ShrinkFormat
import ShrinkPasses
import Testing

@testable import ShrinkPacking

@Suite struct ArtifactTests {
    /// Runs a program of the system and returns its output; throws when it fails.
    func system(_ arguments: [String], in directory: String) throws -> String {
        let process = Process(), pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.environment = ["PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"]
        process.currentDirectoryURL = URL(fileURLWithPath: directory)
        process.standardOutput = pipe
        try process.run()
        let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(arguments)")
        return String(decoding: data, as: UTF8.self)
    }

    @Test func tarListsTheArtifactAndSHA256SUMSHolds() throws {
        let scratch = try ScratchDirectory()
        try GoldenModel.named("bert-classify").packed(.w8a8).write(to: scratch.file("model.shrink"))
        #expect(scratch.names == ["model.shrink"])
        let list = try system(["tar", "tvf", "model.shrink"], in: scratch.path).split(separator: "\n").map { $0.split(separator: " ") }
        #expect(list.map { $0.last ?? "" } == ["manifest.json", "program", "weights", "tokenizer", "selftest", "LICENSE", "README.md", "SHA256SUMS"])
        #expect(list.allSatisfy { $0[0] == "-rw-r--r--" && $0[1] == "0/0" && $0[3] == "1970-01-01" })
        _ = try system(["tar", "xf", "model.shrink"], in: scratch.path)
        let checked = try system(["sha256sum", "-c", "--strict", "SHA256SUMS"], in: scratch.path)
        #expect(checked.split(separator: "\n").count == 7)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: scratch.file("model.shrink")))
        #expect(bytes.count.isMultiple(of: 512) && bytes.suffix(1024).allSatisfy { $0 == 0 })
    }

    @Test func theSameModelGivesTheSameBytes() throws {
        let scratch = try ScratchDirectory()
        for name in ["a", "b"] { try GoldenModel.named("qwen2").packed(.w8a8).write(to: scratch.file(name)) }
        let a = try Data(contentsOf: URL(fileURLWithPath: scratch.file("a"))), b = try Data(contentsOf: URL(fileURLWithPath: scratch.file("b")))
        #expect(a == b)
    }

    @Test(arguments: GoldenModel.all) func theReaderAcceptsEveryModelInEveryScheme(_ golden: GoldenModel) throws {
        for scheme in Scheme.allCases {
            let model = try golden.packed(scheme)
            try model.program.withUnsafeBytes { bytes in
                let view = try ProgramView(bytes)
                let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: ProgramVerifier.scratchByteCount(view), alignment: 16)
                defer { scratch.deallocate() }
                try ProgramVerifier.verify(view, weightByteCount: model.weightByteCount, scratch: scratch)
                #expect(view.header.entryCount == (golden.isDecoder ? 2 : 1))
                #expect(golden.isDecoder == (view.header.stateBytesPerPosition > 0 || view.header.carryByteCount > 0))
            }
        }
    }

    @Test func bothEntryPointsShareWeightsAndState() throws {
        let golden = GoldenModel.named("llama-tied")
        let model = try golden.packed(.w8a8)
        #expect(Set(model.storedWeights.map(\.name)).count == model.storedWeights.count)
        let header = try model.program.withUnsafeBytes { try ProgramView($0).header }
        // Two layers, keys and values of two heads of eight codes: each padded to 16, with 16 of tail.
        #expect(header.stateBytesPerPosition == 2 * 2 * 2 * 32)
    }

    @Test func bothEntryPointsShareWhatRecurrentLayersCarry() throws {
        let header = try GoldenModel.named("lstm").packed(.w8a8).program.withUnsafeBytes { try ProgramView($0).header }
        // Two layers, h and c of 24 floats.
        #expect(header.carryByteCount == 2 * 2 * 24 * 4)
        #expect(header.stateBytesPerPosition == 0)
    }

    @Test func aReversedLayerTakesWholeInputsOnly() throws {
        _ = try recurrentModel(.encode, isReversed: true, positions: 8)
        _ = try recurrentModel(.score, isReversed: false)
        #expect(throws: PackingError.self) { try recurrentModel(.score, isReversed: true) }
    }

    @Test func moreThanTwoRowsSideBySideAreJoinedOneByOne() throws {
        let model = try recurrentModel(.score, isReversed: false, copies: 4)
        let widths = try model.program.withUnsafeBytes { bytes in
            let view = try ProgramView(bytes)
            return (0..<Int(view.header.instructionCount)).compactMap { index in
                view.instruction(index).flatMap { $0.opcode == .concatenate ? $0 : nil }.flatMap { record in
                    // The last one makes quantized rows for the head, and nobody reads the floats.
                    view.tensor(Int(record.operands[record.operands[2] == InstructionRecord.absent ? 3 : 2]))?.rowElements
                }
            }
        }
        #expect(widths == [8, 12, 16])
    }

    @Test func progressGoesUpToTheTotal() throws {
        let scratch = try ScratchDirectory()
        var calls: [(Int, Int)] = []
        try GoldenModel.named("llama-tied").packed(.fp32).write(to: scratch.file("m")) { calls.append(($0, $1)) }
        #expect(zip(calls, calls.dropFirst()).allSatisfy { $0.0 <= $1.0 && $0.1 == $1.1 })
        #expect(calls.last.map { $0.0 == $0.1 } == true)
    }

    // MARK: Failures leave nothing behind

    struct Cancelled: Error {}

    @Test func cancellingAtAnyTimeLeavesNothingBehind() throws {
        let scratch = try ScratchDirectory()
        let model = try GoldenModel.named("mistral").packed(.w8a8)
        var count = 0
        try model.write(to: scratch.file("whole")) { _, _ in count += 1 }
        #expect(count > 10)
        for stop in 0..<count {
            var calls = 0
            #expect(throws: Cancelled.self) {
                try model.write(to: scratch.file("m")) { _, _ in
                    if calls == stop { throw Cancelled() }
                    calls += 1
                }
            }
            #expect(scratch.names == ["whole"])
        }
    }

    @Test func aFailingSelfTestLeavesNothingBehind() throws {
        let scratch = try ScratchDirectory()
        let model = try GoldenModel.named("bert-tag").packed(.w8a8)
        #expect(throws: Cancelled.self) {
            try model.write(
                to: scratch.file("m"), .init(manifest: .null, tokenizer: nil), selfTest: { _, _ in throw Cancelled() }, progress: { _, _ in })
        }
        #expect(scratch.names.isEmpty)
    }

    @Test func anArtifactThatIsThereStaysUntilTheNewOneIsWhole() throws {
        let scratch = try ScratchDirectory()
        try "old".write(toFile: scratch.file("m"), atomically: false, encoding: .utf8)
        let model = try GoldenModel.named("bert-tag").packed(.w8a8)
        #expect(throws: Cancelled.self) { try model.write(to: scratch.file("m")) { done, total in if done == total { throw Cancelled() } } }
        #expect(try String(contentsOfFile: scratch.file("m"), encoding: .utf8) == "old")
        try model.write(to: scratch.file("m"))
        #expect(try Data(contentsOf: URL(fileURLWithPath: scratch.file("m"))).count > 3)
        #expect(scratch.names == ["m"])
    }

    @Test func anUnwritableTargetIsNamed() throws {
        let model = try GoldenModel.named("bert-tag").packed(.w8a8)
        let scratch = try ScratchDirectory()
        let missing = #expect(throws: PackingError.self) { try model.write(to: scratch.file("none/m")) }
        #expect(missing?.code == .output)
        #expect(missing?.reason.contains(scratch.file("none/m")) == true)
        try FileManager.default.createDirectory(atPath: scratch.file("folder/full"), withIntermediateDirectories: true)
        let folder = #expect(throws: PackingError.self) { try model.write(to: scratch.file("folder")) }
        #expect(folder?.code == .output)
        #expect(scratch.names == ["folder"])
    }

    /// A limit on the size of files stands for a full disk: it fails in the middle of a write as well.
    @Test(arguments: [0, 1000, 12_000, 30_000]) func aWriteThatFailsLeavesNothingBehind(_ limit: Int) async throws {
        await #expect(processExitsWith: .success) { [limit] in
            let scratch = try ScratchDirectory()
            let model = try GoldenModel.named("bert-tag").packed(.w8a8)
            signal(SIGXFSZ, SIG_IGN)
            var size = rlimit(rlim_cur: rlim_t(limit), rlim_max: rlim_t(limit))
            setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &size)
            do {
                try model.write(to: scratch.file("m"))
                exit(2)
            } catch let error as PackingError {
                exit(error.code == .output && error.reason.contains("m.") && scratch.names.isEmpty ? 0 : 3)
            }
        }
    }
}
