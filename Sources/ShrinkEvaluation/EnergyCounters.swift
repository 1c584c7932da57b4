import Glibc

/// The energy that the processor and its memory have taken, where the Linux kernel exposes it: the package
/// and DRAM zones of `powercap` (Intel RAPL, AMD too), or else the energy sensors of `hwmon`. They count for
/// everything that runs on the machine.
public struct EnergyCounters: Sendable {
    struct Source: Sendable {
        var name: String
        var path: String
        /// Microjoules after which the counter starts at 0 again; nil when it does not.
        var range: UInt64?
    }

    let sources: [Source]
    /// Why there is nothing to read; nil when there is.
    public let absence: String?

    /// `root` is where sysfs is mounted.
    public init(root: String = "/sys") {
        let found = Self.powercap("\(root)/class/powercap")
        sources = found.isEmpty ? Self.sensors("\(root)/class/hwmon") : found
        if sources.isEmpty {
            absence = "the kernel exposes no energy counter"
        } else {
            let unreadable = sources.first { Self.number($0.path) == nil }
            absence = unreadable.map { "\($0.path) cannot be read: \(Self.reason($0.path))" }
        }
    }

    public var names: [String] { sources.map(\.name) }

    /// A reading, in microjoules of each source; nil when one cannot be read.
    public func read() -> [UInt64]? {
        guard absence == nil else { return nil }
        let values = sources.compactMap { Self.number($0.path) }
        return values.count == sources.count ? values : nil
    }

    /// Joules of all sources together between two readings, less than one turn of a counter apart.
    public func joules(from start: [UInt64], to end: [UInt64]) -> Double {
        var sum = 0.0
        for (source, (before, after)) in zip(sources, zip(start, end)) {
            sum += after >= before ? Double(after - before) : Double(source.range ?? before) - Double(before) + Double(after)
        }
        return sum * 1e-6
    }

    // MARK: sysfs (Documentation/power/powercap and Documentation/hwmon of the kernel)

    private static func powercap(_ directory: String) -> [Source] {
        // `intel-rapl-mmio` counts the same packages once more; core and uncore are parts of a package.
        names(in: directory).filter { $0.hasPrefix("intel-rapl:") }.compactMap { zone in
            guard let name = text("\(directory)/\(zone)/name"), name.hasPrefix("package") || name == "dram" else { return nil }
            return Source(name: name, path: "\(directory)/\(zone)/energy_uj", range: number("\(directory)/\(zone)/max_energy_range_uj"))
        }
    }

    private static func sensors(_ directory: String) -> [Source] {
        var all: [Source] = []
        for device in names(in: directory) {
            let path = "\(directory)/\(device)"
            for file in names(in: path) where file.hasPrefix("energy") && file.hasSuffix("_input") {
                let label = text("\(path)/\(file.dropLast(6))_label")
                all.append(Source(name: label ?? text("\(path)/name") ?? device, path: "\(path)/\(file)", range: nil))
            }
        }
        // amd_energy counts sockets, and the cores in them once more.
        let sockets = all.filter { $0.name.hasPrefix("Esocket") }
        return sockets.isEmpty ? all : sockets
    }

    private static func names(in directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    /// The first line of a small file.
    private static func text(_ path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 128)
        let count = fread(&bytes, 1, bytes.count, file)
        guard count > 0 else { return nil }
        return String(decoding: bytes[..<count].prefix { $0 != 0x0A }, as: UTF8.self)
    }

    private static func number(_ path: String) -> UInt64? { text(path).flatMap { UInt64($0) } }

    private static func reason(_ path: String) -> String {
        access(path, R_OK) == 0 ? "it holds no number" : String(cString: strerror(errno))
    }
}
