import CShrinkKernels
import CShrinkMachine
import Glibc
import ShrinkRuntime

/// The most that this machine was seen to do, with so many threads.
struct MachineLimits {
    /// int8 operations a second, two for each product; nil where the instruction set has no loop for them.
    private(set) var int8Rate: Double?
    /// Bytes a second from memory; nil when there was no memory to try it with.
    private(set) var readRate: Double?

    /// Measures once more and keeps the better results: other work on the machine only lowers them.
    mutating func measure(threads: Int, instructionSet: InstructionSet) {
        Pinning.onOneCPU(threads == 1) {
            let isa = shrink_isa(rawValue: UInt32(instructionSet.rawValue))
            int8Rate = Self.better(int8Rate, shrink_machine_int8_rate(isa, UInt32(threads)))
            readRate = Self.better(readRate, shrink_machine_read_rate(UInt32(threads), Self.bufferBytes(threads)))
        }
    }

    private static func better(_ old: Double?, _ new: Double) -> Double? { new > 0 ? max(old ?? 0, new) : old }

    /// Larger than the caches, of which every thread may have one to itself, so that it is memory that is
    /// read; but not what a small board cannot spare.
    private static func bufferBytes(_ threads: Int) -> Int {
        let wanted = min(1 << 30, threads * max(128 << 20, 4 * Machine.cacheBytes))
        let memory = sysconf(Int32(_SC_AVPHYS_PAGES)).multipliedReportingOverflow(by: sysconf(Int32(_SC_PAGESIZE)))
        return memory.overflow || memory.partialValue <= 0 ? wanted : min(wanted, max(16 << 20, memory.partialValue / 4))
    }
}

enum Machine {
    /// What the CPU calls itself.
    static var name: String {
        guard let file = fopen("/proc/cpuinfo", "r") else { return "unknown CPU" }
        defer { fclose(file) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, file) > 0, let line {
            let text = String(cString: line)
            guard text.hasPrefix("model name"), let colon = text.firstIndex(of: ":") else { continue }
            return text[colon...].dropFirst().trimmed
        }
        return "unknown CPU"
    }

    static var cacheBytes: Int { shrink_machine_cache_bytes() }
    static var usableCPUs: Int { Int(shrink_machine_cpu_count()) }
}

extension Substring {
    fileprivate var trimmed: String {
        String(drop { $0.isWhitespace }.reversed().drop { $0.isWhitespace }.reversed())
    }
}
