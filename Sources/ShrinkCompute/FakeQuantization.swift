import ShrinkGraph

/// What quantization does to numbers, computed in floats: the reference for quantized graphs.
enum FakeQuantization {
    /// Each output channel becomes scale × code, with the codes and scales that packing stores.
    static func weights(_ tensor: HostTensor, _ quantization: WeightQuantization, on threads: HostThreads) {
        let width = tensor.width, base = tensor.base
        switch quantization {
        case .int8PerChannel:
            threads.forRows(tensor.rowCount, width: width) { rows in
                for row in rows {
                    var largest: Float = 0
                    kernels.largest_magnitudes(base + row * width, &largest, 0, width)
                    var scale = Float(Double(largest) / 127)
                    kernels.round_to_codes(base + row * width, &scale, 0, width)
                }
            }
        case .int8PerColumn:
            var scales = [Float](repeating: 0, count: width)
            for row in 0..<tensor.rowCount { kernels.largest_magnitudes(base + row * width, &scales, 1, width) }
            for column in 0..<width { scales[column] = Float(Double(scales[column]) / 127) }
            scales.withUnsafeBufferPointer { scales in
                let scales = scales.baseAddress!
                threads.forRows(tensor.rowCount, width: width) { rows in
                    for row in rows { kernels.round_to_codes(base + row * width, scales, 1, width) }
                }
            }
        }
    }

    /// Asymmetric uint8 for each group of each row, as `Quantize` defines it, in the runtime's order of
    /// roundings (`quantize_rows` of its kernels), so that equal inputs get equal codes. `output` may be
    /// `input`. `steps` gets the step between two codes of each group of each row.
    static func activations(
        _ input: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>, steps: UnsafeMutablePointer<Float>, rows: Int, width: Int,
        groups: Int, on threads: HostThreads
    ) {
        let width = width / groups
        threads.forRows(rows * groups, width: width) { groups in
            for group in groups { steps[group] = activations(input + group * width, output + group * width, width: width) }
        }
    }

    /// One group; gives back the step.
    static func activations(_ input: UnsafePointer<Float>, _ output: UnsafeMutablePointer<Float>, width: Int) -> Float {
        var low: Float = 0, high: Float = 0
        for index in 0..<width {
            low = min(low, input[index])
            high = max(high, input[index])
        }
        let scale = max((high - low) * (1 / 255), 1e-35), inverse = 1 / scale
        let zero = min((-low * inverse).rounded(.toNearestOrEven), 255)
        for index in 0..<width {
            let code = min(max((input[index] * inverse).rounded(.toNearestOrEven) + zero, 0), 255)
            output[index] = (code - zero) * scale
        }
        return scale
    }

    /// The shares that one row of attention gives to positions, `steps` being those of their values, each
    /// `stride` after the one before: what a code counts, share times step, becomes a whole number of 1/32767 of
    /// the largest share times the largest step, as in the runtime (`attention_q8` of its kernels).
    static func shares(_ p: UnsafeMutablePointer<Float>, count: Int, steps: UnsafePointer<Float>, stride: Int) {
        var top: Float = 0, most: Float = 0
        for t in 0..<count {
            top = max(top, steps[t * stride])
            most = max(most, p[t])
        }
        // Values that are all zero have the smallest step: without the bound the factor is infinite.
        let factor = min(32767 / top, 3e38), unit = top / 32767 * most
        for t in 0..<count {
            let step = steps[t * stride]
            p[t] = min(p[t] / most * (step * factor), 32767).rounded(.toNearestOrEven) * unit / step
        }
    }
}
