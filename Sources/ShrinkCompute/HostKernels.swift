import Glibc
import ShrinkGraph

/// The float operations of the host executor, each over whole tensors, with libm's functions or, where
/// those take long, `exponential`: this is the fp32 reference, not the bit-exact arithmetic of the runtime.
enum HostKernels {
    static func layerNorm(_ x: HostTensor, _ gamma: UnsafePointer<Float>, _ beta: UnsafePointer<Float>, epsilon: Double) -> HostTensor {
        let result = x.empty(), width = x.width
        let gamma = SharedFloats(gamma), beta = SharedFloats(beta)
        forEachRow(x.rowCount) { row in
            let input = x.base + row * width, output = result.base + row * width
            var sum = 0.0
            for index in 0..<width { sum += Double(input[index]) }
            let mean = sum / Double(width)
            var squares = 0.0
            for index in 0..<width { let d = Double(input[index]) - mean; squares += d * d }
            let scale = 1 / (squares / Double(width) + epsilon).squareRoot()
            for index in 0..<width {
                output[index] = Float((Double(input[index]) - mean) * scale) * gamma.base[index] + beta.base[index]
            }
        }
        return result
    }

    static func rmsNorm(_ x: HostTensor, _ gamma: UnsafePointer<Float>, epsilon: Double) -> HostTensor {
        let result = x.empty(), width = x.width
        let gamma = SharedFloats(gamma)
        forEachRow(x.rowCount) { row in
            let input = x.base + row * width, output = result.base + row * width
            var squares = 0.0
            for index in 0..<width { squares += Double(input[index]) * Double(input[index]) }
            let scale = Float(1 / (squares / Double(width) + epsilon).squareRoot())
            for index in 0..<width { output[index] = input[index] * scale * gamma.base[index] }
        }
        return result
    }

    static func softmax(_ row: UnsafeMutablePointer<Float>, count: Int) {
        var maxima = Lanes(repeating: -.infinity)
        forEachLanes(row, count: count, padding: -.infinity) { values in
            maxima.replace(with: values, where: values .> maxima)
            return values
        }
        let largest = maxima.max()
        forEachLanes(row, count: count) { exponential($0 - largest) }
        var sums = Lanes.zero
        forEachLanes(row, count: count) { values in
            sums += values
            return values
        }
        let factor = 1 / sums.sum()
        forEachLanes(row, count: count) { $0 * factor }
    }

    static func rotary(
        _ x: HostTensor, _ payload: Rotary, cosine: UnsafePointer<Float>, sine: UnsafePointer<Float>, positions: Int
    ) throws -> HostTensor {
        let result = x.empty(), width = x.width, head = payload.headSize, half = head / 2
        let tokens = x.shape[x.shape.count - 2]
        guard tokens <= positions else { throw ComputeError("\(tokens) tokens are more than the \(positions) positions of this model") }
        let cosine = SharedFloats(cosine), sine = SharedFloats(sine)
        forEachRow(x.rowCount) { row in
            let angles = row % tokens * half
            for start in stride(from: row * width, to: (row + 1) * width, by: head) {
                for pair in 0..<half {
                    let (first, second) = payload.layout == .half ? (pair, pair + half) : (2 * pair, 2 * pair + 1)
                    let a = x.base[start + first], b = x.base[start + second]
                    let c = cosine.base[angles + pair], s = sine.base[angles + pair]
                    result.base[start + first] = a * c - b * s
                    result.base[start + second] = b * c + a * s
                }
            }
        }
        return result
    }

    static func attention(_ payload: Attention, _ q: HostTensor, _ k: HostTensor, _ v: HostTensor, _ blas: BLAS) -> HostTensor {
        let result = q.empty()
        let tokens = q.shape[q.shape.count - 2], size = payload.headSize
        let scores = HostTensor(shape: [tokens, tokens])
        for sequence in 0..<q.rowCount / max(tokens, 1) {
            for head in 0..<payload.heads {
                let shared = head / (payload.heads / payload.keyValueHeads)
                let queries = q.base + sequence * tokens * q.width + head * size
                let keys = k.base + sequence * tokens * k.width + shared * size
                let values = v.base + sequence * tokens * v.width + shared * size
                blas.multiply(
                    rows: tokens, columns: tokens, inner: size, alpha: Float(payload.scale), queries, q.width, keys, k.width,
                    transposeB: true, into: scores.base, tokens)
                forEachRow(tokens) { row in
                    let seen = payload.isCausal ? row + 1 : tokens
                    softmax(scores.base + row * tokens, count: seen)
                    if let steps = v.steps {
                        FakeQuantization.shares(
                            scores.base + row * tokens, count: seen,
                            steps: steps.base + sequence * tokens * steps.width + shared, stride: steps.width)
                    }
                    for index in seen..<tokens { scores.base[row * tokens + index] = 0 }
                }
                blas.multiply(
                    rows: tokens, columns: size, inner: tokens, scores.base, tokens, values, v.width, transposeB: false,
                    into: result.base + sequence * tokens * q.width + head * size, q.width)
            }
        }
        return result
    }

    static func unary(_ function: Unary.Function, _ x: HostTensor) -> HostTensor {
        switch function {
        case .relu: map(x) { max($0, 0) }
        case .silu: mapLanes(x) { $0 / (1 + exponential(-$0)) }
        case .tanh: map(x) { tanhf($0) }
        case .sigmoid: mapLanes(x) { 1 / (1 + exponential(-$0)) }
        case .geluErf: map(x) { 0.5 * $0 * (1 + erff($0 * Float(0.5).squareRoot())) }
        case .geluTanh: map(x) { 0.5 * $0 * (1 + tanhf(Float((2 / Double.pi).squareRoot()) * ($0 + 0.044715 * $0 * $0 * $0))) }
        }
    }

    static func binary(_ function: Binary.Function, _ a: HostTensor, _ b: HostTensor) -> HostTensor {
        let result = a.empty(), width = a.width
        forEachRow(a.rowCount) { row in
            for index in row * width..<(row + 1) * width {
                result.base[index] = function == .add ? a.base[index] + b.base[index] : a.base[index] * b.base[index]
            }
        }
        return result
    }

    static func l2Normalize(_ x: HostTensor, epsilon: Double) -> HostTensor {
        let result = x.empty()
        for row in 0..<x.rowCount {
            let norm = x.row(row).reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            for index in row * x.width..<(row + 1) * x.width { result.base[index] = Float(Double(x.base[index]) / max(norm, epsilon)) }
        }
        return result
    }

    /// Pools [sequences, tokens, width] to [sequences, width].
    static func pool(_ x: HostTensor, _ body: (_ tokens: Int, _ source: UnsafePointer<Float>, _ target: UnsafeMutablePointer<Float>) -> Void) -> HostTensor {
        let tokens = x.shape[x.shape.count - 2]
        let result = HostTensor(shape: x.shape.dropLast(2) + [x.width])
        for sequence in 0..<result.rowCount {
            body(tokens, x.base + sequence * tokens * x.width, result.base + sequence * x.width)
        }
        return result
    }

    private static func mapLanes(_ x: HostTensor, _ function: @Sendable (Lanes) -> Lanes) -> HostTensor {
        let result = x.empty(), width = x.width
        forEachRow(x.rowCount) { row in
            let output = result.base + row * width
            output.update(from: x.base + row * width, count: width)
            forEachLanes(output, count: width, function)
        }
        return result
    }

    private static func map(_ x: HostTensor, _ function: @Sendable (Float) -> Float) -> HostTensor {
        let result = x.empty(), width = x.width
        forEachRow(x.rowCount) { row in
            for index in row * width..<(row + 1) * width { result.base[index] = function(x.base[index]) }
        }
        return result
    }
}

/// Constant floats that rows on several threads read.
struct SharedFloats: @unchecked Sendable {
    let base: UnsafePointer<Float>
    init(_ base: UnsafePointer<Float>) { self.base = base }
}
