/// Every operation a graph can hold. The enum is closed: a `switch` over it makes the compiler list
/// each place that a new operation must touch.
public enum Operation: Hashable, Sendable {
    case embedding(Embedding)
    case linear(Linear)
    case layerNorm(LayerNorm)
    case rmsNorm(RMSNorm)
    case attention(Attention)
    case recurrent(Recurrent)
    case rotary(Rotary)
    case unary(Unary)
    case binary(Binary)
    case gate(Gate)
    case quantize(Quantize)
    case selectToken(SelectToken)
    case meanTokens(MeanTokens)
    case l2Normalize(L2Normalize)
    case scale(Scale)
    case concatenate(Concatenate)
    case columns(Columns)

    // Training only: losses, and what gradients are made of.
    case loss(Loss)
    case lossGradient(LossGradient)
    case relationLoss(RelationLoss)
    case relationLossGradient(RelationLossGradient)
    case outerProduct(OuterProduct)
    case sumRows(SumRows)
    case embeddingGradient(EmbeddingGradient)
    case normGradient(NormGradient)
    case unaryGradient(UnaryGradient)
    case gateGradient(GateGradient)
    case attentionGradient(AttentionGradient)
    case recurrentGradient(RecurrentGradient)
    case l2NormalizeGradient(L2NormalizeGradient)
    case poolGradient(PoolGradient)
}

/// What an operation's payload says of itself.
public protocol OperationPayload: Hashable, Sendable {
    static var mnemonic: String { get }
    /// Result types for the given input types; throws when the operation cannot take them.
    func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType]
    var attributes: [(String, Attribute)] { get }
    init(_ attributes: inout AttributeReader) throws(GraphError)
}

extension Operation {
    public var payload: any OperationPayload {
        switch self {
        case .embedding(let payload): payload
        case .linear(let payload): payload
        case .layerNorm(let payload): payload
        case .rmsNorm(let payload): payload
        case .attention(let payload): payload
        case .recurrent(let payload): payload
        case .rotary(let payload): payload
        case .unary(let payload): payload
        case .binary(let payload): payload
        case .gate(let payload): payload
        case .quantize(let payload): payload
        case .selectToken(let payload): payload
        case .meanTokens(let payload): payload
        case .l2Normalize(let payload): payload
        case .scale(let payload): payload
        case .concatenate(let payload): payload
        case .columns(let payload): payload
        case .loss(let payload): payload
        case .lossGradient(let payload): payload
        case .relationLoss(let payload): payload
        case .relationLossGradient(let payload): payload
        case .outerProduct(let payload): payload
        case .sumRows(let payload): payload
        case .embeddingGradient(let payload): payload
        case .normGradient(let payload): payload
        case .unaryGradient(let payload): payload
        case .gateGradient(let payload): payload
        case .attentionGradient(let payload): payload
        case .recurrentGradient(let payload): payload
        case .l2NormalizeGradient(let payload): payload
        case .poolGradient(let payload): payload
        }
    }

    public var mnemonic: String { type(of: payload).mnemonic }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] { try payload.inferTypes(inputs) }

    /// The operation of that name in the text form.
    public init(mnemonic: String, attributes: inout AttributeReader) throws(GraphError) {
        switch mnemonic {
        case Embedding.mnemonic: self = .embedding(try Embedding(&attributes))
        case Linear.mnemonic: self = .linear(try Linear(&attributes))
        case LayerNorm.mnemonic: self = .layerNorm(try LayerNorm(&attributes))
        case RMSNorm.mnemonic: self = .rmsNorm(try RMSNorm(&attributes))
        case Attention.mnemonic: self = .attention(try Attention(&attributes))
        case Recurrent.mnemonic: self = .recurrent(try Recurrent(&attributes))
        case Rotary.mnemonic: self = .rotary(try Rotary(&attributes))
        case Unary.mnemonic: self = .unary(try Unary(&attributes))
        case Binary.mnemonic: self = .binary(try Binary(&attributes))
        case Gate.mnemonic: self = .gate(try Gate(&attributes))
        case Quantize.mnemonic: self = .quantize(try Quantize(&attributes))
        case SelectToken.mnemonic: self = .selectToken(try SelectToken(&attributes))
        case MeanTokens.mnemonic: self = .meanTokens(try MeanTokens(&attributes))
        case L2Normalize.mnemonic: self = .l2Normalize(try L2Normalize(&attributes))
        case Scale.mnemonic: self = .scale(try Scale(&attributes))
        case Concatenate.mnemonic: self = .concatenate(try Concatenate(&attributes))
        case Columns.mnemonic: self = .columns(try Columns(&attributes))
        case Loss.mnemonic: self = .loss(try Loss(&attributes))
        case LossGradient.mnemonic: self = .lossGradient(try LossGradient(&attributes))
        case RelationLoss.mnemonic: self = .relationLoss(try RelationLoss(&attributes))
        case RelationLossGradient.mnemonic: self = .relationLossGradient(try RelationLossGradient(&attributes))
        case OuterProduct.mnemonic: self = .outerProduct(try OuterProduct(&attributes))
        case SumRows.mnemonic: self = .sumRows(try SumRows(&attributes))
        case EmbeddingGradient.mnemonic: self = .embeddingGradient(try EmbeddingGradient(&attributes))
        case NormGradient.mnemonic: self = .normGradient(try NormGradient(&attributes))
        case UnaryGradient.mnemonic: self = .unaryGradient(try UnaryGradient(&attributes))
        case GateGradient.mnemonic: self = .gateGradient(try GateGradient(&attributes))
        case AttentionGradient.mnemonic: self = .attentionGradient(try AttentionGradient(&attributes))
        case RecurrentGradient.mnemonic: self = .recurrentGradient(try RecurrentGradient(&attributes))
        case L2NormalizeGradient.mnemonic: self = .l2NormalizeGradient(try L2NormalizeGradient(&attributes))
        case PoolGradient.mnemonic: self = .poolGradient(try PoolGradient(&attributes))
        default: throw GraphError(.syntax, "there is no operation \(mnemonic)")
        }
    }

    /// Whether each row (innermost dimension) of every result depends on the same row of the non-parameter
    /// inputs alone, so that rows can be left out before instead of after.
    public var isRowwise: Bool {
        switch self {
        case .linear, .layerNorm, .rmsNorm, .unary, .binary, .gate, .quantize, .l2Normalize, .scale, .concatenate, .columns: true
        case .embedding, .attention, .recurrent, .rotary, .selectToken, .meanTokens: false
        case .loss, .lossGradient, .relationLoss, .relationLossGradient, .outerProduct, .sumRows, .embeddingGradient, .normGradient,
            .unaryGradient, .gateGradient, .attentionGradient, .recurrentGradient, .l2NormalizeGradient, .poolGradient: false
        }
    }

    /// The operation with a quantized second result added; nil where it has none to offer.
    public var quantizingItsResult: Operation? {
        switch self {
        case .layerNorm(var payload): payload.alsoQuantized = true; return .layerNorm(payload)
        case .rmsNorm(var payload): payload.alsoQuantized = true; return .rmsNorm(payload)
        case .attention(var payload): payload.alsoQuantized = true; return .attention(payload)
        case .recurrent(var payload): payload.alsoQuantized = true; return .recurrent(payload)
        case .concatenate(var payload): payload.alsoQuantized = true; return .concatenate(payload)
        case .unary(var payload): payload.alsoQuantized = true; return .unary(payload)
        case .gate(var payload): payload.alsoQuantized = true; return .gate(payload)
        case .embedding, .linear, .rotary, .binary, .quantize, .selectToken, .meanTokens, .l2Normalize, .scale, .columns,
            .loss, .lossGradient, .relationLoss, .relationLossGradient, .outerProduct, .sumRows, .embeddingGradient, .normGradient, .unaryGradient, .gateGradient, .attentionGradient,
            .recurrentGradient, .l2NormalizeGradient, .poolGradient: return nil
        }
    }
}
