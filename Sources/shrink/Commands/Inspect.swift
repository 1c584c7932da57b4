import ArgumentParser
import ShrinkFormat
import ShrinkGraph
import ShrinkJSON
import ShrinkModels
import ShrinkPacking
import ShrinkPasses
import ShrinkRuntime

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what is in a checkpoint or an artifact and what running it will take.",
        discussion: """
            Of an artifact: provenance, entry points, sizes, and the exact memory of a session. Of a \
            checkpoint: the same for the artifact that it would become, bytes by kind of operation, and on \
            request its graph, its tensors, and why a rewrite did not apply. A purely recurrent language model has no \
            longest context: it takes any number of tokens in the same memory ("positions" and "context" are null).

            With --json, one object: {"kind": "artifact" | "checkpoint", "architecture": …, "vocabulary": …, \
            "positions": …, "parameters": … (of a checkpoint), "weights_bytes": …, \
            "entry_points": [{"name": …, "context": …, "chunk": …, "session_bytes": …, "peak_bytes": … (of an artifact)}], "program_bytes": …, "labels": […]}. "peak_bytes" is \
            the resident memory of `shrink run` or `embed` at its peak: the whole file, the session, the sampler, and \
            the command's own code as measured while this runs ("command_bytes"); a program that links the library \
            has its own instead. For artifacts also "manifest", "scheme", "license", "tool", \
            with --self-test "self_test": bool. For checkpoints also "stored_types" and "bytes_by_operation" (bytes by name), \
            "ignored_tensors". --tensors adds "tensors", --why "refusals", --graph "graphs".
            """)

    @Argument(help: "A .shrink artifact or a checkpoint.") var model: String
    @Option(help: "Tokens of context to predict memory for (default: the model's).") var context: Int?
    @Option(help: "Threads to predict memory for.") var threads = 1
    @Option(help: "For a checkpoint: the scheme it would be packed in (default: w8a8).") var scheme: Scheme?
    @Flag(help: "Print the compiled graph of each entry point as text.") var graph = false
    @Flag(help: "List every weight with its bytes.") var tensors = false
    @Flag(help: "Print why rewrites did not apply.") var why = false
    @Flag(help: "For an artifact: run its self-test on this machine.") var selfTest = false
    @Flag(help: "One JSON object.") var json = false
    @Flag(help: "No progress, no notes; there are none yet.") var quiet = false

    func validate() throws {
        if let context, context < 1 { throw ValidationError("--context must be positive.") }
        if !(1...256 ~= threads) { throw ValidationError("--threads must be from 1 to 256.") }
    }

    func run() throws {
        if ArtifactFile.isArtifact(model) { try inspectArtifact() } else { try inspectCheckpoint() }
    }

    // MARK: Artifacts

    private func inspectArtifact() throws {
        let commandBytes = ProcessMemory.resident
        if graph || why { throw CommandFailure("--graph and --why need a checkpoint: an artifact holds instructions only", exitCode: CommandFailure.usage) }
        if scheme != nil { throw CommandFailure("--scheme needs a checkpoint: an artifact has been packed", exitCode: CommandFailure.usage) }
        let artifact = try ArtifactFile.open(model)
        try Interrupt.check()
        let manifest = try ArtifactFile.manifest(artifact, model)
        var report = Report()
        report.add("kind", .string("artifact"), "\(model): artifact, \(Format.bytes(FileSize.of(model))), checksums match")
        report.add("manifest", manifest)
        for key in ["architecture", "scheme", "license", "tool"] {
            guard let value = manifest[key]?.string else { continue }
            report.add(key, .string(value), "\(key.padded(to: 16))\(value)")
        }
        report.add("command_bytes", .integer(commandBytes))
        try report.addProgram(artifact.program, context: context, threads: threads, besides: FileSize.of(model) + commandBytes)
        if tensors { report.addTensors(artifact.program) }
        if selfTest {
            let passed = try artifact.selfTest(instructionSet: try ArtifactFile.forcedInstructionSet(), threads: threads)
            try Interrupt.check()
            let words = passed.map { $0 ? "passed: this machine computes what the packing one did" : "FAILED" } ?? "there is none"
            report.add("self_test", passed.map { .bool($0) } ?? .null, "self-test       \(words)")
        }
        report.print(json: json)
        if report.members.contains(where: { $0.0 == "self_test" && $0.1 == .bool(false) }) { throw ExitCode(1) }
    }

    // MARK: Checkpoints

    private func inspectCheckpoint() throws {
        if selfTest { throw CommandFailure("--self-test needs an artifact", exitCode: CommandFailure.usage) }
        let scheme = scheme ?? .w8a8
        let imported = try ImportedModel.open(model)
        let compilation = try Compilation(imported, scheme: scheme, context: context)
        try Interrupt.check()
        let checkpointBytes = imported.files.reduce(0) { $0 + $1.bytes.count }
        var report = Report()
        report.add("kind", .string("checkpoint"), "\(model): checkpoint, \(Format.bytes(checkpointBytes))")
        report.add("architecture", .string(imported.architecture), "architecture    \(imported.architecture)")
        let parameters = Inspect.parameterCount(imported.graph)
        report.add("parameters", .integer(parameters), "parameters      \(parameters), \(Format.bytes(parameters * 4)) in fp32")
        let stored = Inspect.storedTypes(imported.graph)
        report.add(
            "stored_types", .members(stored.map { ($0.type, .integer($0.bytes)) }),
            "stored as       " + stored.map { "\($0.type) \(Format.bytes($0.bytes))" }.joined(separator: ", "))
        report.add(
            "ignored_tensors", .array(imported.ignoredTensors.map { .string($0) }),
            imported.ignoredTensors.isEmpty ? nil : "not needed      \(imported.ignoredTensors.joined(separator: ", "))")
        report.add("scheme", .string(scheme.rawValue), "packed as       \(scheme.rawValue):")

        let operations = Inspect.bytesByOperation(compilation)
        report.add("bytes_by_operation", .members(operations.map { ($0.name, .integer($0.bytes)) }))
        for (name, bytes) in operations { report.text("  \(name.padded(to: 14))\(Format.bytes(bytes).paddedLeft(to: 12))") }
        try report.addProgram(compilation.packed, context: context, threads: threads)
        if tensors {
            report.add(
                "tensors",
                .array(compilation.packed.storedWeights.map { .members([("name", .string($0.name)), ("form", .string($0.form)), ("bytes", .integer($0.byteCount))]) }))
            for weight in compilation.packed.storedWeights {
                report.text("\(weight.form)  \(Format.bytes(weight.byteCount).paddedLeft(to: 11))  \(weight.name)")
            }
        }
        if why {
            let refusals = compilation.reports.flatMap { report in
                report.pass.refusals.map { (report.kind.name, report.pass.pass, $0.node, $0.reason.description) }
            }
            report.add(
                "refusals",
                .array(refusals.map { .members([("entry_point", .string($0.0)), ("pass", .string($0.1)), ("node", .string($0.2)), ("reason", .string($0.3))]) }))
            for (entry, pass, node, reason) in refusals { report.text("\(entry): \(pass): \(node): \(reason)") }
        }
        if graph {
            report.add("graphs", .members(compilation.entryPoints.map { ($0.kind.name, .string($0.graph.text)) }))
            for entry in compilation.entryPoints { report.text("; entry point \(entry.kind.name)\n\(entry.graph.text)") }
        }
        report.print(json: json)
    }

    /// Weights that the checkpoint itself stores.
    private static func parameterCount(_ graph: Graph) -> Int {
        graph.usedParameters.filter { graph.parameter($0).map { $0.storedByteCount > 0 } ?? false }
            .reduce(0) { $0 + graph[$1].type.shape.compactMap(\.fixedValue).reduce(1, *) }
    }

    private static func storedTypes(_ graph: Graph) -> [(type: String, bytes: Int)] {
        var bytes: [String: Int] = [:]
        for value in graph.usedParameters {
            if let parameter = graph.parameter(value) { bytes[parameter.storedType, default: 0] += parameter.storedByteCount }
        }
        bytes["computed"] = nil
        return bytes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
    }

    /// Bytes of packed weights by the kind of operation that reads them first.
    private static func bytesByOperation(_ compilation: Compilation) -> [(name: String, bytes: Int)] {
        var reader: [String: String] = [:]
        for entry in compilation.entryPoints {
            for node in entry.graph.order {
                for input in entry.graph[node].inputs where entry.graph.parameter(input) != nil {
                    let name = entry.graph[input].name
                    if reader[name] == nil { reader[name] = entry.graph[node].operation.mnemonic }
                }
            }
        }
        var bytes: [String: Int] = [:]
        for weight in compilation.packed.storedWeights { bytes[reader[weight.name] ?? "other", default: 0] += weight.byteCount }
        return bytes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map { ($0.key, $0.value) }
    }
}

/// Lines for people and members for programs, collected together.
private struct Report {
    private(set) var members: [(String, JSON)] = []
    private var lines: [String] = []

    mutating func add(_ key: String, _ value: JSON, _ line: String? = nil) {
        members.append((key, value))
        if let line { lines.append(line) }
    }

    mutating func text(_ line: String) { lines.append(line) }

    func print(json: Bool) {
        if json { Output.json(members) } else { for line in lines { Output.line(line) } }
    }

    mutating func addProgram(_ packed: PackedModel, context: Int?, threads: Int) throws {
        try packed.program.withUnsafeBytes { bytes in
            try addProgram(try ProgramView(bytes), context: context, threads: threads)
        }
    }

    /// `besides`: what is resident beside the session, when that is known.
    mutating func addProgram(_ program: ProgramView, context: Int?, threads: Int, besides: Int? = nil) throws {
        let header = program.header
        if let context, let limit = header.positionLimit, context > limit {
            throw CommandFailure("--context \(context) is longer than the model's \(limit)", exitCode: CommandFailure.usage)
        }
        add("vocabulary", .integer(Int(header.vocabularySize)), "vocabulary      \(header.vocabularySize)")
        add("positions", header.positionLimit.map { .integer($0) } ?? .null, "context         \(header.positionLimit.map(String.init) ?? "no limit")")
        add("weights_bytes", .integer(Int(header.weightByteCount)), "weights         \(Format.bytes(Int(header.weightByteCount)))")
        add("program_bytes", .integer(program.bytes.count), "program         \(Format.bytes(program.bytes.count)), \(header.instructionCount) instructions")
        if header.labelCount > 0 {
            let labels = (0..<Int(header.labelCount)).map { program.label($0).map { String(decoding: $0, as: UTF8.self) } ?? "" }
            add("labels", .array(labels.map { .string($0) }), "labels          \(labels.joined(separator: ", "))")
        }
        var entries: [JSON] = []
        for index in 0..<Int(header.entryCount) {
            guard let entry = program.entry(index) else { continue }
            var options = SessionOptions(kind: entry.kind)
            let longest = entry.kind.isIncremental ? header.positionLimit : Int(entry.maximumTokens)
            options.context = longest.map { min(context ?? $0, $0) } ?? context
            options.threads = threads
            let session = try SessionPlan(program, options)
            let sampler = entry.kind == .generate ? Sampler.byteCount(vocabularySize: Int(header.vocabularySize)) : 0
            let peak = besides.map { $0 + session.byteCount + sampler }
            entries.append(
                .members([
                    ("name", .string(entry.kind.name)), ("context", session.context == .max ? .null : .integer(session.context)), ("chunk", .integer(session.chunk)),
                    ("session_bytes", .integer(session.byteCount)),
                ] + (peak.map { [("peak_bytes", .integer($0))] } ?? [])))
            text(
                "entry point     \(entry.kind.name.padded(to: 10))a session of \(session.context == .max ? "any number of" : "\(session.context)") tokens in steps of \(session.chunk) takes \(Format.bytes(session.byteCount)) beside the file"
                    + (peak.map { ", this command \(Format.bytes($0)) in all" } ?? ""))
        }
        members.append(("entry_points", .array(entries)))
    }

    mutating func addTensors(_ program: ProgramView) {
        var list: [JSON] = []
        for index in 0..<Int(program.header.tensorCount) {
            guard let tensor = program.tensor(index), tensor.storage == .weights, let bytes = tensor.weightByteCount else { continue }
            list.append(
                .members([
                    ("type", .string("\(tensor.type)")), ("rows", .integer(Int(tensor.rows))), ("columns", .integer(Int(tensor.columns))),
                    ("offset", .integer(Int(tensor.offset))), ("bytes", .integer(Int(bytes))),
                ]))
            text("\("\(tensor.type)".padded(to: 14)) \("\(tensor.rows) x \(tensor.columns)".padded(to: 16)) at \(tensor.offset), \(Format.bytes(Int(bytes)))")
        }
        add("tensors", .array(list))
    }
}
