import ShrinkFormat

/// Emits the operations of a test model in its quantized or its float form.
struct ModelBuilder {
    var program: ProgramAssembler
    let isQuantized: Bool

    init(_ program: ProgramAssembler, isQuantized: Bool) {
        self.program = program
        self.isQuantized = isQuantized
    }

    /// What a linear layer takes.
    var inputType: TensorType { isQuantized ? .quantizedRow : .float32 }

    mutating func weight(_ matrix: Matrix) -> (weight: Int, scale: Int?, sum: Int?) {
        guard isQuantized else {
            return (program.packedFloats(matrix.values, rows: matrix.rows, columns: matrix.columns), nil, nil)
        }
        let sums = (0..<matrix.rows).map { row in
            matrix.codes[(row * matrix.columns)..<((row + 1) * matrix.columns)].reduce(Int32(0)) { $0 + Int32($1) }
        }
        return (
            program.packedCodes(matrix.codes, rows: matrix.rows, columns: matrix.columns), program.floats(matrix.scales),
            program.integers(sums)
        )
    }

    mutating func linear(_ x: Int, _ matrix: Matrix, bias: [Float]? = nil, to out: Int) {
        let parts = weight(matrix)
        let biasTensor = bias.map { program.floats($0) }
        program.emit(.linear, [x, parts.weight, parts.scale, parts.sum, biasTensor, out])
    }

    mutating func embed(_ out: Int, _ matrix: Matrix, _ index: EmbedIndex, accumulate: Bool = false, first: Int = 0) {
        let parts = weight(matrix)
        program.emit(
            .embed, [out, parts.weight, parts.scale], integers: [index.rawValue, accumulate ? 1 : 0, Int32(first)])
    }

    /// A norm whose result feeds linear layers; returns that tensor.
    mutating func rmsNorm(_ x: Int, residual: Int? = nil, sum: Int? = nil, _ gamma: [Float], epsilon: Float) -> Int {
        let out = program.tokens(inputType, columns: gamma.count)
        let gammaTensor = program.floats(gamma)
        program.emit(
            .norm, [x, residual, sum, gammaTensor, nil, isQuantized ? nil : out, isQuantized ? out : nil],
            integers: [NormKind.rms.rawValue], floats: [epsilon])
        return out
    }

    /// A layer norm with a float result and, in the quantized form, a quantized one beside it.
    mutating func layerNorm(
        _ x: Int, residual: Int? = nil, _ gamma: [Float], _ beta: [Float], epsilon: Float
    ) -> (float: Int, input: Int) {
        let out = program.tokens(.float32, columns: gamma.count)
        let quantized = isQuantized ? program.tokens(.quantizedRow, columns: gamma.count) : nil
        let (g, b) = (program.floats(gamma), program.floats(beta))
        program.emit(
            .norm, [x, residual, nil, g, b, out, quantized], integers: [NormKind.layer.rawValue], floats: [epsilon])
        return (out, quantized ?? out)
    }

    /// Float heads to what attention takes.
    mutating func heads(_ x: Int, to out: Int) { program.emit(.quantize, [x, out]) }

    mutating func attention(_ q: Int, _ k: Int, _ v: Int, causal: Bool, scale: Float, width: Int) -> Int {
        let out = program.tokens(inputType, columns: width)
        program.emit(
            .attention, [q, k, v, isQuantized ? nil : out, isQuantized ? out : nil], integers: [causal ? 1 : 0],
            floats: [scale])
        return out
    }

    /// A recurrent layer over gate inputs: float rows, and in the quantized form quantized ones instead.
    mutating func recurrent(
        _ x: Int, _ cell: RecurrentCell, _ matrix: Matrix, bias: [Float]?, reversed: Bool = false, carry: Int, isFloat: Bool = false
    ) -> Int {
        let parts = weight(matrix)
        let biasTensor = bias.map { program.floats($0) }
        let quantizes = isQuantized && !isFloat
        let out = program.tokens(quantizes ? .quantizedRow : .float32, columns: matrix.columns)
        program.emit(
            .recurrent, [x, parts.weight, parts.scale, parts.sum, biasTensor, carry, quantizes ? nil : out, quantizes ? out : nil],
            integers: [cell.rawValue, reversed ? 1 : 0])
        return out
    }

    /// Two rows side by side as what a linear layer takes.
    mutating func concatenate(_ a: Int, _ b: Int, columns: Int) -> Int {
        let out = program.tokens(inputType, columns: columns)
        program.emit(.concatenate, [a, b, isQuantized ? nil : out, isQuantized ? out : nil])
        return out
    }

    mutating func activate(_ kind: ActivationKind, _ a: Int, _ b: Int? = nil, columns: Int, fixed: Bool = false) -> Int {
        let out = fixed ? program.fixed(inputType, columns: columns) : program.tokens(inputType, columns: columns)
        program.emit(
            .activate, [a, b, isQuantized ? nil : out, isQuantized ? out : nil], integers: [kind.rawValue])
        return out
    }
}
