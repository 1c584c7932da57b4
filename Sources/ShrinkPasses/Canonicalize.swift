import ShrinkGraph

extension Pass {
    /// Merges nodes that compute the same from the same, and drops what no output needs.
    public static let canonicalize = Pass(
        name: "canonicalize", summary: "merge equal nodes and drop unused ones"
    ) { graph, report in
        struct Key: Hashable {
            var operation: Operation
            var inputs: [ValueID]
        }
        let before = graph.order.count
        var merged: Bool
        repeat {
            merged = false
            var seen: [Key: NodeID] = [:]
            var patch = GraphPatch(graph)
            for id in graph.order {
                let node = graph[id]
                guard let twin = seen.updateValue(id, forKey: Key(operation: node.operation, inputs: node.inputs)) else { continue }
                seen[Key(operation: node.operation, inputs: node.inputs)] = twin
                for (result, kept) in zip(node.results, graph[twin].results) { patch.replace(result, with: kept) }
                patch.remove(id)
                merged = true
            }
            if merged { graph = try patch.commit() }
        } while merged
        graph.compact()
        report.rewrites = before - graph.order.count
    }
}
