import ShrinkCompute
import ShrinkEvaluation
import ShrinkFormat
import ShrinkGraph
import ShrinkModels
import ShrinkRuntime
import ShrinkTokenizers

/// A model that can be asked with text: an artifact on the runtime, or a checkpoint in binary32 on the host.
protocol TextModel: AnyObject {
    var tokenizer: TextTokenizer { get }
    var labels: [String] { get }
    /// How the logits of `classify` become scores.
    var scores: EntryRecord.Scores { get }
    /// The longest input of an entry point (`Int.max`: any); nil when the model does not have it.
    func maximumTokens(_ kind: EntryRecord.Kind) -> Int?
    /// Runs one input from the start and hands over the rows of the result, in order, in pieces.
    func run(
        _ kind: EntryRecord.Kind, _ tokens: UnsafeBufferPointer<UInt32>, segments: [UInt32]?, consume: (LogitRows) -> Void
    ) throws
}

extension TextModel {
    /// An artifact need not name its labels.
    func label(_ index: Int) -> String { labels.indices.contains(index) ? labels[index] : "LABEL_\(index)" }

    /// The only row of the result for a text, such as its embedding. `wasCut` tells of a text that was too long.
    func row(_ kind: EntryRecord.Kind, _ text: String, pair: String? = nil) throws -> (values: [Float], wasCut: Bool) {
        guard let limit = maximumTokens(kind) else {
            throw CommandFailure("this model has no entry point \"\(kind.name)\"; `shrink inspect` lists what it has")
        }
        let (encoding, wasCut) = try tokenizer.encode(text, pair: pair, limit: limit)
        guard !encoding.tokens.isEmpty else {
            throw CommandFailure("an empty text: the model's tokenizer makes no token of it; leave it out")
        }
        var values: [Float] = []
        try encoding.tokens.withUnsafeBufferPointer { tokens in
            try run(kind, tokens, segments: encoding.segments) { rows in values = Array(rows.row(0)) }
        }
        guard values.allSatisfy(\.isFinite) else {
            throw CommandFailure("the model's answer is not a number; its weights are damaged or its training diverged")
        }
        return (values, wasCut)
    }
}

enum TextModels {
    static func open(_ path: String, threads: Int, verify: Bool = true) throws -> any TextModel {
        ArtifactFile.isArtifact(path)
            ? try ArtifactTextModel(path, threads: threads, verify: verify) : try CheckpointTextModel(path, threads: threads)
    }
}

final class ArtifactTextModel: TextModel {
    let tokenizer: TextTokenizer
    let labels: [String]
    private let model: Model
    private let threads: Int
    private let instructionSet: InstructionSet?
    private var session: Session?
    /// Of the session at hand.
    private var kind: EntryRecord.Kind?
    private var context = 0
    private var chunk = 1

    init(_ path: String, threads: Int, verify: Bool) throws {
        model = try ArtifactFile.open(path, verify: verify)
        guard let tables = model.bytes(of: .tokenizer) else {
            throw CommandFailure("\(path): the artifact has no tokenizer; pack it again from a checkpoint that has one")
        }
        tokenizer = try TextTokenizer(tables: tables)
        let program = model.program
        try tokenizer.check(fits: Int(program.header.vocabularySize), of: path)
        labels = (0..<Int(program.header.labelCount)).map { index in
            program.label(index).map { String(decoding: $0, as: UTF8.self) } ?? ""
        }
        self.threads = threads
        instructionSet = try ArtifactFile.forcedInstructionSet()
    }

    var scores: EntryRecord.Scores { model.program.entry(.classify)?.scores ?? .softmax }

    func maximumTokens(_ kind: EntryRecord.Kind) -> Int? {
        model.program.entry(kind).map { kind.isIncremental ? model.program.header.positionLimit ?? .max : Int($0.maximumTokens) }
    }

    /// A session of that kind with room for `context` tokens; the one at hand when it fits.
    private func prepare(_ kind: EntryRecord.Kind, context: Int) throws {
        if kind == self.kind, context <= self.context { return }
        session = nil
        self.kind = nil
        var options = SessionOptions(kind: kind)
        options.context = kind.isIncremental ? context : maximumTokens(kind)
        options.threads = threads
        options.instructionSet = instructionSet
        options.cancelFlag = UnsafePointer(Interrupt.flag)
        let session = try Session(model, options)
        self.context = session.context
        chunk = session.chunk
        self.session = consume session
        self.kind = kind
    }

    func run(
        _ kind: EntryRecord.Kind, _ tokens: UnsafeBufferPointer<UInt32>, segments: [UInt32]?, consume: (LogitRows) -> Void
    ) throws {
        try prepare(kind, context: tokens.count)
        session!.reset()
        guard kind == .score else {
            try (segments ?? [UInt32](repeating: 0, count: tokens.count)).withUnsafeBufferPointer { segments in
                let output = try session!.feed(tokens, segments: segments)
                consume(LogitRows(firstToken: 0, count: output.rowCount) { output[$0] })
            }
            return
        }
        for start in stride(from: 0, to: tokens.count, by: chunk) {
            let piece = UnsafeBufferPointer(rebasing: tokens[start..<min(start + chunk, tokens.count)])
            let output = try session!.step(piece)
            consume(LogitRows(firstToken: start, count: output.rowCount) { output[$0] })
        }
    }
}

final class CheckpointTextModel: TextModel {
    let tokenizer: TextTokenizer
    let labels: [String]
    private let model: ImportedModel
    private let parameters = ParameterCache()
    private let threads: HostThreads
    private var executor: (output: String, value: HostExecutor)?

    init(_ path: String, threads: Int) throws {
        model = try ImportedModel.open(path)
        labels = model.labels
        tokenizer = try TextTokenizer(TokenizerFiles.load(path))
        try tokenizer.check(fits: model.vocabularySize, of: path)
        self.threads = HostThreads(threads)
    }

    var scores: EntryRecord.Scores { model.scores }

    func maximumTokens(_ kind: EntryRecord.Kind) -> Int? {
        guard model.graph.output(named: kind.graphOutput) != nil else { return nil }
        return kind.isIncremental ? model.maximumPositions : model.maximumInputTokens
    }

    func run(
        _ kind: EntryRecord.Kind, _ tokens: UnsafeBufferPointer<UInt32>, segments: [UInt32]?, consume: (LogitRows) -> Void
    ) throws {
        try Interrupt.check()
        let output = kind.graphOutput
        if executor?.output != output {
            executor = (output, try HostExecutor(model.graph.extracting(outputs: [output]), parameters: parameters, threads: threads))
        }
        let result = try executor!.value.run(
            tokens: tokens.map { Int32(bitPattern: $0) }, segments: segments?.map { Int32(bitPattern: $0) })
        guard let tensor = result[output] else { throw CommandFailure("the model has no output \(output)") }
        consume(LogitRows(firstToken: 0, count: tensor.rowCount) { tensor.row($0) })
    }
}

extension EntryRecord.Kind {
    /// The graph output that this entry point computes.
    var graphOutput: String {
        switch self {
        case .generate, .score: "logits"
        case .embed: "embedding"
        case .classify: "labels"
        case .tag: "token_labels"
        case .encode: "hidden"
        }
    }
}
