import Glibc
import ShrinkGraph

/// The angles of rotary position embedding as cosines and sines, [positions, headSize / 2] each.
///
/// Angles are rounded to binary32 before their cosine is taken, as the models were trained.
struct RotaryTable {
    /// The scaling variants of `config.json`.
    enum Scaling {
        case none
        /// Position interpolation (Chen et al. 2023): all frequencies divided by `factor`.
        case linear(factor: Double)
        /// Llama 3.1: long waves divided, short ones kept, a smooth step between.
        case llama3(factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double, originalPositions: Double)
        /// YaRN (Peng et al. 2023, section 3.2) with its attention factor.
        case yarn(factor: Double, betaFast: Double, betaSlow: Double, originalPositions: Double, attentionFactor: Double)
    }

    /// Of one table: a million positions with heads of 128.
    static let maximumElementCount = 1 << 26

    var headSize: Int
    var base: Double
    var scaling: Scaling
    var divisors: [Float]?

    init(headSize: Int, base: Double, scaling: Scaling, divisors: [Float]? = nil) {
        self.headSize = headSize
        self.base = base
        self.scaling = scaling
        self.divisors = divisors
    }

    /// Of `rope_theta` and `rope_scaling`, or of `rope_parameters` as newer configurations have them.
    init(_ config: ModelConfig, headSize: Int, maximumPositions: inout Int) throws {
        self.headSize = headSize
        let parameters = config.object("rope_parameters")
        base = try parameters?.optionalPositive("rope_theta") ?? config.optionalPositive("rope_theta") ?? 10_000
        scaling = .none
        if let partial = try parameters?.optionalPositive("partial_rotary_factor") ?? config.optionalPositive("partial_rotary_factor"), partial != 1 {
            throw config.error("partial_rotary_factor", "is \(partial); only whole heads are rotated")
        }
        guard let rope = parameters ?? config.object("rope_scaling") else { return }
        let kind = rope.json["rope_type"]?.string ?? rope.json["type"]?.string ?? "default"
        let original = Double(try rope.optionalSize("original_max_position_embeddings") ?? maximumPositions)
        switch kind {
        case "default": break
        case "linear": scaling = .linear(factor: try rope.positive("factor"))
        case "dynamic":
            // The frequencies change beyond the trained positions only; up to there they are plain.
            maximumPositions = min(maximumPositions, Int(original))
        case "llama3":
            scaling = .llama3(
                factor: try rope.positive("factor"), lowFrequencyFactor: try rope.positive("low_freq_factor"),
                highFrequencyFactor: try rope.positive("high_freq_factor"), originalPositions: original)
        case "yarn":
            let factor = try rope.positive("factor")
            scaling = .yarn(
                factor: factor, betaFast: try rope.optionalPositive("beta_fast") ?? 32,
                betaSlow: try rope.optionalPositive("beta_slow") ?? 1, originalPositions: original,
                attentionFactor: try rope.optionalPositive("attention_factor") ?? (factor > 1 ? 0.1 * log(factor) + 1 : 1))
        default:
            throw config.error("rope_type", "is \(kind); default, linear, dynamic, llama3 and yarn are supported")
        }
    }

    /// Radians per position of each pair.
    var inverseFrequencies: [Double] {
        (0..<headSize / 2).map { pair in
            let plain = pow(base, -Double(2 * pair) / Double(headSize))
            let scaled: Double
            switch scaling {
            case .none: scaled = plain
            case .linear(let factor): scaled = plain / factor
            case .llama3(let factor, let low, let high, let original):
                let wavelength = 2 * Double.pi / plain
                if wavelength > original / low {
                    scaled = plain / factor
                } else if wavelength < original / high {
                    scaled = plain
                } else {
                    let smooth = (original / wavelength - low) / (high - low)
                    scaled = (1 - smooth) * plain / factor + smooth * plain
                }
            case .yarn(let factor, let fast, let slow, let original, _):
                func pairThatTurns(_ times: Double) -> Double {
                    Double(headSize) * log(original / (times * 2 * Double.pi)) / (2 * log(base))
                }
                let low = max(pairThatTurns(fast).rounded(.down), 0)
                var high = min(pairThatTurns(slow).rounded(.up), Double(headSize - 1))
                if low == high { high += 0.001 }
                let ramp = min(max((Double(pair) - low) / (high - low), 0), 1)
                scaled = plain / factor * ramp + plain * (1 - ramp)
            }
            return scaled / Double(divisors?[pair] ?? 1)
        }
    }

    /// Row-major tables for positions 0 ..< positions.
    func tables(positions: Int) -> (cosine: [Float], sine: [Float]) {
        let frequencies = inverseFrequencies.map { Float($0) }
        let factor: Double
        if case .yarn(_, _, _, _, let attention) = scaling { factor = attention } else { factor = 1 }
        var cosine: [Float] = [], sine: [Float] = []
        cosine.reserveCapacity(positions * frequencies.count)
        sine.reserveCapacity(positions * frequencies.count)
        for position in 0..<positions {
            for frequency in frequencies {
                let angle = Double(Float(position) * frequency)
                cosine.append(Float(cos(angle) * factor))
                sine.append(Float(sin(angle) * factor))
            }
        }
        return (cosine, sine)
    }
}
