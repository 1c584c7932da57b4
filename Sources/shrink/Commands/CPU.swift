import ArgumentParser
import ShrinkJSON
import ShrinkRuntime

struct CPU: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cpu", abstract: "List the instruction sets and say which one runs here.",
        discussion: """
            Results are the same bits on all of them; they differ in speed. SHRINK_ISA=NAME forces one.
            With --json: {"isa": …, "status": "ready" | "not on this CPU" | "not built", "selected": bool} for each.
            """)

    @Flag(help: "One JSON object a line.") var json = false

    func run() throws {
        let forced = Result { try ArtifactFile.forcedInstructionSet() }
        let selected = (try? forced.get()) ?? .best
        for set in InstructionSet.allCases {
            let name = set.text
            let status = switch set.status {
            case .ready: "ready"
            case .notOnCPU: "not on this CPU"
            case .notBuilt: "not built"
            }
            if json {
                Output.json([("isa", .string(name)), ("status", .string(status)), ("selected", .bool(set == selected))])
            } else {
                Output.line("\(set == selected ? "*" : " ") \(name.padded(to: 14)) \(status)")
            }
        }
        // The list comes first: it is what a wrong SHRINK_ISA is corrected with.
        _ = try forced.get()
    }
}

extension String {
    func padded(to width: Int) -> String { self + String(repeating: " ", count: max(width - count, 0)) }

    func paddedLeft(to width: Int) -> String { String(repeating: " ", count: max(width - count, 0)) + self }
}
