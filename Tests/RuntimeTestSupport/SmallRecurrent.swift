import Foundation
import ShrinkFormat

/// Recurrent models of two layers, their programs, and their outputs computed without one: a language model, whose
/// layers run forward, or a tagger, whose layers run both ways.
public struct SmallRecurrent: Sendable, CustomStringConvertible {
    public let cell: RecurrentCell
    public let isBidirectional: Bool
    public let isQuantized: Bool
    public let vocabularySize: Int
    let width: Int

    struct Direction: Sendable {
        let input, hidden: Matrix
        let inputBias, hiddenBias: [Float]
    }

    let table, head: Matrix
    /// By layer, then forward and perhaps backward.
    let layers: [[Direction]]

    /// A small width is a multiple of nothing that the kernels like.
    public init(
        _ cell: RecurrentCell, bidirectional: Bool = false, quantized: Bool, vocabularySize: Int = 41, width: Int = 37, seed: UInt64 = 7
    ) {
        self.cell = cell
        isBidirectional = bidirectional
        isQuantized = quantized
        self.vocabularySize = vocabularySize
        self.width = width
        var random = RandomValues(seed: seed)
        func matrix(_ rows: Int, _ columns: Int) -> Matrix {
            Matrix(rows: rows, columns: columns, quantized: quantized, &random)
        }
        let directions = bidirectional ? 2 : 1
        table = matrix(vocabularySize, 29)
        layers = (0..<2).map { layer in
            (0..<directions).map { _ in
                Direction(
                    input: matrix(cell.gateCount * width, layer == 0 ? 29 : directions * width), hidden: matrix(cell.gateCount * width, width),
                    inputBias: random.floats(cell.gateCount * width, spread: 0.5), hiddenBias: random.floats(cell.gateCount * width, spread: 0.5))
            }
        }
        head = matrix(bidirectional ? 5 : vocabularySize, directions * width)
    }

    public var description: String { "\(cell)\(isBidirectional ? " both ways" : "")\(isQuantized ? ", quantized" : "")" }

    // MARK: Program

    /// Entry points `generate` and `score` without a longest context, or `tag` and `embed` of inputs of up to 64 tokens.
    public func program() -> ProgramAssembler {
        var builder = ModelBuilder(
            ProgramAssembler(vocabularySize: vocabularySize, maximumPositions: isBidirectional ? 64 : 0), isQuantized: isQuantized)
        guard !isBidirectional else {
            for kind in [EntryRecord.Kind.tag, .embed] { emitTagger(kind, &builder) }
            return builder.program
        }
        let carries = layers.map { _ in builder.program.carry(rows: cell.carriedRowCount, columns: width) }
        for kind in [EntryRecord.Kind.generate, .score] { emitLanguageModel(kind, carries, &builder) }
        return builder.program
    }

    private func embedded(_ b: inout ModelBuilder) -> Int {
        let x = b.program.tokens(.float32, columns: 29)
        b.embed(x, table, .tokens)
        return isQuantized ? b.activate(.identity, x, columns: 29) : x
    }

    private func gates(_ x: Int, _ direction: Direction, _ b: inout ModelBuilder) -> Int {
        let gates = b.program.tokens(.float32, columns: cell.gateCount * width)
        b.linear(x, direction.input, bias: direction.inputBias, to: gates)
        return gates
    }

    private func emitLanguageModel(_ kind: EntryRecord.Kind, _ carries: [Int], _ b: inout ModelBuilder) {
        var x = embedded(&b)
        for (layer, carry) in zip(layers, carries) {
            // The last layer's rows pass through floats where one of them is selected.
            let isLast = carry == carries.last && kind == .generate
            x = b.recurrent(
                gates(x, layer[0], &b), cell, layer[0].hidden, bias: layer[0].hiddenBias, carry: carry, isFloat: isLast)
        }
        guard kind == .generate else {
            let logits = b.program.tokens(.float32, columns: vocabularySize)
            b.linear(x, head, to: logits)
            return b.program.endEntry(.score, output: logits, maximumTokens: 128)
        }
        let last = b.program.fixed(.float32, columns: width)
        b.program.emit(.selectRow, [x, last], integers: [1])
        let logits = b.program.fixed(.float32, columns: vocabularySize)
        b.linear(isQuantized ? b.activate(.identity, last, columns: width, fixed: true) : last, head, to: logits)
        b.program.endEntry(.generate, output: logits, maximumTokens: 128)
    }

    private func emitTagger(_ kind: EntryRecord.Kind, _ b: inout ModelBuilder) {
        var x = embedded(&b)
        for layer in layers {
            let hidden = layer.enumerated().map { index, direction in
                b.recurrent(
                    gates(x, direction, &b), cell, direction.hidden, bias: direction.hiddenBias, reversed: index == 1,
                    carry: b.program.fixed(.float32, rows: cell.carriedRowCount, columns: width), isFloat: true)
            }
            x = b.concatenate(hidden[0], hidden[1], columns: 2 * width)
        }
        let logits = b.program.tokens(.float32, columns: 5)
        b.linear(x, head, to: logits)
        guard kind == .embed else { return b.program.endEntry(.tag, output: logits, maximumTokens: 64) }
        let mean = b.program.fixed(.float32, columns: 5)
        b.program.emit(.meanRows, [logits, mean])
        b.program.endEntry(.embed, output: mean, maximumTokens: 64)
    }

    // MARK: Reference

    /// Logits of every token, in double precision except for the quantized rows of a quantized model.
    public func logits(_ tokens: [UInt32]) -> [[Double]] {
        func q(_ x: [Double]) -> [Double] { isQuantized ? ReferenceMath.quantized(x) : x }
        var rows = tokens.map { table.row(Int($0)) }
        for layer in layers {
            let inputs = rows.map(q)
            let directions = layer.enumerated().map { index, direction in
                let order = index == 1 ? Array(inputs.reversed()) : inputs
                let states = Self.states(
                    cell, order.map { direction.input.times($0, bias: direction.inputBias) }, direction.hidden, direction.hiddenBias, quantize: q)
                return index == 1 ? states.reversed() : states
            }
            rows = rows.indices.map { t in directions.flatMap { $0[t] } }
        }
        return rows.map { head.times(q($0)) }
    }

    /// h of every token from the gates' inputs, by the formulas of `RecurrentCell`.
    public static func states(
        _ cell: RecurrentCell, _ inputs: [[Double]], _ weight: Matrix, _ bias: [Float]?, quantize: ([Double]) -> [Double]
    ) -> [[Double]] {
        let width = weight.columns
        func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
        var h = [Double](repeating: 0, count: width), c = h
        return inputs.map { x in
            let s = weight.times(quantize(h), bias: bias)
            func sum(_ gate: Int, _ i: Int) -> Double { x[gate * width + i] + s[gate * width + i] }
            for i in 0..<width {
                switch cell {
                case .tanh: h[i] = tanh(sum(0, i))
                case .gru:
                    let z = sigmoid(sum(1, i))
                    let n = tanh(x[2 * width + i] + sigmoid(sum(0, i)) * s[2 * width + i])
                    h[i] = (1 - z) * n + z * h[i]
                case .lstm:
                    c[i] = sigmoid(sum(1, i)) * c[i] + sigmoid(sum(0, i)) * tanh(sum(2, i))
                    h[i] = sigmoid(sum(3, i)) * tanh(c[i])
                }
            }
            return h
        }
    }
}
