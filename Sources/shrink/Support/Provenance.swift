import ShrinkCheckpoints
import ShrinkFormat
import ShrinkGraph
import ShrinkJSON
import ShrinkModels
import ShrinkPacking
import ShrinkPasses

/// Where an artifact comes from: its manifest, and the licence and model card that go along.
struct Provenance {
    let manifest: JSON
    let license: [UInt8]?
    let readme: [UInt8]?

    init(checkpoint: String, model: ImportedModel, scheme: Scheme, reports: [PassReport]) throws {
        let licenseName: String?
        if ImportedModel.isGGUF(checkpoint) {
            (license, readme) = (nil, nil)
            licenseName = try GGUFFile(path: checkpoint)["general.license"]?.string
        } else {
            let card = try Provenance.read(["README.md"], in: checkpoint)
            license = try Provenance.read(["LICENSE", "LICENSE.txt", "LICENSE.md"], in: checkpoint)
            readme = card
            licenseName = card.flatMap(Provenance.frontMatterLicense)
        }
        let passes = reports.reduce(into: [String]()) { names, report in
            if !names.contains(report.pass) { names.append(report.pass) }
        }
        manifest = .members([
            ("format", .string("\(Program.majorVersion).\(Program.minorVersion)")),
            ("tool", .string("shrink \(Shrink.configuration.version)")),
            ("architecture", .string(model.architecture)),
            ("scheme", .string(scheme.rawValue)),
            ("passes", .array(passes.map { .string($0) })),
            ("license", licenseName.map(JSON.string) ?? .null),
            ("source", .array(try model.files.map(Provenance.source))),
            ("ignored_tensors", .array(model.ignoredTensors.map { .string($0) })),
        ])
    }

    private static func source(_ file: MappedFile) throws -> JSON {
        try Interrupt.check()
        return .members([
            ("file", .string(String(file.path.split(separator: "/").last ?? ""))), ("bytes", .integer(file.bytes.count)),
            ("sha256", .string(digest(file))),
        ])
    }

    /// The first of the files that is there; nothing when none is, or it is no ordinary small text.
    private static func read(_ names: [String], in directory: String) throws -> [UInt8]? {
        for name in names {
            let file: MappedFile
            do {
                file = try MappedFile(path: directory + "/" + name)
            } catch {
                if error.code == .notFound { continue }
                throw error
            }
            if file.bytes.count <= 1 << 20, !file.bytes.isEmpty { return Array(file.bytes) }
        }
        return nil
    }

    /// `license:` of the YAML block at the head of a Hugging Face model card.
    private static func frontMatterLicense(_ readme: [UInt8]) -> String? {
        let lines = String(decoding: readme, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.first == "---", let end = lines.dropFirst().firstIndex(of: "---") else { return nil }
        let line = lines[..<end].first { $0.hasPrefix("license:") }
        return line.map { $0.dropFirst("license:".count).drop { $0 == " " }.filter { $0 != "\r" && $0 != "\"" } }.map { String($0) }
    }

    /// SHA-256 of a file, read through once without keeping it in memory.
    private static func digest(_ file: MappedFile) -> String {
        var hash = SHA256()
        let piece = 4 << 20
        for start in stride(from: 0, to: file.bytes.count, by: piece) {
            let range = start..<min(start + piece, file.bytes.count)
            hash.update(UnsafeRawBufferPointer(rebasing: file.bytes[range]))
            file.discard(range)
        }
        return hash.digest().hexadecimal
    }
}

extension JSON {
    static func members(_ members: [(String, JSON)]) -> JSON {
        var object = JSON.Object()
        for (key, value) in members { object.append(key, value) }
        return .object(object)
    }
}
