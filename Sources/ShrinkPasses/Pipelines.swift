import ShrinkGraph

/// How an artifact computes.
public enum Scheme: String, Sendable, CaseIterable {
    /// int8 weights, int8 activations: the default.
    case w8a8
    /// binary32 throughout, for debugging and as the reference of the runtime.
    case fp32
}

extension PassManager {
    /// From the graph of an importer to one that lowering takes.
    public static func compile(_ scheme: Scheme) -> PassManager {
        var passes = [Pass.canonicalize, .splitPackedAttention, .orientWeights, .fuseResidualNorm, .fuseGate]
        if scheme == .w8a8 { passes += [.quantizeW8A8, .fuseQuantize] }
        return PassManager(passes)
    }
}
