/// Values that are found again in every family, for distillation. Importers name the hidden states; queries, keys and
/// values are what attention operations read, which stand in the order of the layers. Passes make new values, so
/// landmarks are looked up before them.
extension Graph {
    /// The name of the hidden states after a layer (from 0): what the layer leaves to the next, before any norm that
    /// comes after the last.
    public static func hiddenName(after layer: Int) -> String { "hidden:\(layer)" }

    /// f32 [batch, tokens, width]; nil where there is no such layer.
    public func hiddenState(after layer: Int) -> ValueID? {
        let name = Graph.hiddenName(after: layer)
        return values.firstIndex { $0.name == name }.map(ValueID.init)
    }

    /// How many layers have named hidden states.
    public var layerCount: Int {
        var count = 0
        while hiddenState(after: count) != nil { count += 1 }
        return count
    }

    /// The attention operations, layer by layer.
    public var attentions: [Graph.Node] {
        order.map { self[$0] }.filter { if case .attention = $0.operation { true } else { false } }
    }
}

extension Attention {
    public enum Role: String, Sendable, CaseIterable { case query, key, value }

    /// Where a role's heads are in an attention's inputs: the input, the first column of its rows, and how many heads.
    public func place(of role: Role) -> (input: Int, firstColumn: Int, heads: Int) {
        let count = role == .query ? heads : keyValueHeads
        guard isPacked else { return (role == .query ? 0 : role == .key ? 1 : 2, 0, count) }
        let before = role == .query ? 0 : heads + (role == .key ? 0 : keyValueHeads)
        return (0, before * headSize, count)
    }
}
