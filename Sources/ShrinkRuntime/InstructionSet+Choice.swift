import CShrinkKernels
import ShrinkFormat

extension InstructionSet {
    static let count: Int32 = 8

    /// The one of that name; nil when there is none.
    public init?(named name: UnsafePointer<CChar>) {
        for value in 0..<Self.count {
            guard let set = InstructionSet(rawValue: value), let known = set.name else { continue }
            var i = 0
            while known[i] == name[i], known[i] != 0 { i += 1 }
            if known[i] == name[i] {
                self = set
                return
            }
        }
        return nil
    }

    /// What the environment variable `SHRINK_ISA` names; nil when it is not set or empty. Throws
    /// `unsupportedISA` when that is no instruction set. The environment must not change meanwhile.
    public static func forced() throws(RuntimeError) -> InstructionSet? {
        guard let name = shrink_environment("SHRINK_ISA"), name[0] != 0 else { return nil }
        guard let set = InstructionSet(named: name) else {
            throw RuntimeError(.unsupportedISA, "SHRINK_ISA names no instruction set that this library knows")
        }
        return set
    }
}
