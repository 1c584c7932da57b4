import Glibc
import ShrinkGraph
import Testing

@testable import ShrinkCompute

/// The gradient of each operation against central differences of `Reference64`, taken in binary64 with a step of
/// 10⁻⁵: their own error is below 10⁻⁸ of the values here, so that what is seen is the binary32 kernels'.
@Suite struct GradientTests {
    /// A graph over tables that tokens pick rows of: their gradients are those of the operations' inputs.
    struct Case {
        var builder = GraphBuilder(name: "case")
        var inputs: HostInputs
        let tokens: ValueID
        private var seed: UInt64 = 1

        init(batch: Int = 2, tokens count: Int = 5) throws {
            inputs = HostInputs(batch: batch, tokens: count, integers: ["tokens": (0..<Int32(batch * count)).map { $0 }])
            tokens = try builder.input("tokens", ValueType(.int32, [.batch, .tokens]))
        }

        mutating func parameter(_ name: String, _ shape: [Int], scale: Float = 1) throws -> ValueID {
            seed += 1
            let values = HostKernelTests.values(shape.reduce(1, *), seed: seed, scale: scale)
            return try builder.parameter(
                name, ValueType(.float32, shape.map(Dimension.fixed)),
                Parameter(storedType: "f32", storedByteCount: 0, source: FloatArraySource(values)))
        }

        /// f32 [batch, tokens, width] with trainable numbers.
        mutating func rows(_ name: String, _ width: Int, scale: Float = 0.8) throws -> ValueID {
            let table = try parameter(name, [inputs.batch * inputs.tokens, width], scale: scale)
            return try builder.add(.embedding(Embedding()), [tokens, table])
        }

        mutating func lengths(_ values: [Int32]) throws -> ValueID {
            inputs.integers["lengths"] = values
            return try builder.input("lengths", ValueType(.int32, [.batch]))
        }

        /// The squared distance from arbitrary numbers, whose gradient is another for every element.
        mutating func finish(_ value: ValueID, marks: [Int32]? = nil) throws {
            let type = builder.graph[value].type
            let target = try builder.input("target", type)
            let shape = type.shape.map { $0 == .batch ? inputs.batch : $0 == .tokens ? inputs.tokens : $0.fixedValue! }
            inputs.floats["target"] = HostTensor(HostKernelTests.values(shape.reduce(1, *), seed: 77, scale: 1), shape: shape)
            var operands = [value, target]
            if let marks {
                operands.append(try builder.input("marks", ValueType(.int32, Array(type.shape.dropLast()))))
                inputs.integers["marks"] = marks
            }
            try builder.output("loss", try builder.add(.loss(Loss(.squaredError, reduction: .sum)), operands))
        }

        /// Compares loss and gradients, element by element.
        func check(recompute: Recomputation = .nothing, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let graph = builder.graph
            let gradients = try graph.differentiated(recompute: recompute)
            try gradients.verify()
            let results = try HostExecutor(gradients, threads: HostThreads(2)).run(inputs)
            var reference = try Reference64(graph, inputs)
            let loss = reference.run()["loss"]![0]
            #expect(abs(Double(results["loss"]!.floats[0]) - loss) <= 1e-5 * abs(loss), sourceLocation: sourceLocation)
            for id in graph.trainableParameters {
                let name = graph[id].name, values = reference.parameters[name]!
                let gradient = try #require(results[Graph.gradientName(of: name)]?.floats, "\(name) has a gradient", sourceLocation: sourceLocation)
                let step = 1e-5
                let expected = values.indices.map { index in
                    reference.parameters[name]![index] = values[index] + step
                    let above = reference.run()["loss"]![0]
                    reference.parameters[name]![index] = values[index] - step
                    let below = reference.run()["loss"]![0]
                    reference.parameters[name]![index] = values[index]
                    return (above - below) / (2 * step)
                }
                let largest = expected.map(abs).max() ?? 0
                #expect(largest > 1e-3, "the case says something about \(name)", sourceLocation: sourceLocation)
                // Where terms cancel, the error is relative to the terms: a hundredth of the largest element stands for them.
                for (index, (a, b)) in zip(gradient, expected).enumerated() where !(abs(Double(a) - b) <= 1e-4 * max(abs(b), largest / 100)) {
                    Issue.record("\(name)[\(index)] is \(a), not \(b); the largest is \(largest)", sourceLocation: sourceLocation)
                    break
                }
            }
        }
    }

    @Test(arguments: [false, true], [false, true]) func ofLinear(_ isInputMajor: Bool, _ hasBias: Bool) throws {
        var test = try Case()
        let x = try test.rows("x", 7), weight = try test.parameter("w", isInputMajor ? [7, 19] : [19, 7], scale: 0.5)
        let bias = hasBias ? [try test.parameter("b", [19])] : []
        try test.finish(try test.builder.add(.linear(Linear(isInputMajor: isInputMajor)), [x, weight] + bias))
        try test.check()
    }

    @Test func ofATableThatIsAlsoTheHead() throws {
        var test = try Case()
        test.inputs.integers["tokens"] = [3, 1, 3, 3, 0, 9, 1, 2, 3, 5]
        let table = try test.parameter("table", [10, 6], scale: 0.5)
        let x = try test.builder.add(.embedding(Embedding()), [test.tokens, table])
        try test.finish(try test.builder.add(.linear(Linear()), [x, table]))
        try test.check()
    }

    enum NormShape: CaseIterable { case plain, residual, keepingTheSum, residualStream }

    @Test(arguments: NormShape.allCases, [NormGradient.Kind.layer, .rms]) func ofNorms(_ shape: NormShape, _ kind: NormGradient.Kind) throws {
        var test = try Case()
        let x = try test.rows("x", 21), gamma = try test.parameter("gamma", [21])
        let vectors = kind == .layer ? [gamma, try test.parameter("beta", [21])] : [gamma]
        func operation(keepsSum: Bool) -> Operation {
            var layer = LayerNorm(epsilon: 1e-5), rms = RMSNorm(epsilon: 1e-5)
            layer.keepsSum = keepsSum
            rms.keepsSum = keepsSum
            return kind == .layer ? .layerNorm(layer) : .rmsNorm(rms)
        }
        switch shape {
        case .plain: try test.finish(try test.builder.add(operation(keepsSum: false), [x] + vectors))
        case .residual: try test.finish(try test.builder.add(operation(keepsSum: false), [x] + vectors + [try test.rows("residual", 21)]))
        case .keepingTheSum:
            let results = try test.builder.addMultiple(operation(keepsSum: true), [x] + vectors + [try test.rows("residual", 21)])
            try test.finish(try test.builder.add(.binary(Binary(.multiply)), results))
        case .residualStream:
            let y = try test.builder.add(operation(keepsSum: false), [x] + vectors)
            try test.finish(try test.builder.add(.binary(Binary(.add)), [x, try test.builder.add(.unary(Unary(.tanh)), [y])]))
        }
        for recompute in Recomputation.allCases { try test.check(recompute: recompute) }
    }

    @Test(arguments: Unary.Function.allCases) func ofActivations(_ function: Unary.Function) throws {
        var test = try Case()
        let x = try test.rows("x", 19, scale: 2.5)
        try test.finish(try test.builder.add(.unary(Unary(function)), [x]))
        try test.check()
    }

    @Test(arguments: Unary.Function.allCases) func ofGates(_ function: Unary.Function) throws {
        var test = try Case()
        let a = try test.rows("a", 19, scale: 2), b = try test.rows("b", 19)
        try test.finish(try test.builder.add(.gate(Gate(function)), [a, b]))
        for recompute in Recomputation.allCases { try test.check(recompute: recompute) }
    }

    @Test func ofSumsAndProductsOfOneValueReadTwice() throws {
        var test = try Case()
        let a = try test.rows("a", 5), b = try test.rows("b", 5)
        let sum = try test.builder.add(.binary(Binary(.add)), [a, b])
        let product = try test.builder.add(.binary(Binary(.multiply)), [sum, a])
        let square = try test.builder.add(.binary(Binary(.multiply)), [product, product])
        try test.finish(try test.builder.add(.scale(Scale(-0.7)), [try test.builder.add(.binary(Binary(.add)), [square, square])]))
        try test.check()
    }

    @Test(arguments: [Rotary.Layout.half, .pairs]) func ofRotations(_ layout: Rotary.Layout) throws {
        var test = try Case()
        let x = try test.rows("x", 16)
        let angles = [try test.parameter("cosine", [8, 4]), try test.parameter("sine", [8, 4])]
        try test.finish(try test.builder.add(.rotary(Rotary(headSize: 8, layout: layout)), [x] + angles))
        #expect(test.builder.graph.trainableParameters.count == 1, "angles are no weights")
        try test.check()
    }

    struct AttentionCase: CustomStringConvertible {
        var heads, shared: Int
        var isCausal, isPacked: Bool
        var lengths: [Int32]?
        var tokens = 5
        var description: String { "\(heads)/\(shared) heads\(isCausal ? ", causal" : "")\(isPacked ? ", packed" : ""), \(lengths.map { "lengths \($0)" } ?? "whole")" }
    }

    @Test(arguments: [
        AttentionCase(heads: 2, shared: 2, isCausal: false, isPacked: false),
        AttentionCase(heads: 2, shared: 2, isCausal: false, isPacked: false, lengths: [5, 2]),
        AttentionCase(heads: 4, shared: 2, isCausal: true, isPacked: false),
        AttentionCase(heads: 4, shared: 1, isCausal: true, isPacked: false, lengths: [3, 4]),
        AttentionCase(heads: 3, shared: 3, isCausal: true, isPacked: true),
        AttentionCase(heads: 4, shared: 2, isCausal: false, isPacked: true, lengths: [1, 5]),
    ])
    func ofAttention(_ shape: AttentionCase) throws {
        var test = try Case(tokens: shape.tokens)
        let size = 6
        var payload = Attention(heads: shape.heads, keyValueHeads: shape.shared, headSize: size, scale: 0.4, isCausal: shape.isCausal)
        payload.isPacked = shape.isPacked
        var inputs: [ValueID] = []
        if shape.isPacked {
            inputs.append(try test.rows("qkv", (shape.heads + 2 * shape.shared) * size))
        } else {
            for (name, count) in [("q", shape.heads), ("k", shape.shared), ("v", shape.shared)] { inputs.append(try test.rows(name, count * size)) }
        }
        if let lengths = shape.lengths { inputs.append(try test.lengths(lengths)) }
        try test.finish(try test.builder.add(.attention(payload), inputs))
        for recompute in Recomputation.allCases { try test.check(recompute: recompute) }
    }

    /// More tokens than one block of queries: 2 × 128 + 44, against the same attention differentiated block by block.
    @Test(arguments: [true, false]) func ofAttentionOverSeveralBlocks(_ isCausal: Bool) throws {
        var test = try Case(batch: 1, tokens: 300)
        let payload = Attention(heads: 2, keyValueHeads: 1, headSize: 4, scale: 0.5, isCausal: isCausal)
        let q = try test.rows("q", 8), k = try test.rows("k", 4), v = try test.rows("v", 4)
        try test.finish(try test.builder.add(.attention(payload), [q, k, v]))
        let results = try HostExecutor(try test.builder.graph.differentiated()).run(test.inputs)
        // Differences along a random direction stand for all 4800 elements.
        var reference = try Reference64(test.builder.graph, test.inputs)
        for name in ["q", "k", "v"] {
            let values = reference.parameters[name]!, direction = HostKernelTests.values(values.count, seed: 5, scale: 1).map(Double.init)
            let sides = [1e-5, -1e-5].map { step in
                reference.parameters[name] = zip(values, direction).map { $0 + step * $1 }
                return reference.run()["loss"]![0]
            }
            reference.parameters[name] = values
            let expected = (sides[0] - sides[1]) / 2e-5
            let gradient = try #require(results[Graph.gradientName(of: name)]?.floats)
            let along = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * $1.1 }
            let size = zip(gradient, direction).reduce(0.0) { $0 + abs(Double($1.0) * $1.1) }
            #expect(abs(along - expected) <= 1e-5 * size, "\(name): \(along), not \(expected)")
        }
    }

    enum Pooling: CaseIterable { case first, last, mean }

    @Test(arguments: Pooling.allCases, [nil, [2, 5]] as [[Int32]?]) func ofPooling(_ pooling: Pooling, _ lengths: [Int32]?) throws {
        var test = try Case()
        let x = [try test.rows("x", 9)] + (try lengths.map { [try test.lengths($0)] } ?? [])
        let pooled: ValueID = switch pooling {
        case .first: try test.builder.add(.selectToken(SelectToken(.first)), x)
        case .last: try test.builder.add(.selectToken(SelectToken(.last)), x)
        case .mean: try test.builder.add(.meanTokens(MeanTokens()), x)
        }
        try test.finish(try test.builder.add(.l2Normalize(L2Normalize()), [pooled]))
        try test.check()
    }

    // MARK: Losses

    @Test(arguments: Loss.Reduction.allCases) func ofCrossEntropyWithIgnoredLabels(_ reduction: Loss.Reduction) throws {
        var test = try Case()
        let x = try test.rows("x", 23, scale: 2), labels = try test.builder.input("labels", ValueType(.int32, [.batch, .tokens]))
        test.inputs.integers["labels"] = [3, -100, 22, 0, 7, -1, 7, 7, 16, 1]
        try test.builder.output("loss", try test.builder.add(.loss(Loss(.crossEntropy, reduction: reduction)), [x, labels]))
        try test.check()
    }

    @Test(arguments: [Loss.Function.softTargets, .squaredError, .cosine], [0, 0.1])
    func ofLossesAgainstATeacher(_ function: Loss.Function, _ skew: Double) throws {
        for marks in [nil, [0, 0, -1, 0, 0, -1, 1, 2, 3, 4]] as [[Int32]?] {
            var test = try Case()
            let x = try test.rows("x", 23, scale: 2), type = test.builder.graph[x].type
            var operands = [x, try test.builder.input("teacher", type)]
            test.inputs.floats["teacher"] = HostTensor(HostKernelTests.values(230, seed: 9, scale: 2), shape: [2, 5, 23])
            if let marks {
                operands.append(try test.builder.input("marks", ValueType(.int32, [.batch, .tokens])))
                test.inputs.integers["marks"] = marks
            }
            let loss = Loss(function, temperature: function == .softTargets ? 2.5 : 1, skew: skew)
            try test.builder.output("loss", try test.builder.add(.loss(loss), operands))
            try test.check()
        }
    }

    /// The most probable classes of a teacher's rows as `Loss.Function.topTargets` wants them, in binary64.
    static func top(_ count: Int, of rows: HostTensor, temperature: Double) -> HostTensor {
        let values = (0..<rows.rowCount).flatMap { row -> [Float] in
            let logits = rows.row(row).map { Double($0) / temperature }, sum = logits.reduce(0) { $0 + exp($1) }
            let order = logits.indices.sorted { logits[$0] > logits[$1] }
            let others = order.dropFirst(count).reduce(0) { $0 + exp(logits[$1]) }
            return order.prefix(count).map { Float($0) } + order.prefix(count).map { Float(logits[$0] - log(sum)) } + [Float(log(others / sum))]
        }
        return HostTensor(values, shape: rows.shape.dropLast() + [2 * count + 1])
    }

    @Test(arguments: [1, 7, 22, 23], [0, 0.1]) func ofTheMostProbableClasses(_ count: Int, _ skew: Double) throws {
        var test = try Case()
        let x = try test.rows("x", 23, scale: 2), type = test.builder.graph[x].type
        let teacher = HostTensor(HostKernelTests.values(230, seed: 9, scale: 2), shape: [2, 5, 23])
        test.inputs.floats["teacher"] = GradientTests.top(count, of: teacher, temperature: 2.5)
        let operands = [x, try test.builder.input("teacher", type.withWidth(2 * count + 1)), try test.builder.input("marks", ValueType(.int32, [.batch, .tokens]))]
        test.inputs.integers["lengths"] = [5, 3]
        try test.builder.output("loss", try test.builder.add(.loss(Loss(.topTargets, temperature: 2.5, skew: skew)), operands))
        try test.check()
    }

    /// With all classes among the most probable, their divergence is that of the whole distributions; with fewer it is
    /// less, as it is for any distributions whose classes are put together.
    @Test(arguments: [0, 0.1]) func theMostProbableOfAllClassesAreAllClasses(_ skew: Double) throws {
        let teacher = HostTensor(HostKernelTests.values(230, seed: 9, scale: 2), shape: [2, 5, 23])
        func results(_ count: Int?) throws -> (loss: Float, gradient: [Float]) {
            var test = try Case()
            let x = try test.rows("x", 23, scale: 2), type = test.builder.graph[x].type
            test.inputs.floats["teacher"] = count.map { GradientTests.top($0, of: teacher, temperature: 2) } ?? teacher
            let operands = [x, try test.builder.input("teacher", type.withWidth(count.map { 2 * $0 + 1 } ?? 23))]
            let loss = Loss(count == nil ? .softTargets : .topTargets, temperature: 2, skew: skew)
            try test.builder.output("loss", try test.builder.add(.loss(loss), operands))
            let results = try HostExecutor(try test.builder.graph.differentiated()).run(test.inputs)
            return (try #require(results["loss"]).floats[0], try #require(results["gradient:x"]).floats)
        }
        let exact = try results(nil), all = try results(23)
        #expect(abs(all.loss - exact.loss) <= 1e-6 * exact.loss)
        let largest = exact.gradient.map(abs).max() ?? 0
        #expect(zip(all.gradient, exact.gradient).allSatisfy { abs($0 - $1) <= 1e-6 * largest })
        let counts = [2, 6, 12]
        let losses = try counts.map { try results($0).loss } + [exact.loss]
        for (fewer, more) in zip(losses, losses.dropFirst()) { #expect(0 < fewer && fewer < more) }
    }

    @Test func aClassBeyondTheLogitsIsRefused() throws {
        var test = try Case()
        let x = try test.rows("x", 23), type = test.builder.graph[x].type
        for wrong in [-1, 23, 1.5, .nan, .infinity] as [Float] {
            var test = test
            test.inputs.floats["teacher"] = HostTensor((0..<10).flatMap { _ in [wrong, -1, -1] }, shape: [2, 5, 3])
            let target = try test.builder.input("teacher", type.withWidth(3))
            try test.builder.output("loss", try test.builder.add(.loss(Loss(.topTargets)), [x, target]))
            let executor = try HostExecutor(test.builder.graph)
            #expect(throws: ComputeError.self) { try executor.run(test.inputs) }
        }
    }

    struct RelationCase: CustomStringConvertible {
        var heads = 2
        var student = (size: 6, shared: 2), teacher = (size: 4, shared: 2)
        /// Columns before the heads, as when q, k and v are packed.
        var offset = 0
        var isCausal = false
        var lengths: [Int32]?
        var tokens = 5
        var isOneValue = false
        var description: String { "\(heads) heads of \(student) and \(teacher), \(isCausal ? "causal, " : "")\(isOneValue ? "one value, " : "")\(lengths ?? [])" }
    }

    @Test(
        arguments: [
            RelationCase(), RelationCase(lengths: [5, 2], isOneValue: true), RelationCase(heads: 4, student: (3, 2), teacher: (5, 4), isCausal: true),
            RelationCase(heads: 4, student: (3, 4), teacher: (5, 1), offset: 3, isCausal: true, lengths: [1, 4]),
            RelationCase(heads: 1, student: (4, 1), teacher: (4, 1), offset: 2, isOneValue: true),
        ], RelationLoss.Function.allCases)
    func ofRelations(_ shape: RelationCase, _ function: RelationLoss.Function) throws {
        var test = try Case(tokens: shape.tokens)
        let widths = [shape.heads, shape.student.shared].map { $0 * shape.student.size + shape.offset }
        let first = try test.rows("a", widths[0], scale: 1.5), second = shape.isOneValue ? first : try test.rows("b", widths[1], scale: 1.5)
        var operands = [first, second]
        for (name, heads) in [("ta", shape.heads), ("tb", shape.teacher.shared)] {
            let width = heads * shape.teacher.size
            operands.append(try test.builder.input(name, ValueType(.float32, [.batch, .tokens, .fixed(width)])))
            test.inputs.floats[name] = HostTensor(HostKernelTests.values(2 * shape.tokens * width, seed: 31 + UInt64(heads), scale: 1.5), shape: [2, shape.tokens, width])
        }
        if let lengths = shape.lengths { operands.append(try test.lengths(lengths)) }
        let loss = RelationLoss(
            function, heads: shape.heads, isCausal: shape.isCausal,
            student: .init(headSize: shape.student.size, sharedHeads: shape.isOneValue ? shape.heads : shape.student.shared, columns: [shape.offset, shape.offset], scale: 0.4),
            teacher: .init(headSize: shape.teacher.size, sharedHeads: shape.teacher.shared, scale: 0.5))
        try test.builder.output("loss", try test.builder.add(.scale(Scale(2)), [try test.builder.add(.relationLoss(loss), operands)]))
        try test.check()
    }

    /// More tokens than one block of rows: the gradient along a random direction stands for all elements.
    @Test(arguments: [true, false]) func ofRelationsOverSeveralBlocks(_ isCausal: Bool) throws {
        var test = try Case(batch: 1, tokens: 300)
        let a = try test.rows("a", 8, scale: 1.5), b = try test.rows("b", 8, scale: 1.5)
        var operands = [a, b]
        for (seed, name) in ["ta", "tb"].enumerated() {
            operands.append(try test.builder.input(name, ValueType(.float32, [.batch, .tokens, 6])))
            test.inputs.floats[name] = HostTensor(HostKernelTests.values(1800, seed: UInt64(seed), scale: 1.5), shape: [1, 300, 6])
        }
        let loss = RelationLoss(
            .divergence, heads: 2, isCausal: isCausal, student: .init(headSize: 4, sharedHeads: 2, scale: 0.5), teacher: .init(headSize: 3, sharedHeads: 2, scale: 0.5))
        try test.builder.output("loss", try test.builder.add(.relationLoss(loss), operands))
        let results = try HostExecutor(try test.builder.graph.differentiated(), threads: HostThreads(2)).run(test.inputs)
        var reference = try Reference64(test.builder.graph, test.inputs)
        for name in ["a", "b"] {
            let values = reference.parameters[name]!, direction = HostKernelTests.values(values.count, seed: 5, scale: 1).map(Double.init)
            let sides = [1e-5, -1e-5].map { step in
                reference.parameters[name] = zip(values, direction).map { $0 + step * $1 }
                return reference.run()["loss"]![0]
            }
            reference.parameters[name] = values
            let gradient = try #require(results[Graph.gradientName(of: name)]?.floats)
            let along = zip(gradient, direction).reduce(0.0) { $0 + Double($1.0) * $1.1 }
            let size = zip(gradient, direction).reduce(0.0) { $0 + abs(Double($1.0) * $1.1) }
            #expect(abs(along - (sides[0] - sides[1]) / 2e-5) <= 1e-5 * size, "\(name)")
        }
    }

    @Test func ofAWeightedSumOfLosses() throws {
        var test = try Case()
        let x = try test.rows("x", 11), type = test.builder.graph[x].type
        let labels = try test.builder.input("labels", ValueType(.int32, [.batch, .tokens])), teacher = try test.builder.input("teacher", type)
        test.inputs.integers["labels"] = [3, 2, -1, 0, 7, 1, 7, 7, 10, 1]
        test.inputs.floats["teacher"] = HostTensor(HostKernelTests.values(110, seed: 9, scale: 1), shape: [2, 5, 11])
        let hard = try test.builder.add(.loss(Loss(.crossEntropy)), [x, labels])
        let soft = try test.builder.add(.loss(Loss(.softTargets, temperature: 2)), [x, teacher])
        let weighted = [try test.builder.add(.scale(Scale(0.3)), [hard]), try test.builder.add(.scale(Scale(5)), [soft])]
        try test.builder.output("loss", try test.builder.add(.binary(Binary(.add)), weighted))
        try test.builder.output("hard", hard)
        try test.check()
    }

    // MARK: The graph as a whole

    @Test func aLossThatIsNoNumberCannotBeDifferentiated() throws {
        var test = try Case()
        try test.builder.output("loss", try test.rows("x", 3))
        #expect(throws: GraphError.self) { _ = try test.builder.graph.differentiated() }
        #expect(throws: GraphError.self) { _ = try test.builder.graph.differentiated(loss: "nothing") }
    }

    @Test func onlyTheWantedParametersGetGradients() throws {
        var test = try Case()
        let x = try test.rows("x", 7), weight = try test.parameter("w", [4, 7])
        try test.finish(try test.builder.add(.linear(Linear()), [x, weight]))
        let graph = try test.builder.graph.differentiated(withRespectTo: [weight])
        #expect(graph.outputs.map(\.name) == ["loss", "gradient:w"])
        #expect(!graph.text.contains("embedding_gradient"))
    }

    @Test func theGradientGraphHasATextFormThatReadsBack() throws {
        var test = try Case()
        let qkv = try test.rows("qkv", 18)
        var attention = Attention(heads: 1, keyValueHeads: 1, headSize: 6, scale: 0.4, isCausal: true)
        attention.isPacked = true
        try test.finish(try test.builder.add(.attention(attention), [qkv]))
        let graph = try test.builder.graph.differentiated()
        #expect(try Graph(parsing: graph.text).text == graph.text)
    }

    @Test func gradientsOfSeveralBatchesAddUp() throws {
        var test = try Case()
        let x = try test.rows("x", 7), weight = try test.parameter("w", [4, 7]), bias = try test.parameter("b", [4])
        try test.finish(try test.builder.add(.linear(Linear()), [x, weight, bias]))
        let graph = test.builder.graph
        let table = try ParameterTable(reading: graph.trainableParameters, of: graph), sums = ParameterTable(zerosLike: table)
        let executor = try HostExecutor(try graph.reading(table).differentiated())
        let alone = try executor.run(test.inputs)
        _ = try executor.run(test.inputs, gradients: sums)
        _ = try executor.run(test.inputs, gradients: sums, accumulating: true)
        for name in table.names {
            let once = try #require(alone[Graph.gradientName(of: name)]).floats, twice = try #require(sums[name]).floats
            #expect(zip(once, twice).allSatisfy { abs($1 - 2 * $0) <= 1e-6 * abs($1) + 1e-6 }, "\(name)")
        }
    }

    @Test func aChangedTableChangesTheNextRun() throws {
        var test = try Case()
        let x = try test.rows("x", 7), weight = try test.parameter("w", [4, 7])
        try test.finish(try test.builder.add(.linear(Linear()), [x, weight]))
        let table = try ParameterTable(reading: [weight], of: test.builder.graph)
        let executor = try HostExecutor(test.builder.graph.reading(table))
        let before = try #require(try executor.run(test.inputs)["loss"]).floats
        table["w"]!.buffer[3] += 1
        #expect(try #require(try executor.run(test.inputs)["loss"]).floats != before)
    }

    /// Large enough for several tiles of every product, blocks of every sum over rows and shares of a table.
    @Test func largeGradientsAreTheSameBitsForEveryNumberOfThreads() throws {
        var test = try Case(batch: 2, tokens: 550)
        let x = try test.rows("x", 140), gamma = try test.parameter("gamma", [140]), beta = try test.parameter("beta", [140])
        let normed = try test.builder.add(.layerNorm(LayerNorm(epsilon: 1e-5)), [x, gamma, beta])
        let weight = try test.parameter("w", [420, 140], scale: 0.1), bias = try test.parameter("b", [420])
        var attention = Attention(heads: 2, keyValueHeads: 2, headSize: 70, scale: 0.1, isCausal: true)
        attention.isPacked = true
        let mixed = try test.builder.add(.attention(attention), [try test.builder.add(.linear(Linear()), [normed, weight, bias])])
        try test.finish(try test.builder.add(.binary(Binary(.add)), [x, try test.builder.add(.unary(Unary(.geluTanh)), [mixed])]))
        let graph = try test.builder.graph.differentiated()
        let one = try HostExecutor(graph, threads: HostThreads(1)).run(test.inputs)
        for count in [2, 3, 7] {
            let executor = try HostExecutor(graph, threads: HostThreads(count))
            for _ in 0..<3 {
                for (name, tensor) in try executor.run(test.inputs) {
                    #expect(tensor.floats.map(\.bitPattern) == one[name]?.floats.map(\.bitPattern), "\(name) with \(count) threads")
                }
            }
        }
    }

    @Test func quantizationPassesGradientsStraightThrough() throws {
        var test = try Case()
        let x = try test.rows("x", 8), weight = try test.parameter("w", [6, 8])
        var tanh = Unary(.tanh)
        tanh.alsoQuantized = true
        let results = try test.builder.addMultiple(.unary(tanh), [x])
        let y = try test.builder.add(.linear(Linear()), [results[1], weight])
        try test.finish(y)
        let result = try HostExecutor(try test.builder.graph.differentiated()).run(test.inputs)
        let gradient = try #require(result["gradient:x"]).floats
        // The same model without quantization has almost the same gradient: codes are 1/255 of a row's range apart.
        var plain = try Case()
        let plainX = try plain.rows("x", 8), plainWeight = try plain.parameter("w", [6, 8])
        try plain.finish(try plain.builder.add(.linear(Linear()), [try plain.builder.add(.unary(Unary(.tanh)), [plainX]), plainWeight]))
        let expected = try #require(try HostExecutor(try plain.builder.graph.differentiated()).run(plain.inputs)["gradient:x"]).floats
        let largest = expected.map(abs).max() ?? 0
        #expect(zip(gradient, expected).allSatisfy { abs($0 - $1) <= 0.03 * largest })
        #expect(gradient != expected, "it is quantized")
    }
}

/// Weights as packing stores them.
@Suite struct WeightQuantizationTests {
    @Test(arguments: [(1, 1), (3, 5), (40, 33), (70, 300)]) func outputChannelsHaveTheSameCodesInBothLayouts(_ rows: Int, _ width: Int) {
        var values = HostKernelTests.values(rows * width, seed: 3, scale: 1)
        for column in 0..<width { values[column] = 0 }
        for index in values.indices { values[index] *= Float(index % 7) - 2.5 }
        let threads = HostThreads(2), upright = HostTensor(values, shape: [rows, width])
        let turned = HostTensor((0..<width * rows).map { values[$0 % rows * width + $0 / rows] }, shape: [width, rows])
        FakeQuantization.weights(upright, .int8PerChannel, on: threads)
        FakeQuantization.weights(turned, .int8PerColumn, on: threads)
        for row in 0..<rows {
            let source = values[row * width..<(row + 1) * width], largest = source.map(abs).max()!, scale = Float(Double(largest) / 127)
            for column in 0..<width {
                let code = scale > 0 ? (Double(values[row * width + column]) / Double(scale)).rounded(.toNearestOrEven) : 0
                let expected = Float(min(max(code, -127), 127)) * scale
                #expect(upright.floats[row * width + column] == expected && turned.floats[column * rows + row] == expected)
            }
        }
    }
}
