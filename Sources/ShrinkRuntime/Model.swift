import CShrinkKernels
import ShrinkFormat

/// A verified artifact, ready for sessions. Immutable: any number of threads may make sessions from
/// it at the same time. A session keeps what it needs of the model alive.
///
/// A mapped file must not be changed or truncated while the model or one of its sessions lives; read
/// it into memory where that cannot be promised.
public struct Model: ~Copyable, Sendable {
    public struct Options: Sendable {
        public var allocator: Allocator
        /// Copies the file into memory of the allocator instead of mapping it.
        public var readsIntoMemory = false
        /// Hashes the weights too; everything else always is.
        public var verifiesWeights = true
        /// The largest artifact to accept, in bytes.
        public var maximumByteCount = Int.max

        public init(allocator: Allocator = .system) {
            self.allocator = allocator
        }
    }

    let reference: ModelReference

    /// Opens an artifact. Throws `inputOutput` (detail: errno), `limitExceeded`, `outOfMemory`,
    /// `invalidArtifact` (detail: byte offset or record index), `unsupportedVersion`.
    public init(path: UnsafePointer<CChar>, options: Options = Options()) throws(RuntimeError) {
        try self.init(artifact: ArtifactBytes(path: path, options: options), options: options)
    }

    /// The same from a regular file that is open for reading, whatever its offset. The descriptor
    /// stays the caller's, who may close it afterwards.
    public init(descriptor: Int32, options: Options = Options()) throws(RuntimeError) {
        try self.init(artifact: ArtifactBytes(descriptor: descriptor, options: options), options: options)
    }

    /// An artifact in memory. With `readsIntoMemory` it is copied; otherwise it is aligned to 64 bytes, and the
    /// caller keeps it unchanged as long as the model or one of its sessions lives.
    public init(unowned bytes: UnsafeRawBufferPointer, options: Options = Options()) throws(RuntimeError) {
        guard bytes.count <= options.maximumByteCount else {
            throw RuntimeError(.limitExceeded, "the artifact is larger than the limit", bytes.count)
        }
        if options.readsIntoMemory {
            try self.init(artifact: ArtifactBytes(copying: bytes, options: options), options: options)
        } else {
            try self.init(artifact: ArtifactBytes(unowned: bytes), options: options)
        }
    }

    /// The parts of an artifact that is being made, in memory that the caller keeps unchanged as
    /// long as the model or one of its sessions lives. `weights` is aligned to 64 bytes.
    public init(
        program: UnsafeRawBufferPointer, weights: UnsafeRawBufferPointer, tokenizer: UnsafeRawBufferPointer? = nil,
        allocator: Allocator = .system
    ) throws(RuntimeError) {
        let bytes = ArtifactBytes(unowned: UnsafeRawBufferPointer(start: nil, count: 0))
        let view = try Self.verified(program, weights, allocator)
        reference = try ModelReference(
            ModelStorage(
                allocator: allocator, bytes: bytes, program: view, weights: weights, directory: nil, tokenizer: tokenizer))
    }

    private init(artifact: consuming ArtifactBytes, options: Options) throws(RuntimeError) {
        let bytes = artifact.bytes
        let directory = try ArtifactDirectory(reading: bytes)
        try directory.verify(
            bytes, includingWeights: options.verifiesWeights, blockFunction: shrink_sha256_accelerated())
        guard let program = directory[.program], let weights = directory[.weights] else {
            throw RuntimeError(.invalidArtifact, "an entry is missing", 0)
        }
        let weightBytes = UnsafeRawBufferPointer(rebasing: bytes[weights])
        let view = try Self.verified(UnsafeRawBufferPointer(rebasing: bytes[program]), weightBytes, options.allocator)
        let tokenizer = directory[.tokenizer].map { UnsafeRawBufferPointer(rebasing: bytes[$0]) }
        reference = try ModelReference(
            ModelStorage(
                allocator: options.allocator, bytes: artifact, program: view, weights: weightBytes, directory: directory,
                tokenizer: tokenizer))
    }

    private static func verified(
        _ program: UnsafeRawBufferPointer, _ weights: UnsafeRawBufferPointer, _ allocator: Allocator
    ) throws(RuntimeError) -> ProgramView {
        guard UInt(bitPattern: weights.baseAddress) % UInt(Program.weightAlignment) == 0 else {
            throw RuntimeError(.invalidArgument, "the weights are not aligned to 64 bytes", 64)
        }
        let view = try ProgramView(program)
        // A count beyond the limit needs no memory: the verifier refuses it before it uses any.
        let isPlausible = view.header.tensorCount <= ProgramVerifier.Limit.tensors
        let scratch = try RawMemory(byteCount: isPlausible ? ProgramVerifier.scratchByteCount(view) : 0, from: allocator)
        try ProgramVerifier.verify(
            view, weightByteCount: weights.count,
            scratch: UnsafeMutableRawBufferPointer(start: scratch.base, count: scratch.byteCount))
        return view
    }

    /// The verified program: entry points, limits, labels.
    public var program: ProgramView { reference.program }

    /// Identifies the contents of the artifact: the SHA-256 of its `SHA256SUMS`, which names the digest of
    /// every other entry; for a model made of parts that of its program.
    public var fingerprint: SHA256.Digest { reference.fingerprint }

    /// Bytes that the open model holds of its allocator, and bytes of the file that it has mapped.
    public var memory: (allocated: Int, mapped: Int) { reference.memory }

    /// The bytes of an entry of the artifact; nil when it is absent or the model was made of parts.
    public func bytes(of entry: ArtifactDirectory.Entry) -> UnsafeRawBufferPointer? {
        reference.bytes(of: entry)
    }
}
