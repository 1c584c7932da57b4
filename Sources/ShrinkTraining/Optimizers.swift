import CHostKernels
import ShrinkCompute

/// Changes trained parameters by their gradients, in one pass over memory.
///
/// Weights decay apart from the gradient (Loshchilov & Hutter 2019), and only those of two dimensions and more:
/// neither biases nor gains and offsets of norms. Not for several threads at a time.
public final class Optimizer {
    public enum Method: Hashable, Sendable {
        case adamW(beta1: Float = 0.9, beta2: Float = 0.999, epsilon: Float = 1e-8)
        /// velocity = momentum · velocity + gradient; weight −= rate · velocity.
        case sgd(momentum: Float = 0.9)
    }

    public let method: Method
    public let weightDecay: Float
    public let parameters: ParameterTable
    /// What a checkpoint must hold beside the parameters: the moments (first and second) or the velocity, and the
    /// number of steps made.
    public let state: [ParameterTable]
    public var stepCount: Int
    private let threads: HostThreads
    private let kernels = host_kernels_best().pointee

    public init(_ method: Method, _ parameters: ParameterTable, weightDecay: Float = 0, threads: HostThreads = HostThreads()) {
        self.method = method
        self.parameters = parameters
        self.weightDecay = weightDecay
        self.threads = threads
        stepCount = 0
        switch method {
        case .adamW: state = [ParameterTable(zerosLike: parameters), ParameterTable(zerosLike: parameters)]
        case .sgd: state = [ParameterTable(zerosLike: parameters)]
        }
    }

    /// One step at a learning rate. Gradients are multiplied by `gradientScale` first, see `clippingScale`.
    /// Parameters that have no gradient in the table stay as they are.
    public func step(_ gradients: ParameterTable, rate: Float, gradientScale: Float = 1) {
        stepCount += 1
        for name in parameters.names {
            guard let weight = parameters[name], let gradient = gradients[name], let first = state[0][name] else { continue }
            let decay = weight.shape.count >= 2 ? weightDecay : 0
            let w = weight.buffer.baseAddress!, g = gradient.buffer.baseAddress!, m = first.buffer.baseAddress!
            switch method {
            case .adamW(let beta1, let beta2, let epsilon):
                guard let second = state[1][name] else { continue }
                let v = second.buffer.baseAddress!
                func correction(_ beta: Float) -> Float { Float(1 - power(Double(beta), stepCount)) }
                let options = host_adamw(
                    rate: rate, decay: decay, beta1: beta1, beta2: beta2, epsilon: epsilon, correction1: correction(beta1),
                    correction2: correction(beta2), gradient_scale: gradientScale)
                threads.forElements(weight.buffer.count) {
                    let start = $0.lowerBound
                    kernels.adamw(options, w + start, g + start, m + start, v + start, $0.count)
                }
            case .sgd(let momentum):
                threads.forElements(weight.buffer.count) {
                    let start = $0.lowerBound
                    kernels.momentum(rate, decay, momentum, gradientScale, w + start, g + start, m + start, $0.count)
                }
            }
        }
    }

    private func power(_ base: Double, _ exponent: Int) -> Double {
        var result = 1.0, factor = base, rest = exponent
        while rest > 0 {
            if rest & 1 == 1 { result *= factor }
            factor *= factor
            rest >>= 1
        }
        return result
    }
}

extension ParameterTable {
    /// The length of all tensors as one vector. Its sums are of fixed blocks, so it does not depend on the
    /// number of threads. Not finite when a number is not.
    public func globalNorm(threads: HostThreads = HostThreads()) -> Double {
        let kernels = host_kernels_best().pointee, share = 1 << 16
        var sum = 0.0
        for name in names {
            guard let tensor = self[name] else { continue }
            let base = tensor.buffer.baseAddress!, count = tensor.buffer.count
            var parts = [Double](repeating: 0, count: (count + share - 1) / share)
            parts.withUnsafeMutableBufferPointer { parts in
                let parts = parts.baseAddress!
                threads.forEach((count + share - 1) / share) { part, _ in
                    parts[part] = kernels.sum_of_squares(base + part * share, min(share, count - part * share))
                }
            }
            sum += parts.reduce(0, +)
        }
        return sum.squareRoot()
    }
}

/// What brings gradients of the global norm `norm` to at most `maximum` (Pascanu et al. 2013, algorithm 1).
public func clippingScale(norm: Double, maximum: Double) -> Float { norm > maximum ? Float(maximum / norm) : 1 }
