import ShrinkGraph

extension Pass {
    /// Makes the output `name` that of the last token only, and leaves the other tokens out of
    /// everything that works row by row before it: the head, the last norm, the last feed-forward block.
    public static func lastTokenOnly(output name: String) -> Pass {
        Pass(name: "last-token-only", summary: "compute \(name) for the last token alone") { graph, report in
            guard let index = graph.outputs.firstIndex(where: { $0.name == name }) else {
                throw GraphError(.undefinedValue, "there is no output \(name)")
            }
            var builder = GraphBuilder(extending: graph)
            let selected = try builder.add(.selectToken(SelectToken(.last)), [graph.outputs[index].value], origin: "last token")
            graph = try builder.graph.replacingOutput(index, with: selected)

            while let (selectID, producerID) = graph.selectionThatCanRise() {
                let select = graph[selectID]
                let producer = graph[producerID]
                var patch = GraphPatch(graph)
                var inputs: [ValueID] = []
                for input in producer.inputs {
                    if graph.parameter(input) != nil {
                        inputs.append(input)
                    } else {
                        inputs.append(try patch.insert(select.operation, [input], before: producerID, origin: select.origin)[0])
                    }
                }
                let result = try patch.insert(producer.operation, inputs, before: producerID, origin: producer.origin)[0]
                patch.replace(select.results[0], with: result)
                patch.remove(selectID)
                patch.remove(producerID)
                graph = try patch.commit()
                var ignored = PassReport(pass: "canonicalize")
                try Pass.canonicalize.run(&graph, &ignored)
                report.rewrites += 1
            }
        }
    }
}

extension Graph {
    /// Whether tokens can be selected from every input that is not a parameter.
    private func readsFloatRowsOnly(_ node: Node) -> Bool {
        let rows = self[node.results[0]].type.shape.dropLast()
        return node.inputs.allSatisfy { input in
            parameter(input) != nil || self[input].type.element == .float32 && self[input].type.shape.dropLast() == rows
        }
    }

    /// A selection whose only source is a row-wise node that nothing else reads.
    fileprivate func selectionThatCanRise() -> (select: NodeID, producer: NodeID)? {
        let uses = useCounts()
        for id in order {
            guard case .selectToken = self[id].operation, let producer = producer(of: self[id].inputs[0]) else { continue }
            let node = self[producer]
            if node.operation.isRowwise, node.results.count == 1, uses[node.results[0].index] == 1, readsFloatRowsOnly(node) {
                return (id, producer)
            }
        }
        return nil
    }
}
