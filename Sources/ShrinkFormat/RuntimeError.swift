/// What went wrong, in a form that needs no heap.
public struct RuntimeError: Error, Sendable {
    public enum Code: Int32, Sendable {
        /// A file could not be opened, read or mapped; `detail` is errno.
        case inputOutput = 1
        /// The bytes are not an artifact, or a damaged one; `detail` is the place (byte or record).
        case invalidArtifact = 2
        /// The artifact needs a newer runtime; `detail` is its version.
        case unsupportedVersion = 3
        case outOfMemory = 4
        /// The caller asked for something that this model or session cannot do.
        case invalidArgument = 5
        /// A limit that the caller set, or the model's context, would be exceeded.
        case limitExceeded = 6
        /// The CPU lacks the instruction set that was asked for.
        case unsupportedISA = 7
        case cancelled = 8
        /// This machine computes something else than the one that packed the model.
        case selfTestFailed = 9
        /// A saved state is damaged, made up or of another model; `detail` is the byte offset.
        case invalidState = 10
    }

    public var code: Code
    public var message: StaticString
    /// A number that belongs to the message: errno, a byte offset, a record index, a size.
    public var detail: Int

    public init(_ code: Code, _ message: StaticString, _ detail: Int = 0) {
        self.code = code
        self.message = message
        self.detail = detail
    }
}
