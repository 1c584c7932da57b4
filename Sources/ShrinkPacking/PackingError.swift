/// Why a graph could not become an artifact.
public struct PackingError: Error, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// The runtime has no instruction for it.
        case unsupported
        /// A weight that is not a finite number.
        case notFinite
        /// The file could not be written.
        case output
        case cancelled
    }

    public var code: Code
    public var reason: String

    public init(_ code: Code, _ reason: String) {
        self.code = code
        self.reason = reason
    }

    public var description: String { reason }
}
