import Glibc
import ShrinkFormat
import ShrinkJSON
import ShrinkRuntime

/// Opens an artifact with errors that name it.
enum ArtifactFile {
    /// Whether a path holds an artifact rather than a checkpoint, by its first bytes.
    static func isArtifact(_ path: String) -> Bool {
        var status = stat()
        // Opening a pipe would wait for a writer.
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, let file = fopen(path, "r") else {
            return path.hasSuffix(".shrink")
        }
        defer { fclose(file) }
        var start = [UInt8](repeating: 0, count: 13)
        fread(&start, 1, start.count, file)
        // A damaged artifact is one by its name; a GGUF file is none by any name.
        return start.elementsEqual("manifest.json".utf8) || path.hasSuffix(".shrink") && !start.starts(with: "GGUF".utf8)
    }

    static func open(_ path: String, verify: Bool = true) throws -> Model {
        if access(path, F_OK) == 0, !isArtifact(path) {
            throw CommandFailure("\(path): not an artifact; make one of a checkpoint with `shrink quantize`")
        }
        var options = Model.Options()
        options.verifiesWeights = verify
        do throws(RuntimeError) {
            return try Model(path: path, options: options)
        } catch {
            throw CommandFailure(error, about: path)
        }
    }

    static func manifest(_ model: borrowing Model, _ path: String) throws -> JSON {
        guard let bytes = model.bytes(of: .manifest) else { throw CommandFailure("\(path): there is no manifest") }
        do { return try JSON(parsing: bytes) } catch { throw CommandFailure("\(path): manifest.json is \(error)") }
    }

    /// `SHRINK_ISA`, or nil for the best.
    static func forcedInstructionSet() throws -> InstructionSet? {
        guard let value = getenv("SHRINK_ISA"), value.pointee != 0 else { return nil }
        let name = String(cString: value)
        return try instructionSet(named: name, by: "SHRINK_ISA=\(name)")
    }

    /// Throws unless it runs here; `request` is how the user asked for it.
    static func instructionSet(named name: String, by request: String) throws -> InstructionSet {
        guard let set = InstructionSet.allCases.first(where: { $0.text == name }) else {
            throw CommandFailure("\(request) is no instruction set; `shrink cpu` lists them", exitCode: CommandFailure.usage)
        }
        guard set.status == .ready else {
            throw CommandFailure("\(request) does not run here; `shrink cpu` tells why", exitCode: CommandFailure.unavailable)
        }
        return set
    }
}

extension InstructionSet {
    var text: String { name.map { String(cString: $0) } ?? "?" }
}
