import ShrinkGraph

/// Numbers by parameter name that can change: trained weights, gradients, or an optimizer's moments.
public final class ParameterTable: @unchecked Sendable {
    /// In the order in which they were given.
    public let names: [String]
    private let tensors: [String: HostTensor]

    /// Copies of the parameters of `graph`. Throws `ComputeError` for one without numbers.
    public init(reading parameters: [ValueID], of graph: Graph) throws {
        names = parameters.map { graph[$0].name }
        var tensors: [String: HostTensor] = [:]
        for parameter in parameters {
            let value = graph[parameter]
            guard let source = graph.parameter(parameter)?.source else { throw ComputeError("the parameter \(value.name) has no numbers") }
            let tensor = HostTensor(shape: value.type.shape.compactMap(\.fixedValue))
            try source.readFloats(0..<tensor.buffer.count, into: tensor.buffer)
            source.release(0..<tensor.buffer.count)
            tensors[value.name] = tensor
        }
        self.tensors = tensors
    }

    /// Zeros of the same names and shapes.
    public init(zerosLike other: ParameterTable) {
        names = other.names
        tensors = other.tensors.mapValues { tensor in
            let zeros = HostTensor(shape: tensor.shape)
            zeros.buffer.initialize(repeating: 0)
            return zeros
        }
    }

    private init(names: [String], tensors: [String: HostTensor]) {
        self.names = names
        self.tensors = tensors
    }

    /// A table of zeros of the same names and shapes in one block of memory, where they lie one after the other as in `order`,
    /// each from a multiple of 64 bytes on; and where each of `order` ends in the block, in floats.
    ///
    /// - Precondition: `order` has the names of the table.
    public func zerosInOneBlock(_ order: [String]) -> (table: ParameterTable, block: HostTensor, ends: [Int]) {
        precondition(order.count == names.count && Set(order) == Set(names))
        func room(_ tensor: HostTensor) -> Int { (tensor.buffer.count + 15) / 16 * 16 }
        let block = HostTensor(shape: [tensors.values.reduce(0) { $0 + room($1) }])
        block.buffer.initialize(repeating: 0)
        var parts: [String: HostTensor] = [:], start = 0, ends: [Int] = []
        for name in order {
            guard let tensor = tensors[name] else { continue }
            parts[name] = HostTensor(shape: tensor.shape, partOf: block, from: start)
            start += room(tensor)
            ends.append(start)
        }
        return (ParameterTable(names: names, tensors: parts), block, ends)
    }

    public subscript(name: String) -> HostTensor? { tensors[name] }

    public var elementCount: Int { tensors.values.reduce(0) { $0 + $1.buffer.count } }
}

/// A parameter that lives in a `ParameterTable`.
public struct TableSource: ParameterSource {
    public let tensor: HostTensor

    public func readFloats(_ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
        _ = target.initialize(fromContentsOf: tensor.buffer[range])
    }

    public func withFloatsInPlace<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R? {
        try body(UnsafeBufferPointer(tensor.buffer))
    }

    public var isConstant: Bool { false }
}

extension Graph {
    /// The same graph reading its parameters from `table`, as far as they stand there.
    public func reading(_ table: ParameterTable) -> Graph {
        var graph = self
        for parameter in usedParameters {
            if let tensor = table[self[parameter].name] { graph.setSource(TableSource(tensor: tensor), of: parameter) }
        }
        return graph
    }
}
