import Glibc

/// Memory of this process, from `/proc/self/status`.
enum ProcessMemory {
    /// Bytes resident now.
    static var resident: Int { read("VmRSS:") }
    /// The most bytes resident at any time.
    static var peak: Int { read("VmHWM:") }

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
