/// The recurrence of an Elman network with tanh, a GRU (Cho et al. 2014, with the reset gate after the product, as
/// cuDNN and torch have it) or an LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000).
///
/// [gates: f32 […, tokens, gates × width], weight: f32 [gates × width, width], bias: f32 [gates × width] (may be
/// absent), lengths: i32 […] (may be absent)] → hidden states: f32 […, tokens, width].
///
/// `gates` is what the inputs give to the gates (x·W_ihᵀ + b_ih, an ordinary `Linear`); this operation adds
/// h·weightᵀ + bias of the state before. The gates stand in the order of torch: i, f, g, o of an LSTM; r, z, n of a
/// GRU. The state of each sequence starts at zero, at its first token or, reversed, at its last. Rows beyond a
/// length are zero.
public struct Recurrent: OperationPayload {
    public static let mnemonic = "recurrent"

    public enum Cell: String, Sendable, CaseIterable {
        case rnn, gru, lstm

        public var gateCount: Int {
            switch self {
            case .rnn: 1
            case .gru: 3
            case .lstm: 4
            }
        }
    }

    public var cell: Cell
    public var isReversed: Bool
    /// Whether h is quantized by row, as `Quantize` does it, before it is multiplied with the weight.
    public var quantizesState = false
    /// Whether the hidden states come as q8 too, as the second result.
    public var alsoQuantized = false
    /// Whether a GRU or LSTM has two further results for the gradient: the gates after their functions, like the
    /// input, and f32 […, tokens, width], the cell states of an LSTM or what r multiplies in a GRU.
    public var savesStates = false

    public init(_ cell: Cell, isReversed: Bool = false) {
        self.cell = cell
        self.isReversed = isReversed
    }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(2...4, "gates, a weight and perhaps a bias and lengths")
        let gates = inputs[0]
        try gates.requireElement(.float32, as: "the gates")
        let width = try gates.requireWidth(as: "the gates") / cell.gateCount
        guard gates.shape.count >= 2, width > 0, gates.width == width * cell.gateCount else {
            throw GraphError(.shape, "the gates of \(cell.rawValue) must be […, tokens, \(cell.gateCount) × width], but are \(gates)")
        }
        try inputs[1].requireElement(.float32, as: "the weight")
        try inputs[1].requireShape([.fixed(width * cell.gateCount), .fixed(width)], as: "the weight")
        let hasBias = hasBias(inputs)
        if hasBias { try inputs[2].requireShape([.fixed(width * cell.gateCount)], as: "the bias") }
        guard inputs.count < 4 || hasBias else { throw GraphError(.elementType, "the bias must be f32, but is \(inputs[2])") }
        try inputs.requireLengths(at: hasBias ? 3 : 2, Array(gates.shape.dropLast(2)))
        let hidden = gates.withWidth(width)
        return [hidden] + (alsoQuantized ? [hidden.withElement(.quantized8)] : []) + (savesStates && cell != .rnn ? [gates, hidden] : [])
    }

    /// Whether the third of these inputs is a bias, not lengths.
    public func hasBias(_ inputs: [ValueType]) -> Bool { inputs.count > 2 && inputs[2].element == .float32 }

    public var attributes: [(String, Attribute)] {
        [("cell", .word(cell.rawValue)), ("reversed", .flag(isReversed))] + (quantizesState ? [("quantizes_state", .flag(true))] : [])
            + (alsoQuantized ? [("quantized", .flag(true))] : []) + (savesStates ? [("saves_states", .flag(true))] : [])
    }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(try attributes.word("cell", as: Cell.self), isReversed: try attributes.flag("reversed"))
        if attributes.contains("quantizes_state") { quantizesState = try attributes.flag("quantizes_state") }
        alsoQuantized = try readQuantizedFlag(&attributes)
        if attributes.contains("saves_states") { savesStates = try attributes.flag("saves_states") }
    }
}

/// The gradient of `Recurrent`, back through time (Werbos 1990).
///
/// [gradient of the hidden states, hidden states, the two saved results (of a GRU or LSTM), weight, lengths (may be
/// absent)] → gradients of the gates, of the weight, and of the bias where there is one; of a GRU, last, that of
/// what r multiplies.
public struct RecurrentGradient: OperationPayload {
    public static let mnemonic = "recurrent_gradient"
    public var recurrent: Recurrent
    public var hasBias: Bool

    public init(_ recurrent: Recurrent, hasBias: Bool) {
        self.recurrent = recurrent
        self.recurrent.savesStates = true
        self.recurrent.alsoQuantized = false
        self.hasBias = hasBias
    }

    /// How many inputs stand before the weight.
    public var stateCount: Int { recurrent.cell == .rnn ? 2 : 4 }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(stateCount + 1...stateCount + 2, "the gradient, the states, the weight and perhaps lengths")
        let hidden = inputs[1]
        let width = try hidden.requireWidth(as: "the hidden states")
        let (count, overflow) = width.multipliedReportingOverflow(by: recurrent.cell.gateCount)
        guard !overflow else { throw GraphError(.shape, "the hidden states are too wide") }
        let gates = hidden.withWidth(count)
        let results = try recurrent.inferTypes([gates] + inputs.dropFirst(stateCount))
        guard inputs[0] == hidden, Array(inputs[1..<stateCount]) == results else {
            throw GraphError(.shape, "the gradient must be like the hidden states, and the states \(results.map(\.description).joined(separator: ", "))")
        }
        return [gates, inputs[stateCount]] + (hasBias ? [ValueType(.float32, [.fixed(count)])] : []) + (recurrent.cell == .gru ? [hidden] : [])
    }

    public var attributes: [(String, Attribute)] {
        recurrent.attributes.filter { $0.0 != "saves_states" } + [("bias", .flag(hasBias))]
    }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        let recurrent = try Recurrent(&attributes)
        self.init(recurrent, hasBias: try attributes.flag("bias"))
    }
}
