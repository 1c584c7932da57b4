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
