/// A training loss over rows, as one number: [prediction: f32 […, width], target, rows: i32 […] (may be
/// absent)] → f32 [].
///
/// Rows whose entry in `rows` is negative do not count; for cross-entropy the target itself says so.
public struct Loss: OperationPayload {
    public static let mnemonic = "loss"

    public enum Function: String, Sendable, CaseIterable {
        /// −log softmax(prediction)[target]; the target is i32 […], negative where ignored.
        case crossEntropy = "cross_entropy"
        /// temperature² · KL(p ‖ skew·p + (1 − skew)·q) of p = softmax(target / temperature) and
        /// q = softmax(prediction / temperature): Hinton et al. 2015, §2; skewed as Ko et al. 2024, eq. 3.
        case softTargets = "soft_targets"
        /// `softTargets` against the most probable classes alone, all others being one more: the target is
        /// f32 […, 2 × count + 1], the numbers of the classes, the logarithms of their probabilities at this
        /// temperature, and that of the probability of all others (−∞ when there are none).
        case topTargets = "top_targets"
        /// The mean over the width of (prediction − target)².
        case squaredError = "squared_error"
        /// 1 − cos(prediction, target).
        case cosine

        fileprivate var comparesProbabilities: Bool { self == .softTargets || self == .topTargets }
    }

    /// What becomes of the losses of the rows that count. The mean of no row is 0.
    public enum Reduction: String, Sendable, CaseIterable { case mean, sum }

    public var function: Function
    public var temperature: Double
    public var skew: Double
    public var reduction: Reduction

    public init(_ function: Function, temperature: Double = 1, skew: Double = 0, reduction: Reduction = .mean) {
        self.function = function
        self.temperature = temperature
        self.skew = skew
        self.reduction = reduction
    }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try check(inputs)
        return [.scalar]
    }

    fileprivate func check(_ inputs: [ValueType]) throws(GraphError) {
        try inputs.require(2...3, "a prediction, a target and perhaps the rows that count")
        guard temperature > 0, temperature.isFinite, skew >= 0, skew < 1 else {
            throw GraphError(.attribute, "temperature must be positive and skew from 0 to less than 1")
        }
        let prediction = inputs[0]
        try prediction.requireElement(.float32, as: "the prediction")
        _ = try prediction.requireWidth(as: "the prediction")
        let rows = ValueType(.int32, Array(prediction.shape.dropLast()))
        switch function {
        case .crossEntropy:
            guard inputs.count == 2, inputs[1] == rows else { throw GraphError(.shape, "the labels must be \(rows), but are \(inputs[1])") }
        case .topTargets:
            let width = try inputs[1].requireWidth(as: "the target"), classes = prediction.width ?? 0
            guard inputs[1] == prediction.withWidth(width), width % 2 == 1, 1...classes ~= width / 2 else {
                throw GraphError(.shape, "the target must have 1 to \(classes) classes, their probabilities and that of the rest, but is \(inputs[1])")
            }
        case .softTargets, .squaredError, .cosine:
            guard inputs[1] == prediction else { throw GraphError(.shape, "the target must be \(prediction), but is \(inputs[1])") }
        }
        guard inputs.count == 2 || inputs[2] == rows else { throw GraphError(.shape, "the rows that count must be \(rows)") }
    }

    public var attributes: [(String, Attribute)] {
        [("function", .word(function.rawValue)), ("reduction", .word(reduction.rawValue))]
            + (function.comparesProbabilities ? [("temperature", .real(temperature)), ("skew", .real(skew))] : [])
    }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        self.init(
            try attributes.word("function", as: Function.self), reduction: try attributes.word("reduction", as: Reduction.self))
        if function.comparesProbabilities {
            temperature = try attributes.real("temperature")
            skew = try attributes.real("skew")
        }
    }
}

/// A loss and its gradient in one pass over the rows: [gradient of the loss: f32 [], and the inputs of
/// `Loss`] → gradient of the prediction, loss: f32 [].
public struct LossGradient: OperationPayload {
    public static let mnemonic = "loss_gradient"
    public var loss: Loss

    public init(_ loss: Loss) { self.loss = loss }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(3...4, "the gradient of the loss and the inputs of the loss")
        guard inputs[0] == .scalar else { throw GraphError(.shape, "the gradient of the loss must be f32[], but is \(inputs[0])") }
        try loss.check(Array(inputs.dropFirst()))
        return [inputs[1], .scalar]
    }

    public var attributes: [(String, Attribute)] { loss.attributes }

    public init(_ attributes: inout AttributeReader) throws(GraphError) { loss = try Loss(&attributes) }
}
