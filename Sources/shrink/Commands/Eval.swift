import ArgumentParser
import ShrinkCheckpoints
import ShrinkEvaluation
import ShrinkJSON
import ShrinkTraining

struct Eval: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure the quality of a checkpoint (in fp32) or of an artifact.",
        discussion: """
            --perplexity: the text is tokenised once and cut into windows of --context tokens that do not \
            overlap; each starts from nothing, the tail is dropped, and every token but the first of a window \
            is predicted. With --json: {"perplexity": …, "standard_error": …, "tokens": …, "windows": …, \
            "context": …, "beginning_token": bool, "seconds": …}; the error is that of the mean log-likelihood.

            --similarity: cosine of sentence embeddings against human scores. With --json: \
            {"spearman": …, "pearson": …, "pairs": …}.

            --classification: the likeliest label of every row against the right one; rows are those of `shrink train`. With \
            --json: {"accuracy": …, "f1": …, "rows": …}; F1 is the mean over the labels.
            """)

    @Argument(help: "A .shrink artifact or a checkpoint.") var model: String
    @Option(help: "A text file; gives the perplexity of a language model.") var perplexity: String?
    @Option(help: "Tokens of a window (default: 2048, or the model's context).") var context: Int?
    @Option(help: "A tab-separated file of score, sentence, sentence; gives the correlation with the scores. A first line whose score is no number is a heading.") var similarity: String?
    @Option(help: "The columns of score, first and second sentence, counted from 1.") var columns = "1,2,3"
    @Option(help: "A .tsv, .csv or .jsonl file of texts with their labels; gives accuracy and F1.") var classification: String?
    @Option(help: "--classification: the column of the text, by name or, where there is no row of names, by number (default: text).") var textColumn: String?
    @Option(help: "--classification: the column of the second text of pairs.") var pairColumn: String?
    @Option(help: "--classification: the column of the label (default: label).") var labelColumn: String?
    @Flag(help: "Skip the checksum of the weights.") var noVerify = false
    @OptionGroup var options: RunOptions

    func validate() throws {
        guard [perplexity, similarity, classification].count(where: { $0 != nil }) == 1 else {
            throw ValidationError("Give --perplexity FILE, --similarity FILE or --classification FILE.")
        }
        if classification == nil, textColumn != nil || pairColumn != nil || labelColumn != nil {
            throw ValidationError("--text-column, --pair-column and --label-column are for --classification.")
        }
        if let context, context < 2 { throw ValidationError("--context must be at least 2.") }
        _ = try columnNumbers()
    }

    private func columnNumbers() throws -> (score: Int, first: Int, second: Int) {
        let numbers = columns.split(separator: ",").compactMap { Int($0) }
        guard numbers.count == 3, numbers.allSatisfy({ 1...10_000 ~= $0 }) else {
            throw ValidationError("--columns must be three numbers from 1, such as 5,6,7.")
        }
        return (numbers[0], numbers[1], numbers[2])
    }

    func run() throws {
        let model = try TextModels.open(self.model, threads: options.threadCount, verify: !noVerify)
        if let perplexity { try measurePerplexity(model, perplexity) }
        if let similarity { try measureSimilarity(model, similarity) }
        if let classification { try measureClassification(model, classification) }
    }

    private func measureClassification(_ model: any TextModel, _ path: String) throws {
        guard let limit = model.maximumTokens(.classify), model.scores != .value else {
            throw CommandFailure("\(self.model): the model does not classify texts; `shrink inspect` tells what it can")
        }
        let columns = [textColumn ?? "text", labelColumn ?? "label"] + (pairColumn.map { [$0] } ?? [])
        let reader = try RowReader(path: path, columns: columns.map { DataColumn($0) }, badRows: BadRows(maximumShare: 0))
        let progress = Progress("classification", quiet: options.quiet)
        var agreement: ClassAgreement?, cut = 0
        while let fields = try reader.next() {
            try progress.update(reader.consumed, reader.byteCount)
            let (logits, wasCut) = try model.row(.classify, fields[0].text, pair: fields.count > 2 ? fields[2].text : nil)
            if wasCut { cut += 1 }
            guard let right = Self.place(of: fields[1].text, among: logits.indices.map(model.label)) else {
                let known = logits.indices.prefix(20).map(model.label).joined(separator: ", ")
                throw CommandFailure("\(path), line \(reader.line): the model has no label \"\(fields[1].text.prefix(40))\"; it has \(known)")
            }
            var sums = agreement ?? ClassAgreement(classes: logits.count)
            sums.add(predicted: logits.indices.max { logits[$0] < logits[$1] } ?? 0, actual: right)
            agreement = sums
        }
        guard let agreement else { throw CommandFailure("\(path): there are no rows to classify") }
        progress.finish("\(agreement.count) rows")
        if cut > 0, !options.quiet { Output.message("note: \(cut) texts were cut to \(limit) tokens") }
        if options.json {
            Output.json([("accuracy", .number(agreement.accuracy)), ("f1", .number(agreement.macroF1)), ("rows", .integer(agreement.count))])
        } else {
            Output.line("accuracy \(Format.decimal(agreement.accuracy * 100, 2)) %, F1 \(Format.decimal(agreement.macroF1 * 100, 2)) %, \(agreement.count) rows")
        }
    }

    /// By its name or, where names are no numbers, by its number, as `shrink train` takes labels.
    private static func place(of label: String, among names: [String]) -> Int? {
        if let place = names.firstIndex(of: label) { return place }
        guard let number = Int(label), names.indices.contains(number), !names.contains(where: { Int($0) != nil }) else { return nil }
        return number
    }

    private func measurePerplexity(_ model: any TextModel, _ path: String) throws {
        guard let limit = model.maximumTokens(.score) else {
            throw CommandFailure("\(self.model): not a language model, so it has no perplexity; see --similarity")
        }
        let window = context ?? min(2048, limit)
        guard window <= limit else { throw CommandFailure("--context \(window) is longer than the model's \(limit)", exitCode: CommandFailure.usage) }
        let tokens = try model.tokenizer.encode(readText(path: path)).tokens
        let progress = Progress("perplexity", quiet: options.quiet)
        let start = Progress.now()
        let result = try Perplexity.measure(tokens: tokens, context: window, progress: { try progress.update($0, $1) }) { tokens, consume in
            try model.run(.score, tokens, segments: nil, consume: consume)
        }
        guard result.value.isFinite else {
            throw CommandFailure("\(self.model): the perplexity is not a finite number; the weights are damaged or the training diverged")
        }
        progress.finish("\(result.windows) windows of \(window) tokens")
        let beginsWithToken = try !model.tokenizer.encode("").tokens.isEmpty
        if options.json {
            Output.json([
                ("perplexity", .number(result.value)), ("standard_error", .number(result.standardError)),
                ("tokens", .integer(result.tokens)), ("windows", .integer(result.windows)), ("context", .integer(window)),
                ("beginning_token", .bool(beginsWithToken)), ("seconds", .number(Progress.now() - start)),
            ])
        } else {
            Output.line(
                "perplexity \(Format.decimal(result.value, 4)) (log-likelihood ± \(Format.decimal(result.standardError, 4))), \(result.tokens) tokens predicted in \(result.windows) windows of \(window)")
        }
    }

    private func measureSimilarity(_ model: any TextModel, _ path: String) throws {
        let data = try SentencePairs(parsing: readText(path: path), columns: columnNumbers(), file: path)
        let progress = Progress("similarity", quiet: options.quiet)
        var cut = 0
        let result = try SimilarityResult(data, progress: { try progress.update($0, $1) }) { text in
            let (vector, wasCut) = try model.row(.embed, text)
            if wasCut { cut += 1 }
            return vector
        }
        progress.finish("\(result.pairs) pairs")
        if cut > 0, !options.quiet { Output.message("note: \(cut) sentences were cut to \(model.maximumTokens(.embed) ?? 0) tokens") }
        if options.json {
            Output.json([("spearman", .number(result.spearman)), ("pearson", .number(result.pearson)), ("pairs", .integer(result.pairs))])
        } else {
            Output.line("spearman \(Format.decimal(result.spearman, 4)), pearson \(Format.decimal(result.pearson, 4)), \(result.pairs) pairs")
        }
    }
}
