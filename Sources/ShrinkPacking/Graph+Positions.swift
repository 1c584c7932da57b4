import ShrinkGraph

extension Graph {
    /// Whether the place of a token among the others matters, or takes memory: in attention, rotations, and what reads
    /// the input `positions`. Otherwise a model takes any number of tokens, one after the other.
    public var dependsOnPositions: Bool {
        order.contains { id in
            let node = self[id]
            switch node.operation {
            case .attention, .rotary: return true
            default: return node.inputs.contains { self[$0].name == "positions" }
            }
        }
    }
}
