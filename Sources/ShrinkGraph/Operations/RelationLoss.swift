/// How differently the tokens of a student and of a teacher relate to each other, as one number:
/// [student: f32 [batch, tokens, …] twice, teacher: f32 [batch, tokens, …] twice, lengths: i32 [batch] (may be
/// absent)] → f32 [].
///
/// The relation of a head is scores = A·Bᵀ × scale of one value's rows A with another's B, such as query with
/// key, or a value with itself. It never stands in memory as a whole. The result is the mean over all heads and
/// all tokens inside of sequences of what `function` makes of a token's row of scores, as far as it sees the
/// others: all of its sequence, or those up to itself.
public struct RelationLoss: OperationPayload {
    public static let mnemonic = "relation_loss"

    public enum Function: String, Sendable, CaseIterable {
        /// KL(softmax(teacher) ‖ softmax(student)): Wang et al. 2020 (MiniLMv2), eq. 6.
        case divergence
        /// The mean of the squared differences of the probabilities softmax(scores).
        case probabilities
        /// The mean of the squared differences of the scores themselves: Jiao et al. 2020 (TinyBERT), eq. 7.
        case scores
    }

    /// Where the heads of a relation are in the rows of its two values.
    public struct Side: Hashable, Sendable {
        public var headSize: Int
        /// Heads of the second value; as many heads of the first share each, as in grouped-query attention.
        public var sharedHeads: Int
        /// Where the first head begins in rows of the first and of the second value.
        public var columns: SIMD2<Int>
        public var scale: Double

        public init(headSize: Int, sharedHeads: Int, columns: SIMD2<Int> = [0, 0], scale: Double) {
            self.headSize = headSize
            self.sharedHeads = sharedHeads
            self.columns = columns
            self.scale = scale
        }
    }

    public var function: Function
    public var heads: Int
    public var isCausal: Bool
    public var student: Side
    public var teacher: Side

    public init(_ function: Function, heads: Int, isCausal: Bool, student: Side, teacher: Side) {
        self.function = function
        self.heads = heads
        self.isCausal = isCausal
        self.student = student
        self.teacher = teacher
    }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try check(inputs)
        return [.scalar]
    }

    fileprivate func check(_ inputs: [ValueType]) throws(GraphError) {
        try inputs.require(4...5, "two values of the student, two of the teacher, and perhaps lengths")
        guard inputs[0].shape.count == 3 else { throw GraphError(.shape, "the student's values must be [batch, tokens, width], but are \(inputs[0])") }
        for (side, values, name) in [(student, inputs[0...1], "student"), (teacher, inputs[2...3], "teacher")] {
            guard heads > 0, side.headSize > 0, side.sharedHeads > 0, heads.isMultiple(of: side.sharedHeads), side.scale > 0, side.scale.isFinite else {
                throw GraphError(.attribute, "\(heads) heads of the \(name) cannot share \(side.sharedHeads) of \(side.headSize), scaled by \(side.scale)")
            }
            for (value, place) in zip(values, [(heads, side.columns.x), (side.sharedHeads, side.columns.y)]) {
                try value.requireElement(.float32, as: "a value of the \(name)")
                let (width, isTooWide) = place.0.multipliedReportingOverflow(by: side.headSize)
                guard value.shape.dropLast() == inputs[0].shape.dropLast(), !isTooWide, place.1 >= 0,
                    try value.requireWidth(as: "a value of the \(name)") - place.1 >= width
                else { throw GraphError(.shape, "a value of the \(name) has no \(place.0) heads of \(side.headSize) from column \(place.1) on: it is \(value)") }
            }
        }
        try inputs.requireLengths(at: 4, Array(inputs[0].shape.prefix(1)))
    }

    public var attributes: [(String, Attribute)] {
        [("function", .word(function.rawValue)), ("heads", .integer(heads)), ("causal", .flag(isCausal))]
            + [("student", student), ("teacher", teacher)].flatMap { name, side -> [(String, Attribute)] in
                [
                    ("\(name)_head_size", .integer(side.headSize)), ("\(name)_shared_heads", .integer(side.sharedHeads)),
                    ("\(name)_first_column", .integer(side.columns.x)), ("\(name)_second_column", .integer(side.columns.y)),
                    ("\(name)_scale", .real(side.scale)),
                ]
            }
    }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        func side(_ name: String, _ attributes: inout AttributeReader) throws(GraphError) -> Side {
            Side(
                headSize: try attributes.integer("\(name)_head_size"), sharedHeads: try attributes.integer("\(name)_shared_heads"),
                columns: [try attributes.integer("\(name)_first_column"), try attributes.integer("\(name)_second_column")],
                scale: try attributes.real("\(name)_scale"))
        }
        self.init(
            try attributes.word("function", as: Function.self), heads: try attributes.integer("heads"), isCausal: try attributes.flag("causal"),
            student: try side("student", &attributes), teacher: try side("teacher", &attributes))
    }
}

/// A relation loss and its gradients: [gradient of the loss: f32 [], and the inputs of `RelationLoss`] → gradients of
/// the student's two values, loss: f32 []. Columns outside of the heads have none.
public struct RelationLossGradient: OperationPayload {
    public static let mnemonic = "relation_loss_gradient"
    public var loss: RelationLoss

    public init(_ loss: RelationLoss) { self.loss = loss }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(5...6, "the gradient of the loss and the inputs of the loss")
        guard inputs[0] == .scalar else { throw GraphError(.shape, "the gradient of the loss must be f32[], but is \(inputs[0])") }
        try loss.check(Array(inputs.dropFirst()))
        return [inputs[1], inputs[2], .scalar]
    }

    public var attributes: [(String, Attribute)] { loss.attributes }

    public init(_ attributes: inout AttributeReader) throws(GraphError) { loss = try RelationLoss(&attributes) }
}
