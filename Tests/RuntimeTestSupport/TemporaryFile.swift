import Foundation

/// A file that goes with its owner.
public final class TemporaryFile {
    public let name: String

    public init(_ content: [UInt8]) throws {
        name = FileManager.default.temporaryDirectory.appendingPathComponent("shrink-\(UUID().uuidString)").path
        try Data(content).write(to: URL(fileURLWithPath: name))
    }

    deinit { try? FileManager.default.removeItem(atPath: name) }
}
