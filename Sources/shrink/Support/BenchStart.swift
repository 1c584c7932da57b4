import ShrinkEvaluation
import ShrinkRuntime

/// From a file in the page cache to the first output, and the memory that it takes to run.
struct BenchStart {
    /// Median seconds of opening the model anew, making a session and computing a first output.
    var seconds: Double
    /// The same with the checksum of the weights.
    var verifiedSeconds: Double
    var sessionBytes: Int
    /// Of the whole process, after the longest work, with nothing else open.
    var residentBytes: Int
    var peakBytes: Int

    static func measure(_ path: String, _ plan: BenchPlan, threads: Int, instructionSet: InstructionSet) throws -> BenchStart {
        /// Opens and runs; the session is gone when the result is not kept.
        func start(verify: Bool) throws -> (session: BenchSession, seconds: Double) {
            try Interrupt.check()
            let begin = Progress.now()
            let session = try BenchSession(
                ArtifactFile.open(path, verify: verify), plan, threads: threads, instructionSet: instructionSet)
            try session.read(plan.firstTokens)
            return (session, Progress.now() - begin)
        }
        return try Pinning.onOneCPU(threads == 1) {
            _ = try start(verify: false)
            let plain = try (0..<5).map { _ in try start(verify: false).seconds }
            let verified = try (0..<3).map { _ in try start(verify: true).seconds }
            ProcessMemory.forgetPeak()
            let session = try start(verify: false).session
            try session.runAll(counting: false)
            return BenchStart(
                seconds: Distribution(plain).median, verifiedSeconds: Distribution(verified).median, sessionBytes: session.byteCount,
                residentBytes: ProcessMemory.resident, peakBytes: ProcessMemory.peak)
        }
    }
}
