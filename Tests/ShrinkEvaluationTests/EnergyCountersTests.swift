import Foundation
import Testing

@testable import ShrinkEvaluation

@Suite struct EnergyCountersTests {
    /// A sysfs of these files in a new directory, which is removed afterwards.
    func withFiles(_ files: [String: String], _ body: (EnergyCounters, _ root: String) throws -> Void) throws {
        let root = FileManager.default.temporaryDirectory.appendingPathComponent("energy-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: root) }
        for (path, content) in files { try write(content, "\(root)/class/\(path)") }
        try body(EnergyCounters(root: root), root)
    }

    func write(_ content: String, _ path: String) throws {
        let directory = URL(fileURLWithPath: path).deletingLastPathComponent()
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        try content.write(toFile: path, atomically: false, encoding: .utf8)
    }

    func zone(_ name: String, _ energy: String, range: String = "1000000\n") -> [String: String] {
        ["name": "\(name)\n", "energy_uj": energy, "max_energy_range_uj": range]
    }

    func files(_ zones: [String: [String: String]]) -> [String: String] {
        var files: [String: String] = [:]
        for (zone, content) in zones { for (name, text) in content { files["powercap/\(zone)/\(name)"] = text } }
        return files
    }

    @Test func packagesAndMemoryCountOnceAndTheirPartsNot() throws {
        let zones = [
            "intel-rapl:0": zone("package-0", "100\n"), "intel-rapl:0:0": zone("core", "60\n"), "intel-rapl:0:1": zone("dram", "7\n"),
            "intel-rapl:1": zone("psys", "500\n"), "intel-rapl-mmio:0": zone("package-0", "100\n"),
        ]
        try withFiles(files(zones)) { counters, _ in
            #expect(counters.names == ["package-0", "dram"])
            #expect(counters.absence == nil)
            #expect(counters.read() == [100, 7])
            #expect(abs(counters.joules(from: [100, 7], to: [600_100, 1_007]) - 0.601) < 1e-12)
        }
    }

    @Test func aCounterThatStartsAgainIsContinued() throws {
        try withFiles(files(["intel-rapl:0": zone("package-0", "5\n", range: "1000\n")])) { counters, _ in
            #expect(abs(counters.joules(from: [990], to: [15]) - 25e-6) < 1e-15)
        }
    }

    @Test func sensorsCountWhereThereIsNoPowercap() throws {
        let files = [
            "hwmon/hwmon0/name": "amd_energy\n", "hwmon/hwmon0/energy1_input": "11\n", "hwmon/hwmon0/energy1_label": "Ecore000\n",
            "hwmon/hwmon0/energy2_input": "40\n", "hwmon/hwmon0/energy2_label": "Esocket0\n", "hwmon/hwmon0/temp1_input": "9\n",
        ]
        try withFiles(files) { counters, _ in
            #expect(counters.names == ["Esocket0"])
            #expect(counters.read() == [40])
        }
    }

    @Test func aSensorWithoutLabelHasTheNameOfItsDevice() throws {
        try withFiles(["hwmon/hwmon3/name": "ina226\n", "hwmon/hwmon3/energy1_input": "12\n"]) { counters, _ in
            #expect(counters.names == ["ina226"])
        }
    }

    @Test func aMachineWithoutCountersSaysSo() throws {
        try withFiles(["thermal/name": "x"]) { counters, _ in
            #expect(counters.absence == "the kernel exposes no energy counter")
            #expect(counters.read() == nil)
        }
    }

    @Test func aCounterThatIsNoNumberIsNamed() throws {
        try withFiles(files(["intel-rapl:0": zone("package-0", "what\n")])) { counters, root in
            #expect(counters.absence == "\(root)/class/powercap/intel-rapl:0/energy_uj cannot be read: it holds no number")
            #expect(counters.read() == nil)
        }
    }
}
