import CShrinkKernels
import Glibc
import ShrinkCheckpoints
import ShrinkCompute
import ShrinkFormat
import ShrinkJSON

/// The checkpoints of a run: directories `step-NNNNNNNNN` with `weights.safetensors`, `optimizer.safetensors` (both binary32) and
/// `state.json`, which has the SHA-256 of the other two and of itself.
///
/// A checkpoint is written under another name, brought to the disk, and renamed: it is there whole or not at all.
public struct RunCheckpoints {
    public static let kept = 2
    public let path: String

    public init(path: String) { self.path = path }

    /// The checkpoints by falling step.
    public var steps: [Int] {
        names.compactMap { name in name.hasPrefix("step-") ? Int(name.dropFirst("step-".count)) : nil }.sorted(by: >)
    }

    private var names: [String] { Directory.names(path) }
    private func name(_ step: Int) -> String { "step-" + String(repeating: "0", count: max(0, 9 - "\(step)".count)) + "\(step)" }

    // MARK: Writing

    /// Writes a checkpoint and removes those that are no longer needed. When it cannot be written, those before it are as they were.
    /// - Throws: `CheckpointError`, such as `diskFull`.
    public func write(_ state: TrainingState, _ parameters: ParameterTable, _ optimizer: Optimizer) throws {
        precondition(optimizer.stepCount == state.step)
        // One that is there for this step, before its validation or damaged, is exchanged for the new one.
        let directory = try ReplacementDirectory(path: "\(path)/\(name(state.step))", replacing: ["weights.safetensors", "optimizer.safetensors", "state.json"])
        let weights = try write([("", parameters)], to: directory.stagingPath + "/weights.safetensors")
        let moments = try write(optimizer.state.enumerated().map { ("moment\($0 + 1):", $1) }, to: directory.stagingPath + "/optimizer.safetensors")
        let members = [("version", .integer(Self.version))] + state.json
            + [("weights_sha256", .string(weights)), ("optimizer_sha256", .string(moments))]
        let digest = Self.digest(of: Array(Self.text(members).utf8))
        try ReplacementFile.write(Array((Self.text(members + [("sha256", .string(digest))]) + "\n").utf8), to: directory.stagingPath + "/state.json")
        try directory.commit()
        for step in steps.filter({ $0 < state.step }).dropFirst(Self.kept - 1) { Directory.remove("\(path)/\(self.name(step))") }
    }

    private static let version = 1

    private static func text(_ members: [(String, JSON)]) -> String {
        var object = JSON.Object()
        for (key, value) in members { object.append(key, value) }
        return JSON.object(object).serialized
    }

    /// The SHA-256 of the file.
    private func write(_ tables: [(prefix: String, table: ParameterTable)], to path: String) throws -> String {
        let tensors = tables.flatMap { prefix, table in table.names.compactMap { name in table[name].map { (prefix + name, $0) } } }
        let writer = try SafetensorsWriter(
            path: path, tensors: tensors.map { SafetensorsWriter.Declaration(name: $0.0, type: .f32, shape: $0.1.shape) })
        for (name, tensor) in tensors { try writer.write(UnsafeBufferPointer(tensor.buffer), to: name) }
        try writer.finish()
        return Self.digest(of: try MappedFile(path: path))
    }

    private static func digest(of bytes: UnsafeRawBufferPointer) -> String {
        var hash = SHA256(blockFunction: shrink_sha256_accelerated())
        hash.update(bytes)
        return Fingerprint(bytes: Fingerprint.bytes(of: hash)).description
    }

    private static func digest(of bytes: [UInt8]) -> String { bytes.withUnsafeBytes { digest(of: $0) } }
    private static func digest(of file: MappedFile) -> String { withExtendedLifetime(file) { digest(of: file.bytes) } }

    // MARK: Reading

    /// Takes the newest checkpoint that is whole into `parameters` and `optimizer`.
    ///
    /// - Parameter report: is told of checkpoints that are not, in words.
    /// - Returns: nil when there is no checkpoint at all.
    /// - Throws: `TrainingError` `badRun` when there are some, but none is whole.
    public func restore(
        _ parameters: ParameterTable, _ optimizer: Optimizer, report: (String) -> Void = { _ in }
    ) throws -> TrainingState? {
        for name in names where name.hasPrefix(".step-") { Directory.remove("\(path)/\(name)") }
        var problems: [TrainingError] = []
        for step in steps {
            do {
                let state = try restore(step, parameters, optimizer)
                for problem in problems { report("\(problem); the one before it is taken") }
                return state
            } catch let problem as TrainingError where problem.code == .badRun { problems.append(problem) }
        }
        guard let newest = problems.first else { return nil }
        throw TrainingError(.badRun, newest.place, newest.message + ", and no checkpoint is whole; start the run again elsewhere")
    }

    private func restore(_ step: Int, _ parameters: ParameterTable, _ optimizer: Optimizer) throws -> TrainingState {
        let place = "\(path)/\(name(step))"
        func damaged(_ what: String) -> TrainingError { TrainingError(.badRun, place, "the checkpoint is damaged (\(what))") }
        func file(_ name: String) throws -> MappedFile {
            do { return try MappedFile(path: "\(place)/\(name)") } catch { throw damaged("\(error)") }
        }
        let stateFile = try file("state.json")
        guard let json = withExtendedLifetime(stateFile, { try? JSON(parsing: stateFile.bytes) }), let members = json.object?.members, let last = members.last, last.key == "sha256",
            last.value.string == Self.digest(of: Array(Self.text(Array(members.dropLast().map { ($0.key, $0.value) })).utf8)),
            json["version"]?.int == Self.version, let state = TrainingState(json), state.step == step
        else { throw damaged("state.json is not what was written") }
        let tables = [("weights", [("", parameters)]), ("optimizer", optimizer.state.enumerated().map { ("moment\($0 + 1):", $1) })]
        // All is checked before anything is taken.
        var copies: [(HostTensor, CheckpointTensor)] = []
        for (name, tables) in tables {
            let file = try file(name + ".safetensors")
            guard json[name + "_sha256"]?.string == Self.digest(of: file) else { throw damaged("\(name).safetensors has another checksum") }
            let checkpoint = try SafetensorsFile(file).checkpoint
            for (prefix, table) in tables {
                for name in table.names {
                    guard let target = table[name], let tensor = checkpoint[prefix + name], tensor.type == .f32, tensor.shape == target.shape else {
                        throw TrainingError(
                            .mismatch, place, "has no tensor \(prefix + name) of the shape of the model's; has the model or the recipe of the run been changed?")
                    }
                    copies.append((target, tensor))
                }
            }
        }
        for (target, tensor) in copies { try tensor.readFloats(0..<tensor.elementCount, into: target.buffer) }
        optimizer.stepCount = step
        return state
    }
}

extension ReplacementFile {
    /// A whole file at once.
    public static func write(_ bytes: [UInt8], to path: String) throws {
        let file = try ReplacementFile(path: path, expectedByteCount: bytes.count)
        try bytes.withUnsafeBytes { try file.write($0) }
        try file.commit()
    }
}
