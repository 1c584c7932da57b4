import ArgumentParser
import ShrinkCheckpoints
import ShrinkEvaluation
import ShrinkJSON

struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show how far a model's answers are from those of its original.",
        discussion: """
            --texts: embeddings of every line of a file that is not empty. With --json: {"texts": …, "mean_cosine": …, \
            "minimum_cosine": …, "same_nearest_neighbour": …}.

            --windows: next-token distributions over a text cut into windows. With --json: {"tokens": …, \
            "mean_kl": …, "largest_kl": …, "same_top_token": …}; the divergence is KL(original ‖ model) in nats.
            """)

    @Argument(help: "The model: a .shrink artifact or a checkpoint.") var model: String
    @Argument(help: "The original: a checkpoint (run in fp32) or an artifact.") var original: String
    @Option(help: "A file with one text a line.") var texts: String?
    @Option(help: "A text file for language models.") var windows: String?
    @Option(help: "Tokens of a window.") var context = 512
    @Option(help: "Stop after so many windows.") var limit: Int?
    @Flag(help: "Skip the checksum of the weights.") var noVerify = false
    @OptionGroup var options: RunOptions

    func validate() throws {
        if (texts == nil) == (windows == nil) { throw ValidationError("Give --texts FILE or --windows FILE.") }
        if context < 2 { throw ValidationError("--context must be at least 2.") }
        if let limit, limit < 1 { throw ValidationError("--limit must be positive.") }
    }

    func run() throws {
        let model = try TextModels.open(self.model, threads: options.threadCount, verify: !noVerify)
        let original = try TextModels.open(self.original, threads: options.threadCount, verify: !noVerify)
        if let texts { try compareTexts(model, original, texts) }
        if let windows { try compareWindows(model, original, windows) }
    }

    private func compareTexts(_ model: any TextModel, _ original: any TextModel, _ path: String) throws {
        let file = try MappedFile(path: path)
        let lines = String(decoding: file.bytes, as: UTF8.self).split(whereSeparator: \.isNewline).map(String.init)
        guard lines.count >= 2 else { throw CommandFailure("\(path): at least two texts are needed to compare embeddings") }
        let progress = Progress("compare", quiet: options.quiet)
        var vectors: (model: [[Float]], original: [[Float]]) = ([], [])
        for (index, line) in lines.enumerated() {
            try progress.update(index, lines.count)
            vectors.model.append(try model.row(.embed, line).values)
            vectors.original.append(try original.row(.embed, line).values)
        }
        let result = try EmbeddingAgreement(vectors.original, vectors.model)
        progress.finish("\(lines.count) texts")
        if options.json {
            Output.json([
                ("texts", .integer(result.texts)), ("mean_cosine", .number(result.meanCosine)),
                ("minimum_cosine", .number(result.minimumCosine)), ("same_nearest_neighbour", .number(result.sameNearestNeighbour)),
            ])
        } else {
            Output.line(
                "cosine mean \(Format.decimal(result.meanCosine, 5)), least \(Format.decimal(result.minimumCosine, 5)), same nearest neighbour \(Format.decimal(result.sameNearestNeighbour * 100, 1)) %, \(result.texts) texts")
        }
    }

    private func compareWindows(_ model: any TextModel, _ original: any TextModel, _ path: String) throws {
        for one in [model, original] {
            guard let longest = one.maximumTokens(.score) else { throw CommandFailure("both models must be language models; see --texts") }
            guard context <= longest else { throw CommandFailure("--context \(context) is longer than the model's \(longest)", exitCode: CommandFailure.usage) }
        }
        let file = try MappedFile(path: path)
        let text = String(decoding: file.bytes, as: UTF8.self)
        let tokens = try original.tokenizer.encode(text).tokens
        guard try model.tokenizer.encode(text).tokens == tokens else {
            throw CommandFailure("the two models have different tokenizers, so their distributions cannot be compared")
        }
        let count = min(tokens.count / context, limit ?? Int.max)
        guard count > 0 else { throw CommandFailure("\(path): \(tokens.count) tokens are less than one window of \(context); see --context") }
        let progress = Progress("compare", quiet: options.quiet)
        var agreement = LogitAgreement()
        for window in 0..<count {
            try progress.update(window, count)
            let piece = Array(tokens[window * context..<(window + 1) * context])
            let (first, width) = try Compare.logits(original, piece)
            let (second, otherWidth) = try Compare.logits(model, piece)
            guard width == otherWidth else { throw CommandFailure("the vocabularies have \(width) and \(otherWidth) tokens") }
            agreement.add(first, second, width: width)
        }
        progress.finish("\(count) windows of \(context) tokens")
        if options.json {
            Output.json([
                ("tokens", .integer(agreement.tokens)), ("mean_kl", .number(agreement.meanDivergence)),
                ("largest_kl", .number(agreement.largestDivergence)), ("same_top_token", .number(agreement.sameTopToken)),
            ])
        } else {
            Output.line(
                "KL mean \(Format.decimal(agreement.meanDivergence, 5)), largest \(Format.decimal(agreement.largestDivergence, 3)), same top token \(Format.decimal(agreement.sameTopToken * 100, 1)) %, \(agreement.tokens) tokens")
        }
    }

    private static func logits(_ model: any TextModel, _ tokens: [UInt32]) throws -> (values: [Float], width: Int) {
        var values: [Float] = []
        var width = 0
        try tokens.withUnsafeBufferPointer { tokens in
            try model.run(.score, tokens, segments: nil) { rows in
                for row in 0..<rows.count {
                    values += rows.row(row)
                    width = rows.row(row).count
                }
            }
        }
        return (values, width)
    }
}
