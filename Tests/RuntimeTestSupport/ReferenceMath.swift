import Foundation

/// A weight matrix of a test model: row-major values, and the codes and scales they come from when
/// the model is quantized.
public struct Matrix: Sendable {
    public let rows: Int
    public let columns: Int
    public let codes: [Int8]
    public let scales: [Float]
    public let values: [Float]

    public init(rows: Int, columns: Int, quantized: Bool, _ random: inout RandomValues) {
        self.rows = rows
        self.columns = columns
        let dense = random.floats(rows * columns, spread: 1 / Float(columns).squareRoot())
        guard quantized else {
            (codes, scales, values) = ([], [], dense)
            return
        }
        var codes: [Int8] = []
        var scales: [Float] = []
        for row in 0..<rows {
            let part = dense[(row * columns)..<((row + 1) * columns)]
            let scale = part.map(abs).max()! / 127
            scales.append(scale)
            codes += part.map { Int8(($0 / scale).rounded()) }
        }
        self.codes = codes
        self.scales = scales
        values = codes.enumerated().map { Float($1) * scales[$0 / columns] }
    }

    public func row(_ index: Int) -> [Double] {
        values[(index * columns)..<((index + 1) * columns)].map(Double.init)
    }

    public func times(_ x: [Double], bias: [Float]? = nil) -> [Double] {
        (0..<rows).map { o in
            var sum = 0.0
            for k in 0..<columns { sum += Double(values[o * columns + k]) * x[k] }
            return sum + Double(bias?[o] ?? 0)
        }
    }
}

/// The formulas of the operations in double precision, straight from their definitions.
public enum ReferenceMath {
    /// The value that a quantized row stands for (the definition beside `quantize_rows` in the kernel header).
    public static func quantized(_ x: [Double]) -> [Double] {
        let scale = quantizationStep(x)
        let zero = (-min(x.min()!, 0) / scale).rounded(.toNearestOrEven)
        return x.map { scale * (min(max(($0 / scale).rounded(.toNearestOrEven) + zero, 0), 255) - zero) }
    }

    /// The step between two codes of that row.
    public static func quantizationStep(_ x: [Double]) -> Double {
        max((max(x.max()!, 0) - min(x.min()!, 0)) / 255, 1e-35)
    }

    public static func rmsNorm(_ x: [Double], _ gamma: [Float], _ epsilon: Double) -> [Double] {
        let factor = 1 / (x.reduce(0) { $0 + $1 * $1 } / Double(x.count) + epsilon).squareRoot()
        return zip(x, gamma).map { $0 * factor * Double($1) }
    }

    public static func layerNorm(_ x: [Double], _ gamma: [Float], _ beta: [Float], _ epsilon: Double) -> [Double] {
        let mean = x.reduce(0, +) / Double(x.count)
        let variance = x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(x.count)
        return x.indices.map { (x[$0] - mean) / (variance + epsilon).squareRoot() * Double(gamma[$0]) + Double(beta[$0]) }
    }

    public static func softmax(_ x: [Double]) -> [Double] {
        let largest = x.max()!
        let e = x.map { exp($0 - largest) }
        let sum = e.reduce(0, +)
        return e.map { $0 / sum }
    }

    /// `steps`: those of quantized values; the weights of their codes then are whole multiples of
    /// 1/32767 of the largest weight times the largest step.
    public static func attention(
        _ q: [Double], _ k: [[Double]], _ v: [[Double]], scale: Double, steps: [Double]? = nil
    ) -> [Double] {
        var p = softmax(k.map { zip(q, $0).reduce(0) { $0 + $1.0 * $1.1 } * scale })
        if let steps {
            let weights = zip(p, steps).map { $0 * $1 }, unit = p.max()! * steps.max()! / 32767
            p = zip(weights, steps).map { ($0 / unit).rounded(.toNearestOrEven) * unit / $1 }
        }
        return q.indices.map { d in p.indices.reduce(0) { $0 + p[$1] * v[$1][d] } }
    }

    public static func silu(_ x: Double) -> Double { x / (1 + exp(-x)) }
    public static func gelu(_ x: Double) -> Double { 0.5 * x * (1 + erf(x / 2.0.squareRoot())) }

    public static func add(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map(+) }

    /// Angle of pair `i` of a head at a position.
    public static func angle(position: Int, pair: Int, headSize: Int) -> Double {
        Double(position) / pow(10_000, 2 * Double(pair) / Double(headSize))
    }

    public static func head(_ x: [Double], _ index: Int, size: Int) -> [Double] {
        Array(x[(index * size)..<((index + 1) * size)])
    }
}
