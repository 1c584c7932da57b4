import ShrinkGraph

extension Pass {
    /// Lets sequences of a batch have their own lengths: attention, recurrences and pooling read the input `lengths`, i32 [batch],
    /// and leave out what is behind them.
    public static let padSequences = Pass(
        name: "pad-sequences", summary: "read the lengths of sequences where tokens meet"
    ) { graph, report in
        var builder = GraphBuilder(extending: graph)
        let lengths = try builder.value(named: "lengths") ?? builder.input("lengths", ValueType(.int32, [.batch]))
        var patch = GraphPatch(builder.graph)
        for id in graph.order {
            let node = graph[id]
            let count: Int
            switch node.operation {
            case .attention(let attention): count = attention.isPacked ? 1 : 3
            case .recurrent(let recurrent): count = recurrent.hasBias(node.inputs.map { graph[$0].type }) ? 3 : 2
            case .meanTokens: count = 1
            case .selectToken(let select) where select.position == .last: count = 1
            default: continue
            }
            guard node.inputs.count == count else { report.refuse(node, .unsupported("it reads lengths already")); continue }
            patch.setInputs(of: id, to: node.inputs + [lengths])
            report.rewrites += 1
        }
        graph = try patch.commit()
    }
}
