import CShrinkKernels
import ShrinkFormat

/// The instruction sets that kernels exist for, worst to best on each architecture.
public enum InstructionSet: Int32, Sendable, CaseIterable {
    case scalar = 0, sse41, avx2, avxVNNI, avx512VNNI, neon, dotprod, i8mm

    public enum Status: Sendable {
        /// This CPU and operating system run it.
        case ready
        /// Built in, but this CPU lacks it.
        case notOnCPU
        /// No kernels for it in this library: it belongs to another architecture.
        case notBuilt
    }

    public var status: Status {
        switch shrink_isa_query(cValue) {
        case SHRINK_ISA_READY: .ready
        case SHRINK_ISA_NOT_ON_CPU: .notOnCPU
        default: .notBuilt
        }
    }

    /// The name that users write, such as `avx512-vnni`; a C string that lives for ever.
    public var name: UnsafePointer<CChar>? { shrink_isa_name(cValue) }

    /// The best one that is ready.
    public static var best: InstructionSet {
        InstructionSet(rawValue: Int32(truncatingIfNeeded: shrink_isa_best().rawValue)) ?? .scalar
    }

    var cValue: shrink_isa { shrink_isa(rawValue: UInt32(truncatingIfNeeded: rawValue)) }

    func kernels() throws(RuntimeError) -> UnsafePointer<shrink_kernels> {
        guard let kernels = shrink_kernels_for(cValue) else {
            throw RuntimeError(.unsupportedISA, "this instruction set is not built in or not on this CPU", Int(rawValue))
        }
        return kernels
    }
}
