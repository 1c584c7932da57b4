import ShrinkGraph

extension Graph {
    /// This encoder twice, the second time for inputs with the prefix `second:`, and the cosines of both outputs `embedding` as
    /// the output `cosine`: f32 [batch, 1].
    func pairingEmbeddings() throws(GraphError) -> Graph {
        guard let first = output(named: "embedding"), let width = self[first].type.width else {
            throw GraphError(.undefinedValue, "there is no output embedding")
        }
        var builder = GraphBuilder(extending: extracting(outputs: ["embedding"]))
        let source = builder.graph
        var copies: [ValueID: ValueID] = [:]
        for input in source.inputs { copies[input] = try builder.input(SequenceBatches.second + source[input].name, source[input].type) }
        for id in source.order {
            let node = source[id]
            let results = try builder.addMultiple(node.operation, node.inputs.map { copies[$0] ?? $0 }, origin: node.origin)
            for (old, new) in zip(node.results, results) { copies[old] = new }
        }
        guard let a = source.output(named: "embedding"), let b = copies[a] else { throw GraphError(.undefinedValue, "the output embedding is not computed") }
        var directions: [ValueID] = []
        for value in [a, b] { directions.append(try builder.add(.l2Normalize(L2Normalize()), [value], origin: "cosine")) }
        // A sum over the width is a product with ones.
        let product = try builder.add(.binary(Binary(.multiply)), directions, origin: "cosine")
        let ones = try builder.parameter(
            Graph.constantPrefix + "ones", ValueType(.float32, [1, .fixed(width)]),
            Parameter(storedType: "f32", storedByteCount: 4 * width, source: FloatArraySource([Float](repeating: 1, count: width))))
        try builder.output("cosine", try builder.add(.linear(Linear()), [product, ones], origin: "cosine"))
        return builder.graph
    }
}
