import Foundation
import Glibc
import ShrinkCheckpoints
import Testing

/// A directory of its own for one test, removed afterwards.
final class Scratch {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "/shrink-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { path + "/" + name }

    @discardableResult
    func write(_ bytes: [UInt8], to name: String = "file") -> String {
        // The tests with damaged files write thousands; truncating one that is there would bring it to the disk each time.
        unlink(file(name))
        let descriptor = open(file(name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        let written = Glibc.write(descriptor, bytes, bytes.count)
        close(descriptor)
        #expect(written == bytes.count)
        return file(name)
    }

    func read(_ name: String) -> [UInt8]? { FileManager.default.contents(atPath: file(name)).map(Array.init) }

    var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path).sorted()) ?? [] }
}

func fixture(_ name: String) -> String {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Fixtures/" + name).path
}

func fixtureBytes(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: fixture(name))))
}

/// A file under /proc, whose size nobody knows before its end is reached.
func systemText(_ path: String) throws -> String {
    let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    var data = Data()
    while let piece = try handle.read(upToCount: 1 << 16), !piece.isEmpty { data += piece }
    return String(decoding: data, as: UTF8.self)
}

func littleEndian<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

extension CheckpointTensor {
    func floats(_ range: Range<Int>) throws -> [Float] {
        var floats = [Float](repeating: .nan, count: range.count)
        try floats.withUnsafeMutableBufferPointer { try readFloats(range, into: $0) }
        return floats
    }

    func floats() throws -> [Float] { try floats(0..<elementCount) }

    func elements<T: FixedWidthInteger & BitwiseCopyable>(as: T.Type) -> [T] {
        stride(from: 0, to: byteCount, by: MemoryLayout<T>.size).map {
            T(littleEndian: bytes.loadUnaligned(fromByteOffset: $0, as: T.self))
        }
    }
}

/// Expects `body` to throw an error of this code that names `place` and reads as one line.
func expectError(
    _ code: CheckpointError.Code, at place: String? = nil, sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
) {
    let error = #expect(throws: CheckpointError.self, sourceLocation: sourceLocation) { try body() }
    #expect(error?.code == code, "\(error.map(String.init(describing:)) ?? "")", sourceLocation: sourceLocation)
    if let place, let error { #expect(error.place.contains(place), sourceLocation: sourceLocation) }
    #expect(error?.description.contains("\n") != true, sourceLocation: sourceLocation)
}

/// A safetensors file of this header and as many data bytes.
func safetensors(_ header: String, dataByteCount: Int) -> [UInt8] {
    littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + (0..<dataByteCount).map { UInt8(truncatingIfNeeded: $0) }
}
