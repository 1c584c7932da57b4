import Dispatch
import ShrinkGraph

/// The runtime reads weights output by output, and q, k and v apart: what GPT-2's checkpoints have otherwise is
/// turned here, without touching the numbers.
extension Pass {
    /// linear → attention with q, k and v packed in one becomes three linears and an attention of three inputs.
    public static let splitPackedAttention = Pass(
        name: "split-packed-attention", summary: "compute q, k and v by linears of their own"
    ) { graph, report in
        let uses = graph.useCounts()
        var patch = GraphPatch(graph)
        for id in graph.order {
            let node = graph[id]
            guard case .attention(var attention) = node.operation, attention.isPacked else { continue }
            guard let linearID = graph.producer(of: node.inputs[0]), case .linear(let linear) = graph[linearID].operation else {
                report.refuse(node, .producer("what makes its input"))
                continue
            }
            guard uses[node.inputs[0].index] == 1 else { report.refuse(node, .otherReaders(uses[node.inputs[0].index] - 1)); continue }
            let source = graph[linearID]
            attention.isPacked = false
            var start = 0
            var parts: [ValueID] = []
            for (role, heads) in [("q", attention.heads), ("k", attention.keyValueHeads), ("v", attention.keyValueHeads)] {
                let range = start..<start + heads * attention.headSize
                start = range.upperBound
                var inputs = [source.inputs[0]]
                for parameter in source.inputs.dropFirst() { inputs.append(try patch.slice(parameter, range, linear.isInputMajor, role)) }
                parts += try patch.insert(.linear(Linear()), inputs, before: linearID, origin: source.origin + "." + role)
            }
            let results = try patch.insert(.attention(attention), parts + node.inputs.dropFirst(), before: id, origin: node.origin)
            for (old, new) in zip(node.results, results) { patch.replace(old, with: new) }
            patch.remove(id)
            patch.remove(linearID)
            report.rewrites += 1
        }
        graph = try patch.commit()
    }

    /// Linears with weights [in, out] get them as [out, in].
    public static let orientWeights = Pass(
        name: "orient-weights", summary: "turn weights so that each output has its row"
    ) { graph, report in
        var patch = GraphPatch(graph)
        for id in graph.order {
            let node = graph[id]
            guard case .linear(let linear) = node.operation, linear.isInputMajor else { continue }
            let width = graph[node.results[0]].type.width ?? 0
            let weight = try patch.slice(node.inputs[1], 0..<width, true, "turned")
            let results = try patch.insert(.linear(Linear()), [node.inputs[0], weight] + node.inputs.dropFirst(2), before: id, origin: node.origin)
            patch.replace(node.results[0], with: results[0])
            patch.remove(id)
            report.rewrites += 1
        }
        graph = try patch.commit()
    }
}

extension GraphPatch {
    /// The outputs `range` of a weight as [range, in], or of a bias.
    fileprivate mutating func slice(_ value: ValueID, _ range: Range<Int>, _ isInputMajor: Bool, _ suffix: String) throws -> ValueID {
        guard case .parameter(var parameter) = self[value].definition else {
            throw GraphError(.undefinedValue, "\(self[value].name) is computed, so it cannot be cut like a weight")
        }
        let type = self[value].type, extents = type.shape.compactMap(\.fixedValue)
        guard extents.count == type.shape.count, let last = extents.last else { throw GraphError(.shape, "\(self[value].name) has no fixed shape") }
        let isMatrix = extents.count == 2
        let inner = isMatrix ? (isInputMajor ? extents[0] : last) : 1
        let outer = isMatrix && !isInputMajor ? extents[0] : last
        parameter.storedByteCount = parameter.storedByteCount / max(outer, 1) * range.count
        parameter.source = parameter.source.map { source in
            MatrixPart(source: source, first: range.lowerBound, rows: range.count, columns: inner, stride: isMatrix && isInputMajor ? last : nil)
        }
        let shape: [Dimension] = isMatrix ? [.fixed(range.count), .fixed(inner)] : [.fixed(range.count)]
        return try addParameter(self[value].name + "." + suffix, ValueType(.float32, shape), parameter)
    }
}

/// Rows of a matrix, or columns of one taken as rows. Columns of a source that is not binary32 in memory
/// are read through a copy of the whole, which lives as long as this.
struct MatrixPart: ParameterSource {
    let source: any ParameterSource
    let first: Int
    let rows: Int
    let columns: Int
    /// The width of the source when its columns are taken.
    let stride: Int?
    private let whole = WholeMatrix()

    init(source: any ParameterSource, first: Int, rows: Int, columns: Int, stride: Int?) {
        self.source = source
        self.first = first
        self.rows = rows
        self.columns = columns
        self.stride = stride
    }

    func readFloats(_ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) throws {
        guard let stride else {
            return try source.readFloats(first * columns + range.lowerBound..<first * columns + range.upperBound, into: target)
        }
        func gather(_ floats: UnsafeBufferPointer<Float>) {
            for (place, element) in range.enumerated() {
                let (row, column) = element.quotientAndRemainder(dividingBy: columns)
                target[place] = floats[column * stride + first + row]
            }
        }
        if source.withFloatsInPlace({ gather($0) }) != nil { return }
        try whole.floats(source, count: stride * columns).withUnsafeBufferPointer(gather)
    }

    func withFloatsInPlace<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R? {
        guard stride == nil else { return nil }
        return try source.withFloatsInPlace { try body(UnsafeBufferPointer(rebasing: $0[first * columns..<(first + rows) * columns])) }
    }

    func release(_ range: Range<Int>) {
        if stride == nil { source.release(first * columns + range.lowerBound..<first * columns + range.upperBound) }
    }

    var isConstant: Bool { source.isConstant }
}

private final class WholeMatrix: @unchecked Sendable {
    private let queue = DispatchQueue(label: "matrix")
    private var known: [Float] = []

    func floats(_ source: any ParameterSource, count: Int) throws -> [Float] {
        try queue.sync {
            if known.count != count || !source.isConstant {
                var floats = [Float](repeating: 0, count: count)
                try floats.withUnsafeMutableBufferPointer { try source.readFloats(0..<count, into: $0) }
                known = floats
            }
            return known
        }
    }
}
