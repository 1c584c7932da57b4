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

    /// From a training graph to one that computes as the packed model will: quantization-aware training.
    ///
    /// Ranges are those of the numbers at hand, of each output channel and of each token, so no number lies outside of them: the
    /// gradient passes every rounding as if it were not there (Bengio et al. 2013, §4), and is never cut off. A scheme that
    /// clips has to cut it off where it does.
    public static func imitate(_ scheme: Scheme) -> PassManager {
        switch scheme {
        case .w8a8: PassManager([.fakeQuantizeW8A8])
        case .fp32: PassManager([])
        }
    }
}
