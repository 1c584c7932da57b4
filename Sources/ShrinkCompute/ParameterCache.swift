import ShrinkGraph

/// Parameters as floats in memory: in place where the checkpoint has them so, otherwise read once.
public final class ParameterCache {
    private var tensors: [String: HostTensor] = [:]
    /// Runs so far, and in which one each changing parameter was quantized last: once is enough for all its readers.
    private var run = 0
    private var quantizedInRun: [String: Int] = [:]

    public init() {}

    /// From now on parameters may have other numbers.
    func beginRun() { run += 1 }

    /// The floats of a parameter, or at least of its first `rows` rows when not all are needed.
    func withFloats<R>(_ value: Graph.Value, rows: Int? = nil, on threads: HostThreads, _ body: (UnsafePointer<Float>) throws -> R) throws -> R {
        guard case .parameter(let parameter) = value.definition, let source = parameter.source else {
            throw ComputeError("the parameter \(value.name) has no numbers")
        }
        let key = value.name + (parameter.quantization.map { ":\($0.rawValue)" } ?? "")
        var shape = value.type.shape.compactMap(\.fixedValue)
        if let rows, !shape.isEmpty { shape[0] = min(rows, shape[0]) }
        if source.isConstant || quantizedInRun[key] == run, let known = tensors[key], known.buffer.count >= shape.reduce(1, *) { return try body(known.base) }
        if parameter.quantization == nil, let result = try source.withFloatsInPlace({ try $0.baseAddress.map(body) }), let result {
            return result
        }
        let tensor = tensors[key].flatMap { $0.shape == shape ? $0 : nil } ?? HostTensor(shape: shape)
        try source.readFloats(0..<tensor.buffer.count, into: tensor.buffer)
        source.release(0..<tensor.buffer.count)
        if let quantization = parameter.quantization { FakeQuantization.weights(tensor, quantization, on: threads) }
        if parameter.quantization != nil { quantizedInRun[key] = run }
        tensors[key] = tensor
        return try body(tensor.base)
    }
}
