import CShrinkMachine

/// One thread measured alone stays on one CPU: what it had in the caches is still there the next time.
enum Pinning {
    /// Runs `body` with the calling thread on the last CPU that it may use, if that is wanted and allowed.
    static func onOneCPU<R>(_ isWanted: Bool, _ body: () throws -> R) rethrows -> R {
        var before = shrink_machine_cpus()
        let isPinned = isWanted && shrink_machine_pin(&before) >= 0
        defer { if isPinned { shrink_machine_unpin(&before) } }
        return try body()
    }

    /// The number of that CPU; nil when the system does not allow it.
    static let cpu: Int? = {
        var before = shrink_machine_cpus()
        let cpu = shrink_machine_pin(&before)
        guard cpu >= 0 else { return nil }
        shrink_machine_unpin(&before)
        return Int(cpu)
    }()
}
