/// The `program` entry of an artifact: what the runtime executes, as little-endian fixed-size records.
///
/// ```
/// header (256) | tensors (48 each) | instructions (96) | entry points (64) | labels (8) | strings
/// ```
///
/// Sections follow each other without gaps and the file ends with the strings. Everything a record
/// says is untrusted until `ProgramVerifier` has accepted the whole program.
public enum Program {
    public static let magic: UInt64 = 0x474F_5250_4B52_4853  // "SHRKPROG"
    /// Until 1.0 the reader takes exactly this version; from 1.0 on it reads every older one.
    public static let majorVersion: UInt16 = 0
    /// 0.2: shares of quantized attention have 16 bits (`attention_q8` of the kernels).
    /// 0.3: `recurrent` and `concatenate`, carried state, programs without a longest context; shares of attention are
    /// those of powers of two, against the largest step of a value; a shorter GELU.
    /// 0.4: polynomials of elementary functions are evaluated two powers at a time.
    public static let minorVersion: UInt16 = 4

    /// Output channels that lie together in packed weights; see `shrink_kernels.h`.
    public static let channelBlock = 32
    /// Every tensor in `weights` starts at a multiple of this.
    public static let weightAlignment = 64
    /// Rows of activations and state are padded to a multiple of this many bytes.
    public static let rowAlignment = 16
    /// A 32-bit sum of products of a code (0...255) and a weight (-127...127) is exact up to this many columns.
    public static let maximumColumns = 65_536
}

/// Counts and sizes of a program.
public struct ProgramHeader: Equatable, Sendable {
    public static let byteCount = 256

    public var majorVersion = Program.majorVersion
    public var minorVersion = Program.minorVersion
    public var tensorCount: UInt32 = 0
    public var instructionCount: UInt32 = 0
    public var entryCount: UInt32 = 0
    public var labelCount: UInt32 = 0
    public var stringByteCount: UInt32 = 0
    public var vocabularySize: UInt32 = 0
    /// The longest context the model was made for; a session may ask for less. 0: there is no longest
    /// one, for nothing depends on a token's position or grows with their number.
    public var maximumPositions: UInt32 = 0
    public var weightByteCount: UInt64 = 0
    /// Bytes of state (the KV cache) for each position of a session's context.
    public var stateBytesPerPosition: UInt64 = 0
    /// Bytes of state whatever the context (what recurrent layers carry from token to token).
    public var carryByteCount: UInt64 = 0

    public init() {}

    /// The longest context; nil: there is none.
    public var positionLimit: Int? { maximumPositions == 0 ? nil : Int(maximumPositions) }
}

/// Where a tensor's bytes are.
public enum TensorStorage: UInt8, Sendable {
    /// `offset` bytes into the `weights` entry; constant.
    case weights = 0
    /// `rows` is the number of tokens of the step; `offset` bytes into what each token has in the arena.
    case tokens = 1
    /// A fixed number of rows, `offset` bytes into the fixed part of the arena.
    case fixed = 2
    /// One row for each position of the context, kept between steps; starts at `offset` × (context of the session).
    case state = 3
    /// A fixed number of rows kept between steps, `offset` bytes into the carry; all 0 before the first token.
    case carry = 4
}

/// What a tensor's elements are. Row sizes are given by `TensorRecord.rowByteCount`.
public enum TensorType: UInt8, Sendable {
    /// Row-major binary32.
    case float32 = 0
    /// Row-major two's complement.
    case int32 = 1
    /// Quantized rows as `shrink_kernels.h` defines them; `groups` of them make one row of the tensor.
    case quantizedRow = 2
    /// int8 weights in packed blocks; `rows` are output channels, `columns` inputs.
    case packedInt8 = 3
    /// binary32 weights in packed blocks.
    case packedFloat32 = 4
}

/// One tensor: `rows` × (`groups` × `columns`) elements.
///
/// For storage `tokens` and `state`, `rows` is 0: the session decides. `groups` counts attention
/// heads where a row is made of heads, and is 1 elsewhere.
public struct TensorRecord: Equatable, Sendable {
    public static let byteCount = 48

    public var type: TensorType
    public var storage: TensorStorage
    public var rows: UInt32
    public var groups: UInt32
    public var columns: UInt32
    public var offset: UInt64

    public init(type: TensorType, storage: TensorStorage, rows: UInt32, groups: UInt32 = 1, columns: UInt32, offset: UInt64) {
        self.type = type
        self.storage = storage
        self.rows = rows
        self.groups = groups
        self.columns = columns
        self.offset = offset
    }

    /// Bytes from one row to the next outside `weights`, a multiple of `Program.rowAlignment`. It
    /// cannot overflow: groups and columns have 32 bits, and an element at most 4 bytes (groups ×
    /// columns is bounded by the verifier).
    public var rowByteCount: UInt64 {
        switch type {
        case .quantizedRow:
            UInt64(groups) &* (((UInt64(columns) &+ 15) & ~15) &+ 16)
        case .float32, .int32, .packedInt8, .packedFloat32:
            (UInt64(groups) &* UInt64(columns) &* 4 &+ 15) & ~15
        }
    }

    /// Bytes of a tensor in `weights`; nil where the product does not fit 63 bits.
    public var weightByteCount: UInt64? {
        let blockRows = (UInt64(rows) + 31) / 32 * 32
        let rowBytes: UInt64
        let count: UInt64
        switch type {
        case .packedInt8: (count, rowBytes) = (blockRows, (UInt64(columns) + 3) & ~3)
        case .packedFloat32: (count, rowBytes) = (blockRows, UInt64(columns) * 4)
        case .float32, .int32: (count, rowBytes) = (UInt64(rows), UInt64(columns) * 4)
        case .quantizedRow: return nil
        }
        let (bytes, overflow) = count.multipliedReportingOverflow(by: rowBytes)
        return overflow || bytes > UInt64(Int64.max) ? nil : bytes
    }
}

/// An entry point: a run of instructions that takes tokens and leaves one output tensor.
public struct EntryRecord: Equatable, Sendable {
    public static let byteCount = 64

    public enum Kind: UInt16, Sendable {
        /// Logits of the last token of the step, `fixed`, 1 × vocabulary. Uses state.
        case generate = 0
        /// Logits of every token of the step, `tokens` × vocabulary. Uses state.
        case score = 1
        /// One vector for the whole input, `fixed`, 1 × width. The input is one step from position 0.
        case embed = 2
        /// One row of label logits for the whole input, `fixed`.
        case classify = 3
        /// A row of label logits for every token.
        case tag = 4
        /// The last hidden state of every token.
        case encode = 5
    }

    /// How logits of labels become scores.
    public enum Scores: UInt16, Sendable {
        /// The labels exclude each other.
        case softmax = 0
        /// Each label is true or not by itself.
        case sigmoid = 1
        /// They are values as they stand, such as those of a regression.
        case value = 2
    }

    public var kind: Kind
    public var scores: Scores
    public var firstInstruction: UInt32
    public var instructionCount: UInt32
    public var outputTensor: UInt32
    /// Most tokens of one step; for the kinds without state also the longest input.
    public var maximumTokens: UInt32
    public var arenaBytesPerToken: UInt64
    public var arenaFixedBytes: UInt64

    public init(
        kind: Kind, scores: Scores = .softmax, firstInstruction: UInt32, instructionCount: UInt32, outputTensor: UInt32,
        maximumTokens: UInt32, arenaBytesPerToken: UInt64, arenaFixedBytes: UInt64
    ) {
        self.kind = kind
        self.scores = scores
        self.firstInstruction = firstInstruction
        self.instructionCount = instructionCount
        self.outputTensor = outputTensor
        self.maximumTokens = maximumTokens
        self.arenaBytesPerToken = arenaBytesPerToken
        self.arenaFixedBytes = arenaFixedBytes
    }
}

extension EntryRecord.Kind {
    /// Whether a session keeps state between steps of this entry point.
    public var isIncremental: Bool { self == .generate || self == .score }
}
