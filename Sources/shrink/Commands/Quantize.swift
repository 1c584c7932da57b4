import ArgumentParser
import Glibc
import ShrinkCheckpoints
import ShrinkFormat
import ShrinkJSON
import ShrinkModels
import ShrinkPacking
import ShrinkPasses
import ShrinkRuntime

extension Scheme: ExpressibleByArgument {}

struct Quantize: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Turn a checkpoint into a .shrink artifact.",
        discussion: """
            Schemes: w8a8, int8 weights with a scale for each output channel and activations quantized \
            for each token (the default); fp32, for debugging.

            The same checkpoint and options give the same bytes. With --json: \
            {"output": …, "scheme": …, "architecture": …, "bytes": …, "checkpoint_bytes": …, \
            "weights": …, "seconds": …, "peak_rss_bytes": …}.
            """)

    @Argument(help: "A Hugging Face model directory or a .gguf file.") var checkpoint: String
    @Option(name: [.short, .long], help: "The artifact to write; an existing one is replaced when the new one is complete.") var output: String
    @Option(help: "w8a8 or fp32.") var scheme: Scheme = .w8a8
    @Option(help: "The longest context to support (default: the model's own).") var context: Int?
    @Flag(help: "One JSON object.") var json = false
    @Flag(help: "No progress, no notes.") var quiet = false

    func validate() throws {
        if let context, context < 1 { throw ValidationError("--context must be positive.") }
    }

    func run() throws {
        if FileSize.of(checkpoint) > 0, ArtifactFile.isArtifact(checkpoint) {
            throw CommandFailure("\(checkpoint): already an artifact; give the checkpoint that it was made from", exitCode: CommandFailure.usage)
        }
        let start = Progress.now()
        let model = try ImportedModel.open(checkpoint)
        let tokenizer = try TokenizerFiles.load(checkpoint)
        guard tokenizer.vocabularySize <= model.vocabularySize else {
            throw CommandFailure(
                "\(checkpoint): the tokenizer has \(tokenizer.vocabularySize) tokens, the model only \(model.vocabularySize); they do not belong together")
        }
        if let input = model.files.first(where: { FileSize.isSameFile($0.path, output) }) {
            throw CommandFailure("\(output) is \(input.path), which is being read; write elsewhere", exitCode: CommandFailure.usage)
        }
        let compilation = try Compilation(model, scheme: scheme, context: context)
        let provenance = try Provenance(checkpoint: checkpoint, model: model, scheme: scheme, reports: compilation.reports.map(\.pass))
        let progress = Progress("quantize", quiet: quiet)
        let kind = compilation.entryPoints[0].kind
        do {
            try compilation.packed.write(
                to: output,
                PackedModel.Attachments(
                    manifest: provenance.manifest, tokenizer: try tokenizer.encodedTables(), license: provenance.license,
                    readme: provenance.readme),
                selfTest: { program, weights in
                    try SelfTestEntry.make(
                        program, weights, kind: kind, vocabularySize: model.vocabularySize,
                        maximumTokens: compilation.entryPoints[0].maximumTokens)
                },
                progress: { try progress.update($0, $1) })
        } catch let error as PackingError where error.code == .notFinite {
            throw CommandFailure("\(checkpoint): \(error)")
        }

        let bytes = FileSize.of(output)
        let checkpointBytes = model.files.reduce(0) { $0 + $1.bytes.count }
        progress.finish(
            "\(output), \(Format.bytes(bytes)) from a checkpoint of \(Format.bytes(checkpointBytes)), peak memory \(Format.bytes(ProcessMemory.peak)),",
            since: start)
        if json {
            Output.json([
                ("output", .string(output)), ("scheme", .string(scheme.rawValue)), ("architecture", .string(model.architecture)),
                ("bytes", .integer(bytes)), ("checkpoint_bytes", .integer(checkpointBytes)),
                ("weights", .integer(compilation.packed.weightByteCount)), ("seconds", .number(Progress.now() - start)),
                ("peak_rss_bytes", .integer(ProcessMemory.peak)),
            ])
        }
    }
}

/// The input and the digest by which a device proves that it computes what this machine did.
enum SelfTestEntry {
    static func make(
        _ program: UnsafeRawBufferPointer, _ weights: UnsafeRawBufferPointer, kind: EntryRecord.Kind, vocabularySize: Int,
        maximumTokens: Int
    ) throws -> [UInt8] {
        // Any tokens will do; these are spread over the vocabulary.
        let tokens = (1...min(16, maximumTokens)).map { UInt32($0 * 7919 % vocabularySize) }
        return try tokens.withUnsafeBufferPointer { tokens in
            let digest = try Model(program: program, weights: weights).outputDigest(kind: kind, tokens: tokens)
            var entry = [UInt8](repeating: 0, count: SelfTest.byteCount(tokenCount: tokens.count))
            entry.withUnsafeMutableBytes { SelfTest.write(kind: kind, tokens: tokens, digest: digest, to: $0.baseAddress!) }
            return entry
        }
    }
}

enum FileSize {
    static func isSameFile(_ a: String, _ b: String) -> Bool {
        var first = stat(), second = stat()
        return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }

    static func of(_ path: String) -> Int {
        var status = stat()
        return stat(path, &status) == 0 ? Int(status.st_size) : 0
    }
}
