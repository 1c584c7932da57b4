import CShrinkKernels
import ShrinkFormat

/// A caller's own threads: `function(context, count, work, workContext)` calls `work(workContext, i)`
/// once for every i in 0 ..< count and returns when all have returned.
public struct ParallelFor: @unchecked Sendable {
    public var context: UnsafeMutableRawPointer?
    public var function: shrink_parallel_for

    public init(context: UnsafeMutableRawPointer?, function: @escaping shrink_parallel_for) {
        self.context = context
        self.function = function
    }
}

public struct SessionOptions: @unchecked Sendable {
    public var kind: EntryRecord.Kind
    /// Positions that the session has room for: the tokens kept, or the longest input of the kinds
    /// without state. nil: as many as the model was made for.
    public var context: Int?
    /// The most tokens of one step. nil: 128 for the kinds with state (less when the context or the
    /// model has less); the kinds without state always take their whole input in one step.
    public var chunk: Int?
    /// How many threads compute, the caller's own included.
    public var threads = 1
    /// nil: the best that this CPU has.
    public var instructionSet: InstructionSet?
    /// Instead of threads of the session's own; `threads` says into how many shares work is split.
    public var parallelFor: ParallelFor?
    /// The most memory that the session may take, in bytes.
    public var maximumByteCount = Int.max
    /// Checked between instructions; anything but 0 ends a step with `cancelled`. It may be set from
    /// any thread or signal handler.
    public var cancelFlag: UnsafePointer<Int32>?

    public init(kind: EntryRecord.Kind) {
        self.kind = kind
    }
}
