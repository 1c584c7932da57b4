import ShrinkFormat
import ShrinkGraph
import ShrinkModels
import ShrinkPacking
import ShrinkPasses

/// A checkpoint's graph compiled for every entry point that it has the outputs for.
struct Compilation {
    var packed: PackedModel
    var entryPoints: [PackedModel.EntryPoint]
    /// What each pass did, by entry point.
    var reports: [(kind: EntryRecord.Kind, pass: PassReport)] = []

    /// Most tokens of one step of a causal model; a session takes fewer as it likes.
    static let maximumStepTokens = 512

    init(_ model: ImportedModel, scheme: Scheme, context: Int?) throws {
        let positions = context ?? model.maximumPositions
        guard positions <= model.maximumPositions else {
            throw CommandFailure("--context \(positions) is longer than the model's \(model.maximumPositions)", exitCode: CommandFailure.usage)
        }
        entryPoints = []
        let isCausal = model.graph.output(named: "logits") != nil
        for kind in [EntryRecord.Kind.generate, .score, .embed, .classify, .tag, .encode] {
            let output = kind.graphOutput
            // The hidden states of a causal model are nobody's wish; its logits are.
            guard model.graph.output(named: output) != nil, !(kind == .encode && isCausal) else { continue }
            var graph = model.graph.extracting(outputs: [output])
            let passes = (kind == .generate ? [Pass.lastTokenOnly(output: output)] : []) + PassManager.compile(scheme).passes
            reports += try PassManager(passes).run(on: &graph).map { (kind, $0) }
            entryPoints.append(
                PackedModel.EntryPoint(
                    kind: kind, graph: graph, output: output,
                    maximumTokens: kind.isIncremental ? min(positions, Compilation.maximumStepTokens) : min(positions, model.maximumInputTokens),
                    scores: kind == .classify ? model.scores : .softmax))
        }
        do {
            packed = try PackedModel(
                entryPoints: entryPoints, vocabularySize: model.vocabularySize,
                maximumPositions: context == nil && isCausal && !model.graph.dependsOnPositions ? nil : positions, labels: model.labels)
        } catch let error as PackingError {
            throw CommandFailure("\(model.files.first?.path ?? ""): \(error); --context makes a long context shorter")
        }
    }
}

extension ImportedModel {
    /// What the outputs of its labels are.
    var scores: EntryRecord.Scores {
        if case .regression = task { return .value }
        return labelsAreIndependent ? .sigmoid : .softmax
    }
}

extension EntryRecord.Kind {
    var name: String {
        switch self {
        case .generate: "generate"
        case .score: "score"
        case .embed: "embed"
        case .classify: "classify"
        case .tag: "tag"
        case .encode: "encode"
        }
    }
}
