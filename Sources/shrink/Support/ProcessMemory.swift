import Glibc

/// Memory of this process, from `/proc/self/status`.
enum ProcessMemory {
    /// Bytes resident now.
    static var resident: Int { read("VmRSS:") }
    /// The most bytes resident at any time, or since `forgetPeak`.
    static var peak: Int { read("VmHWM:") }

    /// Begins a new peak where the kernel lets a process do so (`clear_refs` in proc(5)).
    static func forgetPeak() {
        guard let file = fopen("/proc/self/clear_refs", "w") else { return }
        fputs("5", file)
        fclose(file)
    }

    private static func read(_ field: String) -> Int {
        guard let file = fopen("/proc/self/status", "r") else { return 0 }
        defer { fclose(file) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, file) > 0 {
            guard let line, strncmp(line, field, field.utf8.count) == 0 else { continue }
            return atol(line + field.utf8.count) * 1024
        }
        return 0
    }
}
