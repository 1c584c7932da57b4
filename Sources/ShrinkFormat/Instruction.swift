/// The operations of the runtime. Numbers never change once a format version is released.
///
/// Operand positions (`?` may be absent), integer and float fields:
///
/// | opcode | operands | integers | floats |
/// |---|---|---|---|
/// | embed | out, table, scale? | `EmbedIndex`, accumulate 0/1, index offset | |
/// | norm | x, residual?, sum?, gamma, beta?, out?, quantizedOut? | `NormKind` | epsilon |
/// | quantize | x, out | | |
/// | linear | x, weight, scale?, sum?, bias?, out | | |
/// | activate | a, b?, out?, quantizedOut? | `ActivationKind` | |
/// | binary | a, b, out | `BinaryKind` | |
/// | rotary | x, cosine, sine | `RotaryKind` | |
/// | attention | q, k, v, out?, quantizedOut? | causal 0/1 | scale |
/// | selectRow | x, out | 0 first, 1 last | |
/// | meanRows | x, out | | |
/// | l2Normalize | x, out | | epsilon |
/// | recurrent | x, weight, scale?, sum?, bias?, carry, out?, quantizedOut? | `RecurrentCell`, reversed 0/1 | |
/// | concatenate | a, b, out?, quantizedOut? | | |
public enum Opcode: UInt16, Sendable, CaseIterable {
    /// out[t] (+)= table[index(t) + offset]; `table` is packed, `scale` belongs to int8 tables.
    case embed = 0
    /// s = x + residual (just x without one), stored in `sum` when present; then the norm of s goes
    /// to `out` as float and to `quantizedOut` as one quantized row. `sum` may be `x` or `residual`.
    case norm = 1
    /// Float rows to quantized rows (as many groups as `out` has), or float to float (a copy). An
    /// `out` in state is written at the positions of the step's tokens.
    case quantize = 2
    /// out[t][o] = Σ x[t][k]·w[o][k] + bias[o]; x quantized with a packedInt8 weight, `scale` and
    /// `sum`, or x float with a packedFloat32 weight and neither.
    case linear = 3
    /// An elementwise function of a (and b), to float and/or quantized rows.
    case activate = 4
    case binary = 5
    /// Rotates every head of `x` in place by the angles of the token's position.
    /// `cosine` and `sine`: maximum positions × head size / 2 float weights.
    case rotary = 6
    /// q: heads × head size, float, or quantized by head when k and v are. k and v: KV heads × head
    /// size, of `tokens` storage (all of them are attended) or of `state` (positions 0 up to the
    /// token's own when causal). Heads are a multiple of KV heads.
    case attention = 7
    /// One row of x to the single row of `out`.
    case selectRow = 8
    /// out = (Σ over rows in ascending order of x) × (1 / rows).
    case meanRows = 9
    case l2Normalize = 10
    /// A recurrent layer over the rows of x, which are the gates' share of the input (W_ih·x[t] + b_ih), first to last
    /// or, reversed, last to first; see `RecurrentCell`. `weight`, `scale`, `sum` and `bias` are W_hh and b_hh as of `linear`;
    /// with a packedInt8 weight h[t − 1] is quantized as a row. `carry` holds h, then c of an LSTM, between the tokens:
    /// `carry` storage in entry points with state, else `fixed`, and 0 at the start. out[t] = h[t].
    case recurrent = 11
    /// Rows of a, each followed by that of b, to float and/or quantized rows.
    case concatenate = 12
}

/// With s = W_hh·h[t − 1] + b_hh and σ the sigmoid; the operation order is that of the kernels `add`, `mul`, … named by
/// each sign, left to right unless there are parentheses.
public enum RecurrentCell: Int32, Sendable {
    /// h[t] = tanh(x + s)
    case tanh = 0
    /// r, z = σ(x + s); n = tanh(x + r·s); h[t] = n + z·(h[t − 1] − n). Gates r, z, n (Cho et al. 2014, in PyTorch's variant).
    case gru = 1
    /// i, f, o = σ(x + s); g = tanh(x + s); c[t] = f·c[t − 1] + i·g; h[t] = o·tanh(c[t]). Gates i, f, g, o
    /// (Gers et al. 2000, without peepholes).
    case lstm = 2

    /// Rows of W_hh for each element of h.
    public var gateCount: Int {
        switch self {
        case .tanh: 1
        case .gru: 3
        case .lstm: 4
        }
    }

    /// Rows that are carried from token to token.
    public var carriedRowCount: Int { self == .lstm ? 2 : 1 }
}

public enum EmbedIndex: Int32, Sendable {
    case tokens = 0, positions = 1, segments = 2
}

public enum NormKind: Int32, Sendable {
    case rms = 0, layer = 1
}

public enum ActivationKind: Int32, Sendable {
    case identity = 0, relu = 1, silu = 2, geluErf = 3, geluTanh = 4, tanh = 5, sigmoid = 6
    /// silu(a) × b
    case siluMultiply = 7
}

public enum BinaryKind: Int32, Sendable {
    case add = 0, multiply = 1
}

public enum RotaryKind: Int32, Sendable {
    /// Pairs (i, i + d/2), as Hugging Face checkpoints have them.
    case half = 0
    /// Pairs (2i, 2i + 1), as GGUF files of the Llama architecture have them.
    case pairs = 1
}

/// One instruction: an opcode, up to 8 tensors, 6 integers and 4 floats.
public struct InstructionRecord: Equatable, Sendable {
    public static let byteCount = 96
    public static let absent = UInt32.max

    public var opcode: Opcode
    public var operands: InlineArray<8, UInt32>
    public var integers: InlineArray<6, Int32>
    public var floats: InlineArray<4, Float>

    public init(_ opcode: Opcode) {
        self.opcode = opcode
        operands = InlineArray(repeating: Self.absent)
        integers = InlineArray(repeating: 0)
        floats = InlineArray(repeating: 0)
    }

    public static func == (a: Self, b: Self) -> Bool {
        guard a.opcode == b.opcode else { return false }
        for i in a.operands.indices where a.operands[i] != b.operands[i] { return false }
        for i in a.integers.indices where a.integers[i] != b.integers[i] { return false }
        for i in a.floats.indices where a.floats[i].bitPattern != b.floats[i].bitPattern { return false }
        return true
    }
}
