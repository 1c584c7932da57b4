import ShrinkGraph

extension Pass {
    /// add → norm becomes a norm with a residual, so that the sum passes through memory once.
    public static let fuseResidualNorm = Pass(
        name: "fuse-residual-norm", summary: "let norms add the residual themselves"
    ) { graph, report in
        let uses = graph.useCounts()
        var patch = GraphPatch(graph)
        var taken = Set<NodeID>()
        for id in graph.order {
            let norm = graph[id]
            let hasResidual: Bool
            switch norm.operation {
            case .layerNorm: hasResidual = norm.inputs.count == 4
            case .rmsNorm: hasResidual = norm.inputs.count == 3
            default: continue
            }
            if hasResidual { continue }
            let sum = norm.inputs[0]
            guard let addID = graph.producer(of: sum) else { report.refuse(norm, .notComputed); continue }
            let add = graph[addID]
            guard case .binary(let payload) = add.operation, payload.function == .add else {
                report.refuse(norm, .producer(add.operation.mnemonic))
                continue
            }
            guard taken.insert(addID).inserted else { report.refuse(norm, .otherReaders(1)); continue }
            let keepsSum = uses[sum.index] > 1
            let inputs = [add.inputs[0]] + norm.inputs.dropFirst() + [add.inputs[1]]
            let results = try patch.insert(norm.operation.addingResidual(keepsSum: keepsSum), inputs, before: addID, origin: norm.origin)
            patch.replace(norm.results[0], with: results[0])
            if keepsSum { patch.replace(sum, with: results[1]) }
            patch.remove(addID)
            patch.remove(id)
            report.rewrites += 1
        }
        graph = try patch.commit()
    }

    /// silu(a) × b becomes one gate.
    public static let fuseGate = Pass(name: "fuse-gate", summary: "make silu and its product one operation") { graph, report in
        let uses = graph.useCounts()
        var patch = GraphPatch(graph)
        for id in graph.order {
            let product = graph[id]
            guard case .binary(let payload) = product.operation, payload.function == .multiply else { continue }
            guard let side = graph.sideWithActivation(product), let unaryID = graph.producer(of: product.inputs[side]),
                case .unary(let unary) = graph[unaryID].operation
            else {
                report.refuse(product, .producer("neither factor"))
                continue
            }
            guard unary.function == .silu else {
                report.refuse(product, .unsupported("there is no gate for \(unary.function.rawValue)"))
                continue
            }
            guard uses[product.inputs[side].index] == 1 else {
                report.refuse(product, .otherReaders(uses[product.inputs[side].index] - 1))
                continue
            }
            let inputs = [graph[unaryID].inputs[0], product.inputs[1 - side]]
            let results = try patch.insert(.gate(Gate(.silu)), inputs, before: id, origin: product.origin)
            patch.replace(product.results[0], with: results[0])
            patch.remove(id)
            patch.remove(unaryID)
            report.rewrites += 1
        }
        graph = try patch.commit()
    }

    /// quantize(f(x)) becomes a quantized result of f, where f's kernel can quantize the row it has just made.
    public static let fuseQuantize = Pass(
        name: "fuse-quantize", summary: "let producers quantize their rows themselves"
    ) { graph, report in
        var patch = GraphPatch(graph)
        var taken = Set<NodeID>()
        for id in graph.order {
            let node = graph[id]
            guard case .quantize(let payload) = node.operation else { continue }
            guard payload.groups == 1 else { report.refuse(node, .unsupported("it quantizes by head")); continue }
            let value = node.inputs[0]
            guard let producerID = graph.producer(of: value) else { report.refuse(node, .notComputed); continue }
            let producer = graph[producerID]
            guard producer.results.allSatisfy({ graph[$0].type.element == .float32 }) else {
                report.refuse(node, .unsupported("\(producer.operation.mnemonic) quantizes its result already"))
                continue
            }
            guard let fused = producer.operation.quantizingItsResult, value == producer.results[0] else {
                report.refuse(node, .producer(producer.operation.mnemonic))
                continue
            }
            guard taken.insert(producerID).inserted else { report.refuse(node, .otherReaders(1)); continue }
            let results = try patch.insert(fused, producer.inputs, before: producerID, origin: producer.origin)
            // Results of the fused node: the float rows, the quantized rows, then what else there was.
            patch.replace(producer.results[0], with: results[0])
            patch.replace(node.results[0], with: results[1])
            for (old, new) in zip(producer.results.dropFirst(), results.dropFirst(2)) { patch.replace(old, with: new) }
            patch.remove(producerID)
            patch.remove(id)
            report.rewrites += 1
        }
        graph = try patch.commit()
    }
}

extension Graph {
    /// Which factor of a product an activation function makes.
    fileprivate func sideWithActivation(_ product: Node) -> Int? {
        product.inputs.firstIndex { input in
            if let producer = producer(of: input), case .unary = self[producer].operation { true } else { false }
        }
    }
}

extension Operation {
    fileprivate func addingResidual(keepsSum: Bool) -> Operation {
        switch self {
        case .layerNorm(var payload): payload.keepsSum = keepsSum; return .layerNorm(payload)
        case .rmsNorm(var payload): payload.keepsSum = keepsSum; return .rmsNorm(payload)
        default: preconditionFailure("\(mnemonic) is not a norm")
        }
    }
}
