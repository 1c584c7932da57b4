import Glibc
import ShrinkGraph
import Testing

@testable import ShrinkCompute

/// The host's float operations against the formulas in binary64.
@Suite struct HostKernelTests {
    /// Numbers that are the same in every run, some large.
    static func values(_ count: Int, seed: UInt64 = 1, scale: Float = 3) -> [Float] {
        var state = seed &* 0x9E37_79B9_7F4A_7C15
        return (0..<count).map { index in
            state = state &* 6364136223846793005 &+ 1442695040888963407
            let unit = Float(Int32(truncatingIfNeeded: state >> 32)) / Float(Int32.max)
            return unit * (index % 17 == 0 ? 5 * scale : scale)
        }
    }

    /// Runs a graph of one node over inputs that are parameters looked up by an embedding: the host
    /// executor's own way, with the rows of `x` as the embeddings of tokens 0, 1, 2 …
    static func run(_ operation: Operation, _ inputs: [(shape: [Int], values: [Float])], rowInputs: Int = 1) throws -> [[Float]] {
        var builder = GraphBuilder(name: "test")
        let tokens = try builder.input("tokens", ValueType(.int32, [.batch, .tokens]))
        var values: [ValueID] = []
        for (index, input) in inputs.enumerated() {
            let parameter = try builder.parameter(
                "p\(index)", ValueType(.float32, input.shape.map(Dimension.fixed)),
                Parameter(storedType: "f32", storedByteCount: 0, source: FloatArraySource(input.values)))
            values.append(index < rowInputs ? try builder.add(.embedding(Embedding()), [tokens, parameter]) : parameter)
        }
        for (index, result) in try builder.addMultiple(operation, values).enumerated() { try builder.output("r\(index)", result) }
        let rows = inputs[0].shape[0]
        let results = try HostExecutor(builder.graph).run(tokens: (0..<rows).map(Int32.init))
        return try builder.graph.outputs.map { try #require(results[$0.name]).floats }
    }

    func expectClose(_ result: [Float], _ expected: [Double], relative: Double = 2e-6, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(result.count == expected.count, sourceLocation: sourceLocation)
        let largest = expected.map(abs).max() ?? 0
        for (index, (a, b)) in zip(result, expected).enumerated() where !(abs(Double(a) - b) <= relative * max(abs(b), largest / 16)) {
            Issue.record("element \(index) is \(a), not \(b)", sourceLocation: sourceLocation)
            return
        }
    }

    @Test func layerNormIsTheFormula() throws {
        let x = Self.values(5 * 37), gamma = Self.values(37, seed: 2), beta = Self.values(37, seed: 3)
        let result = try Self.run(.layerNorm(LayerNorm(epsilon: 1e-5)), [([5, 37], x), ([37], gamma), ([37], beta)])
        var expected: [Double] = []
        for row in 0..<5 {
            let values = x[row * 37..<(row + 1) * 37].map(Double.init)
            let mean = values.reduce(0, +) / 37, variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 37
            expected += values.indices.map { (values[$0] - mean) / (variance + 1e-5).squareRoot() * Double(gamma[$0]) + Double(beta[$0]) }
        }
        expectClose(result[0], expected)
    }

    @Test func rmsNormWithResidualKeepsTheSum() throws {
        let x = Self.values(40 * 20), residual = Self.values(40 * 20, seed: 4), gamma = Self.values(20, seed: 2)
        var builder = GraphBuilder(name: "test")
        let tokens = try builder.input("tokens", ValueType(.int32, [.batch, .tokens]))
        func rows(_ name: String, _ values: [Float]) throws -> ValueID {
            let table = try builder.parameter(
                name, ValueType(.float32, [40, 20]), Parameter(storedType: "f32", storedByteCount: 0, source: FloatArraySource(values)))
            return try builder.add(.embedding(Embedding()), [tokens, table])
        }
        let gain = try builder.parameter(
            "gain", ValueType(.float32, [20]), Parameter(storedType: "f32", storedByteCount: 0, source: FloatArraySource(gamma)))
        var norm = RMSNorm(epsilon: 1e-6)
        norm.keepsSum = true
        let results = try builder.addMultiple(.rmsNorm(norm), [rows("x", x), gain, rows("residual", residual)])
        try builder.output("norm", results[0])
        try builder.output("sum", results[1])
        let output = try HostExecutor(builder.graph).run(tokens: (0..<40).map(Int32.init))
        let sums = zip(x, residual).map { Double($0) + Double($1) }
        expectClose(try #require(output["sum"]).floats, sums)
        let expected = (0..<40).flatMap { row -> [Double] in
            let values = sums[row * 20..<(row + 1) * 20]
            let scale = 1 / (values.reduce(0) { $0 + $1 * $1 } / 20 + 1e-6).squareRoot()
            return zip(values, gamma).map { $0 * scale * Double($1) }
        }
        expectClose(try #require(output["norm"]).floats, expected)
    }

    @Test(arguments: [(true, 4, 2), (false, 4, 4), (true, 3, 1)]) func attentionIsTheFormula(_ isCausal: Bool, _ heads: Int, _ shared: Int) throws {
        let size = 6, tokens = 21
        let q = Self.values(tokens * heads * size), k = Self.values(tokens * shared * size, seed: 5), v = Self.values(tokens * shared * size, seed: 6)
        let operation = Attention(heads: heads, keyValueHeads: shared, headSize: size, scale: 0.3, isCausal: isCausal)
        let result = try Self.run(
            .attention(operation), [([tokens, heads * size], q), ([tokens, shared * size], k), ([tokens, shared * size], v)], rowInputs: 3)
        var expected = [Double](repeating: 0, count: tokens * heads * size)
        for token in 0..<tokens {
            for head in 0..<heads {
                let other = head / (heads / shared), seen = isCausal ? token + 1 : tokens
                let scores = (0..<seen).map { position in
                    (0..<size).reduce(0.0) {
                        $0 + Double(q[(token * heads + head) * size + $1]) * Double(k[(position * shared + other) * size + $1])
                    } * 0.3
                }
                let largest = scores.max() ?? 0, sum = scores.reduce(0) { $0 + exp($1 - largest) }
                for index in 0..<size {
                    expected[(token * heads + head) * size + index] = (0..<seen).reduce(0.0) {
                        $0 + exp(scores[$1] - largest) / sum * Double(v[($1 * shared + other) * size + index])
                    }
                }
            }
        }
        // The largest scores are some hundreds: their rounding to binary32 is what remains.
        expectClose(result[0], expected, relative: 1e-4)
    }

    @Test(arguments: Unary.Function.allCases) func unaryFunctionsAreTheirFormulas(_ function: Unary.Function) throws {
        let x = Self.values(300) + [0, -0.0, 1e-30, -1e-30, 88, -88, 200, -200, 1e30, -1e30]
        let result = try Self.run(.unary(Unary(function)), [([31, 10], x)])
        let expected = x.map { x -> Double in
            let x = Double(x)
            switch function {
            case .relu: return max(x, 0)
            case .silu: return x / (1 + exp(-x))
            case .tanh: return Glibc.tanh(x)
            case .sigmoid: return 1 / (1 + exp(-x))
            case .geluErf: return x * erfc(-x / 2.0.squareRoot()) / 2
            case .geluTanh: return 0.5 * x * (1 + Glibc.tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
            }
        }
        // Element by element; far out on the left the functions lose their relative precision.
        for (index, (a, b)) in zip(result[0], expected).enumerated() {
            #expect(abs(Double(a) - b) <= 3e-7 * max(abs(b), 1), "\(function) of \(x[index]) is \(a), not \(b)")
        }
    }

    @Test func normalizingDividesByTheLength() throws {
        let x = Self.values(3 * 12) + [Float](repeating: 0, count: 12)
        let result = try Self.run(.l2Normalize(L2Normalize(epsilon: 1e-12)), [([4, 12], x)])
        let expected = (0..<4).flatMap { row -> [Double] in
            let values = x[row * 12..<(row + 1) * 12].map(Double.init)
            let length = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return values.map { $0 / max(length, 1e-12) }
        }
        expectClose(result[0], expected)
    }

    @Test func linearIsTheProductWithItsBias() throws {
        let x = Self.values(33 * 19), w = Self.values(7 * 19, seed: 8), b = Self.values(7, seed: 9)
        let result = try Self.run(.linear(Linear()), [([33, 19], x), ([7, 19], w), ([7], b)])
        var expected: [Double] = []
        for row in 0..<33 {
            for column in 0..<7 {
                var sum = Double(b[column])
                for inner in 0..<19 { sum += Double(x[row * 19 + inner]) * Double(w[column * 19 + inner]) }
                expected.append(sum)
            }
        }
        expectClose(result[0], expected)
    }

    @Test func tokensAndPositionsBeyondTheTablesAreErrors() throws {
        var builder = GraphBuilder(name: "test")
        let tokens = try builder.input("tokens", ValueType(.int32, [.batch, .tokens]))
        func parameter(_ name: String, _ shape: [Int]) throws -> ValueID {
            try builder.parameter(
                name, ValueType(.float32, shape.map(Dimension.fixed)),
                Parameter(storedType: "f32", storedByteCount: 0, source: FloatArraySource(Self.values(shape.reduce(1, *)))))
        }
        let x = try builder.add(.embedding(Embedding()), [tokens, parameter("table", [4, 2])])
        let angles = [try parameter("cosine", [3, 1]), try parameter("sine", [3, 1])]
        try builder.output("y", try builder.add(.rotary(Rotary(headSize: 2, layout: .half)), [x] + angles))
        let executor = try HostExecutor(builder.graph)
        #expect(throws: Never.self) { _ = try executor.run(tokens: [3, 0, 1]) }
        #expect(throws: ComputeError.self) { _ = try executor.run(tokens: [4]) }
        #expect(throws: ComputeError.self) { _ = try executor.run(tokens: [-1]) }
        #expect(throws: ComputeError.self) { _ = try executor.run(tokens: [0, 1, 2, 3]) }
    }

    @Test func aParameterWithoutNumbersIsAnErrorThatNamesIt() throws {
        let graph = try Graph(parsing: """
            graph "g" {
              input %tokens: i32[batch, tokens]
              parameter %wte: f32[4, 2] stored(f32, 32)
              %y = embedding(%tokens, %wte) : f32[batch, tokens, 2]
              output "y" = %y
            }
            """)
        let executor = try HostExecutor(graph)
        let error = #expect(throws: ComputeError.self) { _ = try executor.run(tokens: [0]) }
        #expect(error?.description.contains("wte") == true)
    }

    // MARK: Quantization

    @Test func activationsMoveByHalfAStepAtMost() throws {
        let x = Self.values(24 * 32)
        for groups in [1, 4] {
            let result = try Self.run(.quantize(ShrinkGraph.Quantize(groups: groups)), [([24, 32], x)])[0]
            let width = 32 / groups
            for start in stride(from: 0, to: x.count, by: width) {
                let part = x[start..<start + width]
                let scale = (max(part.max() ?? 0, 0) - min(part.min() ?? 0, 0)) / 255
                // The zero point is rounded too, which can add as much again at the ends of the range.
                #expect(part.indices.allSatisfy { abs(result[$0] - x[$0]) <= 1.001 * scale })
                let ends = [part.min() ?? 0, part.max() ?? 0]
                let inside = part.indices.filter { x[$0] > ends[0] + scale && x[$0] < ends[1] - scale }
                #expect(inside.allSatisfy { abs(result[$0] - x[$0]) <= 0.501 * scale })
                #expect(Set(part.indices.map { result[$0] }).count <= 256)
            }
        }
    }

    @Test func zerosStayZeros() throws {
        let result = try Self.run(.quantize(ShrinkGraph.Quantize()), [([2, 4], [0, 0, 0, 0, 0, 5, -3, 0])])[0]
        #expect(result[0..<5] == [0, 0, 0, 0, 0] && result[7] == 0)
    }

    @Test func sharesOfValuesThatAreAllZeroStayNumbers() {
        var shares: [Float] = [0.5, 0.25, 0.25]
        FakeQuantization.shares(&shares, count: 3, steps: [1e-35, 1e-35, 1e-35], stride: 1)
        #expect(shares.allSatisfy { $0.isFinite })
        shares = [0.5, 0.25, 0.25]
        FakeQuantization.shares(&shares, count: 3, steps: [0.5, 0.25, 1e-35], stride: 1)
        // A quarter is 8191.75 of 32767 units.
        #expect(shares[0] == 0.5 && abs(shares[1] - 8192.0 / 32767) < 1e-7 && shares[2] == 0)
        shares = [0.75, 0.25]
        FakeQuantization.shares(&shares, count: 2, steps: [0.25, 1], stride: 1)
        // The largest share with the largest step would be 32767 units: 0.75 * 0.25 are 8191.75, 0.25 * 1 10922.33.
        #expect(abs(shares[0] - 0.75 * 4 * 8192 / 32767) < 1e-7 && abs(shares[1] - 0.75 * 10922 / 32767) < 1e-7)
    }

    @Test func weightsAreSymmetricByRow() throws {
        let tensor = HostTensor(shape: [2, 5])
        _ = tensor.buffer.initialize(fromContentsOf: [1, -0.5, 0.25, 0.003, 0, 0, 0, 0, 0, 0])
        FakeQuantization.weights(tensor, .int8PerChannel, on: HostThreads(1))
        let scale = Float(1.0 / 127)
        #expect(tensor.floats == [127 * scale, -64 * scale, 32 * scale, 0, 0, 0, 0, 0, 0, 0], "0.5 / scale is 63.5: to even")
    }
}
