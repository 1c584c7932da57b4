import Glibc
import ShrinkCompute
import ShrinkGraph
import ShrinkModels
import ShrinkPasses
import ShrinkTraining

/// Times whole training steps (forward, backward, clipping, AdamW) of a causal language model, or of a masked one that
/// predicts every seventh token:
///   training-benchmark DIRECTORY BATCH TOKENS THREADS STEPS [RECOMPUTE]
/// One line of JSON: milliseconds of a step (least and median), tokens per second of the least, least milliseconds of
/// all cores together, peak memory, and the first and last loss.
@main struct TrainingBenchmark {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 6, let batch = Int(arguments[2]), let tokens = Int(arguments[3]), let threadCount = Int(arguments[4]),
            let steps = Int(arguments[5])
        else { throw ComputeError("usage: training-benchmark DIRECTORY BATCH TOKENS THREADS STEPS [nothing|elementwise|blocks]") }
        let recompute = arguments.count > 6 ? Recomputation(rawValue: arguments[6]) ?? .nothing : .nothing
        let model = try ImportedModel.open(arguments[1])
        let isCausal = model.graph.output(named: "logits") != nil, output = isCausal ? "logits" : "masked_logits"
        var graph = model.graph.extracting(outputs: [output])
        _ = try PassManager([.fuseResidualNorm, .fuseGate]).run(on: &graph)
        graph = try graph.adding(Loss(.crossEntropy), of: output)

        let threads = HostThreads(threadCount)
        let parameters = try ParameterTable(reading: graph.trainableParameters, of: graph), gradients = ParameterTable(zerosLike: parameters)
        let executor = try HostExecutor(try graph.reading(parameters).differentiated(recompute: recompute), threads: threads)
        let optimizer = Optimizer(.adamW(), parameters, weightDecay: 0.01, threads: threads)
        var state: UInt64 = 1
        let ids = (0..<batch * tokens).map { _ -> Int32 in
            state = state &* 6364136223846793005 &+ 1442695040888963407
            return Int32(state >> 33) % Int32(model.vocabularySize)
        }
        let labels = ids.indices.map { index in
            isCausal ? (index + 1) % tokens == 0 ? -100 : ids[index + 1] : index % 7 == 3 ? ids[index] : -100
        }
        let inputs = HostInputs(batch: batch, tokens: tokens, integers: ["tokens": ids, "labels": labels])
        var times: [Double] = [], work: [Double] = [], losses: [Float] = []
        for _ in 0..<steps {
            let start = now(CLOCK_MONOTONIC), startOfWork = now(CLOCK_PROCESS_CPUTIME_ID)
            losses.append(try executor.run(inputs, gradients: gradients)["loss"]?.floats[0] ?? .nan)
            let norm = gradients.globalNorm(threads: threads)
            optimizer.step(gradients, rate: 1e-3, gradientScale: clippingScale(norm: norm, maximum: 1))
            times.append((now(CLOCK_MONOTONIC) - start) * 1e3)
            work.append((now(CLOCK_PROCESS_CPUTIME_ID) - startOfWork) * 1e3)
        }
        times = times.dropFirst(min(2, steps - 1)).sorted()
        print(
            "{\"least_ms\": \(times[0]), \"median_ms\": \(times[times.count / 2]), \"tokens_per_second\": \(Double(batch * tokens) / times[0] * 1e3), \"cpu_ms\": \(work.min() ?? 0), "
                + "\"peak_mib\": \(peakMemory), \"arena_mib\": \(Double(try executor.arenaByteCount(batch: batch, tokens: tokens)) / 1048576), "
                + "\"first_loss\": \(losses[0]), \"last_loss\": \(losses[losses.count - 1])}")
    }

    /// Mebibytes; what `getrusage` tells counts the process that started this one too.
    private static var peakMemory: Double {
        guard let file = fopen("/proc/self/status", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, 256, file) != nil {
            if strncmp(line, "VmHWM:", 6) == 0 { return line.withUnsafeBufferPointer { Double(atol($0.baseAddress! + 6)) } / 1024 }
        }
        return 0
    }

    private static func now(_ clock: clockid_t) -> Double {
        var time = timespec()
        clock_gettime(clock, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
