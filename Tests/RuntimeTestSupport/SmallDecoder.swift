import Foundation
import ShrinkFormat

/// A language model of two layers in the manner of Llama: its program, and its logits computed without one.
public struct SmallDecoder: Sendable {
    public let isQuantized: Bool
    public let rotary: RotaryKind

    /// Sizes; the small ones are multiples of nothing that the kernels like.
    public struct Shape: Sendable {
        var vocabularySize, maximumPositions, width, heads, sharedHeads, headSize, hidden: Int

        public static let small = Shape(
            vocabularySize: 51, maximumPositions: 96, width: 44, heads: 6, sharedHeads: 2, headSize: 10, hidden: 71)
        /// Enough work in every operation to be split over threads.
        public static let wide = Shape(
            vocabularySize: 1_000, maximumPositions: 160, width: 256, heads: 8, sharedHeads: 4, headSize: 32, hidden: 600)
        /// Not a model: heads that cannot share.
        public static let uneven = Shape(
            vocabularySize: 51, maximumPositions: 96, width: 44, heads: 5, sharedHeads: 2, headSize: 10, hidden: 71)
    }

    let shape: Shape
    public var vocabularySize: Int { shape.vocabularySize }
    public var maximumPositions: Int { shape.maximumPositions }
    var width: Int { shape.width }
    var heads: Int { shape.heads }
    var sharedHeads: Int { shape.sharedHeads }
    var headSize: Int { shape.headSize }
    var hidden: Int { shape.hidden }
    let epsilon: Float = 1e-5

    struct Layer: Sendable {
        let q, k, v, o, gate, up, down: Matrix
        let attentionNorm, feedForwardNorm: [Float]
    }

    let table, head: Matrix
    let layers: [Layer]
    let finalNorm: [Float]

    public init(isQuantized: Bool, rotary: RotaryKind = .half, shape: Shape = .small, seed: UInt64 = 1) {
        self.isQuantized = isQuantized
        self.rotary = rotary
        self.shape = shape
        var random = RandomValues(seed: seed)
        func matrix(_ rows: Int, _ columns: Int) -> Matrix {
            Matrix(rows: rows, columns: columns, quantized: isQuantized, &random)
        }
        func gamma(_ count: Int) -> [Float] { random.floats(count, spread: 0.2).map { $0 + 1 } }
        table = matrix(shape.vocabularySize, shape.width)
        let attended = shape.heads * shape.headSize
        let shared = shape.sharedHeads * shape.headSize
        layers = (0..<2).map { _ in
            Layer(
                q: matrix(attended, shape.width), k: matrix(shared, shape.width), v: matrix(shared, shape.width),
                o: matrix(shape.width, attended), gate: matrix(shape.hidden, shape.width),
                up: matrix(shape.hidden, shape.width), down: matrix(shape.width, shape.hidden),
                attentionNorm: gamma(shape.width), feedForwardNorm: gamma(shape.width))
        }
        finalNorm = gamma(shape.width)
        head = matrix(shape.vocabularySize, shape.width)
    }

    var scale: Float { 1 / Float(headSize).squareRoot() }

    // MARK: Program

    /// Entry points `generate` and `score`.
    public func program() -> ProgramAssembler {
        var builder = ModelBuilder(
            ProgramAssembler(vocabularySize: vocabularySize, maximumPositions: maximumPositions), isQuantized: isQuantized)
        let state = layers.map { _ in
            (0..<2).map { _ in builder.program.state(builder.inputType, groups: sharedHeads, columns: headSize) }
        }
        func table(_ f: (Double) -> Double) -> Int {
            var values: [Float] = []
            for position in 0..<maximumPositions {
                for pair in 0..<(headSize / 2) {
                    values.append(Float(f(ReferenceMath.angle(position: position, pair: pair, headSize: headSize))))
                }
            }
            return builder.program.floats(values, rows: maximumPositions)
        }
        let angles = (table(cos), table(sin))
        for kind in [EntryRecord.Kind.generate, .score] { emit(kind, angles, state, &builder) }
        return builder.program
    }

    private func emit(_ kind: EntryRecord.Kind, _ angles: (Int, Int), _ state: [[Int]], _ b: inout ModelBuilder) {
        let h = b.program.tokens(.float32, columns: width)
        b.embed(h, table, .tokens)
        var residual: Int?
        for (layer, state) in zip(layers, state) {
            let x = b.rmsNorm(h, residual: residual, sum: residual == nil ? nil : h, layer.attentionNorm, epsilon: epsilon)
            let q = b.program.tokens(.float32, groups: heads, columns: headSize)
            let k = b.program.tokens(.float32, groups: sharedHeads, columns: headSize)
            let v = b.program.tokens(.float32, groups: sharedHeads, columns: headSize)
            b.linear(x, layer.q, to: q)
            b.linear(x, layer.k, to: k)
            b.linear(x, layer.v, to: v)
            b.program.emit(.rotary, [q, angles.0, angles.1], integers: [rotary.rawValue])
            b.program.emit(.rotary, [k, angles.0, angles.1], integers: [rotary.rawValue])
            var query = q
            if isQuantized {
                query = b.program.tokens(.quantizedRow, groups: heads, columns: headSize)
                b.heads(q, to: query)
            }
            b.heads(k, to: state[0])
            b.heads(v, to: state[1])
            let mixed = b.attention(query, state[0], state[1], causal: true, scale: scale, width: heads * headSize)
            let o = b.program.tokens(.float32, columns: width)
            b.linear(mixed, layer.o, to: o)
            let y = b.rmsNorm(h, residual: o, sum: h, layer.feedForwardNorm, epsilon: epsilon)
            let gate = b.program.tokens(.float32, columns: hidden)
            let up = b.program.tokens(.float32, columns: hidden)
            b.linear(y, layer.gate, to: gate)
            b.linear(y, layer.up, to: up)
            let active = b.activate(.siluMultiply, gate, up, columns: hidden)
            let down = b.program.tokens(.float32, columns: width)
            b.linear(active, layer.down, to: down)
            residual = down
        }
        switch kind {
        case .score:
            let x = b.rmsNorm(h, residual: residual, finalNorm, epsilon: epsilon)
            let logits = b.program.tokens(.float32, columns: vocabularySize)
            b.linear(x, head, to: logits)
            b.program.endEntry(.score, output: logits, maximumTokens: maximumPositions)
        default:
            let gamma = b.program.floats(finalNorm)
            b.program.emit(
                .norm, [h, residual, nil, gamma, nil, h, nil], integers: [NormKind.rms.rawValue], floats: [epsilon])
            let last = b.program.fixed(.float32, columns: width)
            b.program.emit(.selectRow, [h, last], integers: [1])
            let x = b.activate(.identity, last, columns: width, fixed: true)
            let logits = b.program.fixed(.float32, columns: vocabularySize)
            b.linear(x, head, to: logits)
            b.program.endEntry(.generate, output: logits, maximumTokens: maximumPositions)
        }
    }

    // MARK: Reference

    /// Logits of every token, in double precision except for the quantized rows of a quantized model.
    public func logits(_ tokens: [UInt32]) -> [[Double]] {
        func q(_ x: [Double]) -> [Double] { isQuantized ? ReferenceMath.quantized(x) : x }
        func heads(_ x: [Double]) -> [[Double]] {
            (0..<(x.count / headSize)).map { q(ReferenceMath.head(x, $0, size: headSize)) }
        }
        var hidden = tokens.map { table.row(Int($0)) }
        for layer in layers {
            let inputs = hidden.map { q(ReferenceMath.rmsNorm($0, layer.attentionNorm, Double(epsilon))) }
            let queries = inputs.enumerated().map { heads(rotated(layer.q.times($1), position: $0)) }
            let keys = inputs.enumerated().map { heads(rotated(layer.k.times($1), position: $0)) }
            let values = inputs.map { heads(layer.v.times($0)) }
            let steps = inputs.map { x in
                (0..<sharedHeads).map { ReferenceMath.quantizationStep(ReferenceMath.head(layer.v.times(x), $0, size: headSize)) }
            }
            for t in hidden.indices {
                let mixed = (0..<self.heads).flatMap { head in
                    let shared = head / (self.heads / sharedHeads)
                    return ReferenceMath.attention(
                        queries[t][head], keys[...t].map { $0[shared] }, values[...t].map { $0[shared] }, scale: Double(scale),
                        steps: isQuantized ? steps[...t].map { $0[shared] } : nil)
                }
                hidden[t] = ReferenceMath.add(hidden[t], layer.o.times(q(mixed)))
                let x = q(ReferenceMath.rmsNorm(hidden[t], layer.feedForwardNorm, Double(epsilon)))
                let active = zip(layer.gate.times(x), layer.up.times(x)).map { ReferenceMath.silu($0) * $1 }
                hidden[t] = ReferenceMath.add(hidden[t], layer.down.times(q(active)))
            }
        }
        return hidden.map { head.times(q(ReferenceMath.rmsNorm($0, finalNorm, Double(epsilon)))) }
    }

    private func rotated(_ x: [Double], position: Int) -> [Double] {
        var y = x
        for head in 0..<(x.count / headSize) {
            for i in 0..<(headSize / 2) {
                let a = head * headSize + (rotary == .half ? i : 2 * i)
                let b = rotary == .half ? a + headSize / 2 : a + 1
                let angle = ReferenceMath.angle(position: position, pair: i, headSize: headSize)
                y[a] = x[a] * cos(angle) - x[b] * sin(angle)
                y[b] = x[b] * cos(angle) + x[a] * sin(angle)
            }
        }
        return y
    }
}
