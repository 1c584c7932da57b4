/// Layer normalisation over the innermost dimension (Ba et al. 2016, eq. 4), after an optional
/// residual addition: [x, gamma [width], beta [width], residual (may be absent)].
///
/// Results: the normalised rows; with `alsoQuantized` the same as q8; with a residual, x + residual
/// comes last when `keepsSum`.
public struct LayerNorm: OperationPayload {
    public static let mnemonic = "layer_norm"
    public var epsilon: Double
    public var keepsSum = false
    public var alsoQuantized = false

    public init(epsilon: Double) { self.epsilon = epsilon }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(3...4, "x, gamma, beta and perhaps a residual")
        return try normTypes(inputs, vectors: ["gamma", "beta"], epsilon, keepsSum: keepsSum, alsoQuantized: alsoQuantized)
    }

    public var attributes: [(String, Attribute)] { normAttributes(epsilon, keepsSum: keepsSum, alsoQuantized: alsoQuantized) }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        epsilon = try attributes.real("epsilon")
        (keepsSum, alsoQuantized) = try readNormFlags(&attributes)
    }
}

/// Root-mean-square normalisation (Zhang & Sennrich 2019, eq. 4), after an optional residual
/// addition: [x, gamma [width], residual (may be absent)]. Results as for `LayerNorm`.
public struct RMSNorm: OperationPayload {
    public static let mnemonic = "rms_norm"
    public var epsilon: Double
    public var keepsSum = false
    public var alsoQuantized = false

    public init(epsilon: Double) { self.epsilon = epsilon }

    public func inferTypes(_ inputs: [ValueType]) throws(GraphError) -> [ValueType] {
        try inputs.require(2...3, "x, gamma and perhaps a residual")
        return try normTypes(inputs, vectors: ["gamma"], epsilon, keepsSum: keepsSum, alsoQuantized: alsoQuantized)
    }

    public var attributes: [(String, Attribute)] { normAttributes(epsilon, keepsSum: keepsSum, alsoQuantized: alsoQuantized) }

    public init(_ attributes: inout AttributeReader) throws(GraphError) {
        epsilon = try attributes.real("epsilon")
        (keepsSum, alsoQuantized) = try readNormFlags(&attributes)
    }
}

private func normTypes(
    _ inputs: [ValueType], vectors: [String], _ epsilon: Double, keepsSum: Bool, alsoQuantized: Bool
) throws(GraphError) -> [ValueType] {
    let x = inputs[0]
    try x.requireElement(.float32, as: "x")
    let width = try x.requireWidth(as: "x")
    for (vector, name) in zip(inputs.dropFirst(), vectors) { try vector.requireShape([.fixed(width)], as: name) }
    let hasResidual = inputs.count == vectors.count + 2
    if hasResidual, let residual = inputs.last, residual != x {
        throw GraphError(.shape, "the residual must be \(x), but is \(residual)")
    }
    guard hasResidual || !keepsSum else { throw GraphError(.attribute, "keeps_sum needs a residual") }
    guard epsilon > 0, epsilon.isFinite else { throw GraphError(.attribute, "epsilon must be positive") }
    return [x] + (alsoQuantized ? [x.withElement(.quantized8)] : []) + (keepsSum ? [x] : [])
}

private func normAttributes(_ epsilon: Double, keepsSum: Bool, alsoQuantized: Bool) -> [(String, Attribute)] {
    [("epsilon", .real(epsilon))] + (keepsSum ? [("keeps_sum", .flag(true))] : [])
        + (alsoQuantized ? [("quantized", .flag(true))] : [])
}

private func readNormFlags(_ attributes: inout AttributeReader) throws(GraphError) -> (Bool, Bool) {
    (
        attributes.contains("keeps_sum") ? try attributes.flag("keeps_sum") : false,
        try readQuantizedFlag(&attributes)
    )
}

/// The `quantized` attribute of the operations that can quantize their result themselves.
func readQuantizedFlag(_ attributes: inout AttributeReader) throws(GraphError) -> Bool {
    attributes.contains("quantized") ? try attributes.flag("quantized") : false
}
