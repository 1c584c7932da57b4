import Glibc
import ShrinkCheckpoints
import Testing

@Suite struct MappedFileTests {
    let scratch: Scratch

    init() throws { scratch = try Scratch() }

    /// Kilobytes of the file that are in this process's memory, as the kernel counts them.
    private func residentKilobytes(_ path: String) throws -> Int {
        let lines = try systemText("/proc/self/smaps").split(separator: "\n")
        let mapping = try #require(lines.firstIndex { $0.hasSuffix(path) })
        let resident = try #require(lines[mapping...].first { $0.hasPrefix("Rss:") })
        return try #require(resident.split(separator: " ").dropFirst().first.flatMap { Int($0) })
    }

    @Test func givesBackThePagesThatWereRead() throws {
        let name = "pages-\(UInt64.random(in: 0 ... .max))"
        let file = try MappedFile(path: scratch.write([UInt8](repeating: 1, count: 1 << 20), to: name))
        #expect(file.bytes.reduce(0) { $0 + Int($1) } == 1 << 20)
        #expect(try residentKilobytes(name) == 1024)
        file.discard(0..<1 << 19)
        #expect(try residentKilobytes(name) == 512)
        file.discard(-5..<Int.max)
        #expect(try residentKilobytes(name) == 0)
        #expect(file.bytes.reduce(0) { $0 + Int($1) } == 1 << 20)
    }

    @Test func saysWhyAFileCannotBeOpened() throws {
        try #require(symlink("loop", scratch.file("loop")) == 0)
        let error = #expect(throws: CheckpointError.self) { _ = try MappedFile(path: scratch.file("loop")) }
        #expect(error?.code == .cannotOpen)
        #expect(error?.message.contains("symbolic links") == true)
    }

    @Test func mapsAnEmptyFile() throws {
        let file = try MappedFile(path: scratch.write([]))
        #expect(file.bytes.isEmpty)
        file.discard(0..<10)
    }
}
