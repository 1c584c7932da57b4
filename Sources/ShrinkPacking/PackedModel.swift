import Glibc
import ShrinkFormat
import ShrinkGraph
import ShrinkJSON

/// A lowered model: its program is ready and the place of every weight is known, but no weight has
/// been read yet.
public struct PackedModel {
    /// An entry point and the compiled graph behind it.
    public struct EntryPoint {
        public var kind: EntryRecord.Kind
        public var graph: Graph
        public var output: String
        /// Most tokens of one step.
        public var maximumTokens: Int
        public var scores: EntryRecord.Scores

        public init(
            kind: EntryRecord.Kind, graph: Graph, output: String, maximumTokens: Int, scores: EntryRecord.Scores = .softmax
        ) {
            self.kind = kind
            self.graph = graph
            self.output = output
            self.maximumTokens = maximumTokens
            self.scores = scores
        }
    }

    /// The bytes of one parameter in the artifact.
    public struct StoredWeight {
        public var name: String
        /// `w8`, or `f32`.
        public var form: String
        public var byteCount: Int
    }

    public let program: [UInt8]
    private let weights: WeightTable

    /// Throws `PackingError` where a graph holds what the runtime cannot do, or sizes that it refuses.
    /// `maximumPositions` is the longest context that the artifact can be asked for; nil: any, which takes graphs that do
    /// not depend on positions (`Graph.dependsOnPositions`).
    public init(entryPoints: [EntryPoint], vocabularySize: Int, maximumPositions: Int?, labels: [String]) throws {
        for (name, size) in [("vocabulary", vocabularySize), ("context", maximumPositions ?? 1)] {
            guard 1...ProgramVerifier.Limit.rows ~= size else {
                throw PackingError(.unsupported, "a \(name) of \(size) is outside 1 to \(ProgramVerifier.Limit.rows), what the runtime takes")
            }
        }
        var image = ProgramImage()
        var table = WeightTable()
        for entry in entryPoints {
            guard let output = entry.graph.output(named: entry.output) else {
                throw PackingError(.unsupported, "the graph has no output \(entry.output)")
            }
            try Lowering.lower(entry, output: output, maximumPositions: maximumPositions, program: &image, weights: &table)
        }
        program = try image.bytes(weights: table, vocabularySize: vocabularySize, maximumPositions: maximumPositions, labels: labels)
        weights = table
        try verify()
    }

    /// Runs the reader's own checks, so that no artifact is written that no runtime would load.
    private func verify() throws {
        try program.withUnsafeBytes { bytes in
            do throws(RuntimeError) {
                let view = try ProgramView(bytes)
                let scratch = UnsafeMutableRawBufferPointer.allocate(
                    byteCount: ProgramVerifier.scratchByteCount(view), alignment: 16)
                defer { scratch.deallocate() }
                try ProgramVerifier.verify(view, weightByteCount: weights.byteCount, scratch: scratch)
            } catch {
                throw PackingError(.unsupported, "the runtime would refuse the program: \(error.message) (record \(error.detail))")
            }
        }
    }

    public var weightByteCount: Int { weights.byteCount }

    public var storedWeights: [StoredWeight] {
        let ends = weights.items.dropFirst().map(\.offset) + [weights.byteCount]
        return zip(weights.items, ends).map { item, end in
            StoredWeight(name: item.name, form: item.form == .packedInt8 ? "w8" : "f32", byteCount: end - item.offset)
        }
    }

    /// What goes into an artifact beside program and weights.
    public struct Attachments {
        public var manifest: JSON
        public var tokenizer: [UInt8]?
        public var license: [UInt8]?
        public var readme: [UInt8]?

        public init(manifest: JSON, tokenizer: [UInt8]?, license: [UInt8]? = nil, readme: [UInt8]? = nil) {
            self.manifest = manifest
            self.tokenizer = tokenizer
            self.license = license
            self.readme = readme
        }
    }

    /// Writes the artifact beside `target` and renames it into place; `target` is never half-written.
    ///
    /// `selfTest` makes the `selftest` entry from the program and the packed weights. `progress` is
    /// told bytes done and bytes in all, and may throw to cancel. Throws `PackingError`, what reading
    /// the parameters throws, and what the closures throw.
    public func write(
        to target: String, _ attachments: Attachments,
        selfTest: (_ program: UnsafeRawBufferPointer, _ weights: UnsafeRawBufferPointer) throws -> [UInt8]?,
        progress: @escaping (_ done: Int, _ total: Int) throws -> Void
    ) throws {
        try FileSink.checkTarget(target)
        // Weights pass through the disk twice: packed beside the target, then into the archive.
        let total = 2 * weightByteCount
        let staged = try FileSink(beside: target, isAnonymous: true)
        try WeightPacker(sink: staged) { try progress($0, total) }.write(weights)

        let archive = try FileSink(beside: target)
        try staged.withMapping { packed in
            let test = try program.withUnsafeBytes { try selfTest($0, packed) }
            var writer = try ArtifactWriter(archive)
            defer { writer.free() }
            try writer.add("manifest.json", Array((attachments.manifest.serialized + "\n").utf8))
            try writer.add("program", program)
            try writer.begin("weights", byteCount: packed.count)
            let piece = 1 << 20
            for start in stride(from: 0, to: packed.count, by: piece) {
                let end = min(start + piece, packed.count)
                try writer.write(UnsafeRawBufferPointer(rebasing: packed[start..<end]))
                staged.discard(start..<end, of: packed)
                try progress(weightByteCount + end, total)
            }
            try writer.end()
            if let tokenizer = attachments.tokenizer { try writer.add("tokenizer", tokenizer) }
            if let test { try writer.add("selftest", test) }
            if let license = attachments.license { try writer.add("LICENSE", license) }
            if let readme = attachments.readme { try writer.add("README.md", readme) }
            try writer.finish()
        }
        try archive.commit(as: target)
    }
}
