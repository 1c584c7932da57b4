import GoldenModels
import ShrinkCompute
import ShrinkGraph
import ShrinkJSON
import ShrinkPacking
import ShrinkPasses
import ShrinkRuntime

import struct ShrinkFormat.EntryRecord

/// A golden model, compiled, packed to a file and opened by the runtime.
final class PackedGolden {
    let golden: GoldenModel
    let scheme: Scheme
    let kinds: [EntryRecord.Kind]
    /// The compiled graph of all tokens, which the host can run.
    let graph: Graph
    let model: Model
    private let scratch: ScratchDirectory

    /// - Parameter table: numbers of parameters that were trained.
    init(_ golden: GoldenModel, _ scheme: Scheme, reading table: ParameterTable? = nil) throws {
        self.golden = golden
        self.scheme = scheme
        var imported = try golden.open()
        if let table { imported.graph = imported.graph.reading(table) }
        let output = golden.mainOutput
        let source = imported.graph
        func compiled(lastToken: Bool) throws -> Graph {
            var graph = source.extracting(outputs: [output])
            if lastToken { _ = try PassManager([.lastTokenOnly(output: output)]).run(on: &graph) }
            _ = try PassManager.compile(scheme).run(on: &graph)
            return graph
        }
        graph = try compiled(lastToken: false)
        let kinds: [EntryRecord.Kind] = switch output {
        case "logits": [.score, .generate]
        case "embedding": [.embed]
        case "labels": [.classify]
        default: [.tag]
        }
        self.kinds = kinds
        let entries = try kinds.map { kind in
            PackedModel.EntryPoint(
                kind: kind, graph: try compiled(lastToken: kind == .generate), output: output, maximumTokens: imported.maximumPositions)
        }
        let packed = try PackedModel(
            entryPoints: entries, vocabularySize: imported.vocabularySize,
            maximumPositions: golden.isDecoder && !graph.dependsOnPositions ? nil : imported.maximumPositions, labels: imported.labels)
        let scratch = try ScratchDirectory()
        self.scratch = scratch
        let path = scratch.file("model.shrink")
        try packed.write(to: path, .init(manifest: .null, tokenizer: nil), selfTest: { _, _ in nil }, progress: { _, _ in })
        self.model = try Model(path: path)
    }

    /// The output rows of the golden's tokens, fed in steps of `chunk`; for `score`, those of all steps.
    func run(_ kind: EntryRecord.Kind, isa: InstructionSet? = nil, threads: Int = 1, chunk: Int? = nil) throws -> [Float] {
        var options = SessionOptions(kind: kind)
        options.instructionSet = isa
        options.threads = threads
        if kind.isIncremental { options.chunk = chunk } else { options.context = golden.tokens.count }
        var session = try Session(model, options)
        let tokens = golden.tokens.map { UInt32($0) }, segments = golden.segments?.map { UInt32($0) }
        let step = kind.isIncremental ? session.chunk : tokens.count
        var result: [Float] = []
        for start in stride(from: 0, to: tokens.count, by: step) {
            let end = min(start + step, tokens.count)
            try tokens[start..<end].withUnsafeBufferPointer { tokens in
                func collect(_ output: SessionOutput) {
                    if kind == .generate { result = [] }
                    for row in 0..<output.rowCount { result += output[row] }
                }
                if let segments {
                    try segments[start..<end].withUnsafeBufferPointer { collect(try session.step(tokens, segments: $0)) }
                } else {
                    collect(try session.step(tokens))
                }
            }
        }
        return result
    }

    /// The same graph on the host, with the numbers that codes stand for.
    func runOnHost() throws -> [Float] {
        guard let output = try HostExecutor(graph).run(tokens: golden.tokens, segments: golden.segments)[golden.mainOutput] else { return [] }
        return output.floats
    }
}
