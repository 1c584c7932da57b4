import Foundation
import ShrinkFormat

/// An encoder of one layer in the manner of BERT, with all four kinds of output.
public struct SmallEncoder: Sendable {
    public let isQuantized: Bool
    public let vocabularySize = 37
    public let maximumTokens = 40
    public let labels = ["O", "città", "日本"]
    let width = 36
    let heads = 4
    let headSize = 9
    let hidden = 50
    let firstPosition = 2
    let epsilon: Float = 1e-6

    let words, positions, segments: Matrix
    let q, k, v, o, up, down, pool, classifier: Matrix
    let qBias, kBias, vBias, oBias, upBias, downBias, poolBias, labelBias: [Float]
    let gammas, betas: [[Float]]

    public init(isQuantized: Bool, seed: UInt64 = 2) {
        self.isQuantized = isQuantized
        var random = RandomValues(seed: seed)
        func matrix(_ rows: Int, _ columns: Int) -> Matrix {
            Matrix(rows: rows, columns: columns, quantized: isQuantized, &random)
        }
        func bias(_ count: Int) -> [Float] { random.floats(count, spread: 0.1) }
        words = matrix(vocabularySize, width)
        positions = matrix(maximumTokens + firstPosition, width)
        segments = matrix(2, width)
        q = matrix(width, width)
        k = matrix(width, width)
        v = matrix(width, width)
        o = matrix(width, width)
        up = matrix(hidden, width)
        down = matrix(width, hidden)
        pool = matrix(width, width)
        classifier = matrix(labels.count, width)
        (qBias, kBias, vBias, oBias) = (bias(width), bias(width), bias(width), bias(width))
        (upBias, downBias, poolBias, labelBias) = (bias(hidden), bias(width), bias(width), bias(labels.count))
        gammas = (0..<3).map { [width] _ in random.floats(width, spread: 0.2).map { $0 + 1 } }
        betas = (0..<3).map { [width] _ in random.floats(width, spread: 0.1) }
    }

    var scale: Float { 1 / Float(headSize).squareRoot() }

    /// Entry points `embed`, `classify`, `tag` and `encode`.
    public func program() -> ProgramAssembler {
        var b = ModelBuilder(
            ProgramAssembler(vocabularySize: vocabularySize, maximumPositions: maximumTokens), isQuantized: isQuantized)
        b.program.labels = labels
        for kind in [EntryRecord.Kind.embed, .classify, .tag, .encode] {
            let last = emitEncoder(&b)
            let output: Int
            switch kind {
            case .embed:
                let mean = b.program.fixed(.float32, columns: width)
                b.program.emit(.meanRows, [last.float, mean])
                output = b.program.fixed(.float32, columns: width)
                b.program.emit(.l2Normalize, [mean, output], floats: [1e-12])
            case .classify:
                let first = b.program.fixed(.float32, columns: width)
                b.program.emit(.selectRow, [last.float, first], integers: [0])
                let x = b.activate(.identity, first, columns: width, fixed: true)
                let pooled = b.program.fixed(.float32, columns: width)
                b.linear(x, pool, bias: poolBias, to: pooled)
                let active = b.activate(.tanh, pooled, columns: width, fixed: true)
                output = b.program.fixed(.float32, columns: labels.count)
                b.linear(active, classifier, bias: labelBias, to: output)
            case .tag:
                output = b.program.tokens(.float32, columns: labels.count)
                b.linear(last.input, classifier, bias: labelBias, to: output)
            default:
                output = last.float
            }
            b.program.endEntry(kind, output: output, maximumTokens: maximumTokens)
        }
        return b.program
    }

    private func emitEncoder(_ b: inout ModelBuilder) -> (float: Int, input: Int) {
        let h = b.program.tokens(.float32, columns: width)
        b.embed(h, words, .tokens)
        b.embed(h, positions, .positions, accumulate: true, first: firstPosition)
        b.embed(h, segments, .segments, accumulate: true)
        let x = b.layerNorm(h, gammas[0], betas[0], epsilon: epsilon)
        let projections = [(q, qBias), (k, kBias), (v, vBias)].map { matrix, bias in
            let out = b.program.tokens(.float32, groups: heads, columns: headSize)
            b.linear(x.input, matrix, bias: bias, to: out)
            guard isQuantized else { return out }
            let quantized = b.program.tokens(.quantizedRow, groups: heads, columns: headSize)
            b.heads(out, to: quantized)
            return quantized
        }
        let mixed = b.attention(
            projections[0], projections[1], projections[2], causal: false, scale: scale, width: width)
        let projected = b.program.tokens(.float32, columns: width)
        b.linear(mixed, o, bias: oBias, to: projected)
        let y = b.layerNorm(projected, residual: x.float, gammas[1], betas[1], epsilon: epsilon)
        let wide = b.program.tokens(.float32, columns: hidden)
        b.linear(y.input, up, bias: upBias, to: wide)
        let active = b.activate(.geluErf, wide, columns: hidden)
        let narrow = b.program.tokens(.float32, columns: width)
        b.linear(active, down, bias: downBias, to: narrow)
        return b.layerNorm(narrow, residual: y.float, gammas[2], betas[2], epsilon: epsilon)
    }

    /// The output of an entry point, row by row.
    public func output(_ kind: EntryRecord.Kind, _ tokens: [UInt32], segments ids: [UInt32]) -> [[Double]] {
        func quantized(_ x: [Double]) -> [Double] { isQuantized ? ReferenceMath.quantized(x) : x }
        func norm(_ x: [Double], _ index: Int) -> [Double] {
            ReferenceMath.layerNorm(x, gammas[index], betas[index], Double(epsilon))
        }
        func heads(_ x: [Double]) -> [[Double]] {
            (0..<self.heads).map { quantized(ReferenceMath.head(x, $0, size: headSize)) }
        }
        let embedded = tokens.indices.map { t in
            norm(
                ReferenceMath.add(
                    ReferenceMath.add(words.row(Int(tokens[t])), positions.row(t + firstPosition)),
                    segments.row(Int(ids[t]))), 0)
        }
        let queries = embedded.map { heads(q.times(quantized($0), bias: qBias)) }
        let keys = embedded.map { heads(k.times(quantized($0), bias: kBias)) }
        let values = embedded.map { heads(v.times(quantized($0), bias: vBias)) }
        let steps = embedded.map { x in
            let row = v.times(quantized(x), bias: vBias)
            return (0..<self.heads).map { ReferenceMath.quantizationStep(ReferenceMath.head(row, $0, size: headSize)) }
        }
        let rows = tokens.indices.map { t in
            let mixed = (0..<self.heads).flatMap { head in
                ReferenceMath.attention(
                    queries[t][head], keys.map { $0[head] }, values.map { $0[head] }, scale: Double(scale),
                    steps: isQuantized ? steps.map { $0[head] } : nil)
            }
            let y = norm(ReferenceMath.add(o.times(quantized(mixed), bias: oBias), embedded[t]), 1)
            let active = up.times(quantized(y), bias: upBias).map(ReferenceMath.gelu)
            return norm(ReferenceMath.add(down.times(quantized(active), bias: downBias), y), 2)
        }
        switch kind {
        case .embed:
            let mean = rows.reduce([Double](repeating: 0, count: width), ReferenceMath.add).map { $0 / Double(rows.count) }
            let length = mean.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return [mean.map { $0 / length }]
        case .classify:
            let pooled = pool.times(quantized(rows[0]), bias: poolBias).map { tanh($0) }
            return [classifier.times(quantized(pooled), bias: labelBias)]
        case .tag:
            return rows.map { classifier.times(quantized($0), bias: labelBias) }
        default:
            return rows
        }
    }
}
