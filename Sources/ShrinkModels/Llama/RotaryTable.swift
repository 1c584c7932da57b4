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
        // Where both are there, `rope_scaling` wins, as in transformers.
        let parameters = try config.optionalObject("rope_scaling") ?? config.optionalObject("rope_parameters")
        base = try parameters?.optionalPositive("rope_theta") ?? config.optionalPositive("rope_theta") ?? 10_000
        guard base > 1 else { throw config.error("rope_theta", "must be above 1, but is \(base)") }
        scaling = .none
        if let partial = try parameters?.optionalPositive("partial_rotary_factor") ?? config.optionalPositive("partial_rotary_factor"), partial != 1 {
            throw config.error("partial_rotary_factor", "is \(partial); only whole heads are rotated")
        }
        guard let rope = parameters else { return }
        func factor() throws -> Double {
            let factor = try rope.positive("factor")
            guard factor >= 1 else { throw config.error("factor", "must be at least 1, but is \(factor)") }
            return factor
        }
        let kind = try rope.optionalWord("rope_type") ?? rope.optionalWord("type") ?? "default"
        let original = Double(try rope.optionalSize("original_max_position_embeddings") ?? maximumPositions)
        switch kind {
        case "default": break
        case "linear": scaling = .linear(factor: try factor())
        case "dynamic":
            // The frequencies change beyond the trained positions only; up to there they are plain.
            maximumPositions = min(maximumPositions, Int(original))
        case "llama3":
            let low = try rope.positive("low_freq_factor"), high = try rope.positive("high_freq_factor")
            guard low < high else { throw config.error("high_freq_factor", "must be above low_freq_factor") }
            scaling = .llama3(
                factor: try factor(), lowFrequencyFactor: low, highFrequencyFactor: high, originalPositions: original)
        case "yarn":
            for key in ["mscale", "mscale_all_dim"] where rope.json[key] != nil {
                throw config.error(key, "is not supported; give attention_factor instead")
            }
            guard try rope.flag("truncate", default: true) else { throw config.error("truncate", "is false; only true is supported") }
            let factor = try factor()
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

    /// The cosines or sines as a parameter of shape [positions, headSize / 2].
    func source(_ wave: RotaryAngles.Wave) -> RotaryAngles {
        let amplitude: Double
        if case .yarn(_, _, _, _, let attention) = scaling { amplitude = attention } else { amplitude = 1 }
        return RotaryAngles(wave: wave, frequencies: inverseFrequencies.map { Float($0) }, amplitude: amplitude)
    }
}

/// One of the two tables, row-major, computed where it is read: a configuration can claim any number of positions.
struct RotaryAngles: ParameterSource {
    enum Wave { case cosine, sine }

    let wave: Wave
    let frequencies: [Float]
    let amplitude: Double

    func readFloats(_ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) {
        for (place, element) in range.enumerated() {
            let (position, pair) = element.quotientAndRemainder(dividingBy: frequencies.count)
            let angle = Double(Float(position) * frequencies[pair])
            target[place] = Float((wave == .cosine ? cos(angle) : sin(angle)) * amplitude)
        }
    }
}
