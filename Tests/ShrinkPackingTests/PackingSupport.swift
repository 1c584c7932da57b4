import Foundation
import GoldenModels
import ShrinkFormat
import ShrinkGraph
import ShrinkJSON
import ShrinkPasses

@testable import ShrinkPacking

extension GoldenModel {
    /// The entry points of this model: for decoders both of them.
    func packed(_ scheme: Scheme, maximumPositions: Int? = nil) throws -> PackedModel {
        let model = try open()
        let positions = maximumPositions ?? model.maximumPositions
        var entries: [PackedModel.EntryPoint] = []
        func add(_ kind: EntryRecord.Kind, _ output: String, lastToken: Bool = false) throws {
            var graph = model.graph.extracting(outputs: [output])
            if lastToken { _ = try PassManager([.lastTokenOnly(output: output)]).run(on: &graph) }
            _ = try PassManager.compile(scheme).run(on: &graph)
            entries.append(.init(kind: kind, graph: graph, output: output, maximumTokens: positions))
        }
        switch mainOutput {
        case "logits":
            try add(.generate, "logits", lastToken: true)
            try add(.score, "logits")
        case "embedding": try add(.embed, "embedding")
        case "labels": try add(.classify, "labels")
        default: try add(.tag, "token_labels")
        }
        return try PackedModel(
            entryPoints: entries, vocabularySize: model.vocabularySize, maximumPositions: positions, labels: model.labels)
    }
}

/// A graph of one linear layer over an embedding, with these weights.
func linearModel(_ weights: [Float], rows: Int, columns: Int, quantized: Bool) throws -> PackedModel {
    var builder = GraphBuilder(name: "test")
    let tokens = try builder.input("tokens", ValueType(.int32, [.batch, .tokens]))
    func parameter(_ name: String, _ shape: [Int], _ values: [Float]) throws -> ValueID {
        try builder.parameter(
            name, ValueType(.float32, shape.map(Dimension.fixed)),
            Parameter(storedType: "f32", storedByteCount: 0, source: FloatArraySource(values)))
    }
    let table = try parameter("table", [3, columns], [Float](repeating: 1, count: 3 * columns))
    let x = try builder.add(.embedding(Embedding()), [tokens, table])
    let weight = try parameter("weight", [rows, columns], weights)
    try builder.output("hidden", try builder.add(.linear(Linear()), [x, weight], origin: "layer"))
    var graph = builder.graph
    _ = try PassManager.compile(quantized ? .w8a8 : .fp32).run(on: &graph)
    return try PackedModel(
        entryPoints: [.init(kind: .encode, graph: graph, output: "hidden", maximumTokens: 4)], vocabularySize: 3, maximumPositions: 4, labels: [])
}

/// A layer over made-up gates, as an entry point of that kind.
func recurrentModel(_ kind: EntryRecord.Kind, isReversed: Bool, copies: Int = 1, positions: Int? = nil) throws -> PackedModel {
    var builder = GraphBuilder(name: "test")
    let tokens = try builder.input("tokens", ValueType(.int32, [.batch, .tokens]))
    func parameter(_ name: String, _ shape: [Int]) throws -> ValueID {
        try builder.parameter(
            name, ValueType(.float32, shape.map(Dimension.fixed)),
            Parameter(storedType: "f32", storedByteCount: 0, source: FloatArraySource([Float](repeating: 0.5, count: shape.reduce(1, *)))))
    }
    let gates = try builder.add(.embedding(Embedding()), [tokens, parameter("table", [5, 12])])
    var states: [ValueID] = []
    for copy in 0..<copies {
        states.append(try builder.add(.recurrent(Recurrent(.gru, isReversed: isReversed)), [gates, parameter("w\(copy)", [12, 4])]))
    }
    let hidden = copies == 1 ? states[0] : try builder.add(.concatenate(Concatenate()), states)
    try builder.output("out", try builder.add(.linear(Linear()), [hidden, parameter("head", [5, 4 * copies])]))
    var graph = builder.graph
    _ = try PassManager.compile(.w8a8).run(on: &graph)
    return try PackedModel(
        entryPoints: [.init(kind: kind, graph: graph, output: "out", maximumTokens: 8)], vocabularySize: 5, maximumPositions: positions, labels: [])
}

extension PackedModel {
    func write(to path: String, progress: @escaping (Int, Int) throws -> Void = { _, _ in }) throws {
        let manifest = JSON.object({ var object = JSON.Object(); object.append("format", .integer(0)); return object }())
        try write(
            to: path, Attachments(manifest: manifest, tokenizer: [1, 2, 3], license: Array("free".utf8), readme: Array("# model\n".utf8)),
            selfTest: { _, _ in [9] }, progress: progress)
    }

    /// The bytes of the `weights` entry, as the self-test sees them.
    func weightBytes() throws -> [UInt8] {
        let scratch = try ScratchDirectory()
        var bytes: [UInt8] = []
        try write(
            to: scratch.file("model.shrink"), Attachments(manifest: .null, tokenizer: nil),
            selfTest: { _, weights in
                bytes = Array(weights)
                return nil
            }, progress: { _, _ in })
        return bytes
    }
}

func float(_ bytes: [UInt8], at offset: Int) -> Float { Float(bitPattern: integer(bytes, at: offset)) }

func integer<T: FixedWidthInteger & BitwiseCopyable>(_ bytes: [UInt8], at offset: Int) -> T {
    bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
}
