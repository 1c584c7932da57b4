import ArgumentParser
import Glibc
import ShrinkJSON

struct Classify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Label texts, or every token of them.",
        discussion: """
            One line for each text: the likeliest label, tab, probability. With --json: {"text": …, "pair": … (when given), \
            "label": …, "scores": {label: probability}}. Probabilities add up to 1, except for models with labels that may \
            hold together (sigmoid); a regression has its value in their place. Special tokens spelled out in a text count as plain text. \
            For models that label tokens: token, tab, label, tab, probability, and an empty line after each text; \
            with --json: {"text": …, "tokens": [{"token": …, "label": …, "score": …}]}.
            """)

    @Argument(help: "A .shrink artifact, or a checkpoint to run in fp32.") var model: String
    @OptionGroup var input: TextInput
    @Option(help: "The second text of a pair, for models that compare two.") var pair: String?
    @Flag(help: "Skip the checksum of the weights.") var noVerify = false
    @OptionGroup var options: RunOptions

    func run() throws {
        let model = try TextModels.open(self.model, threads: options.threadCount, verify: !noVerify)
        if model.maximumTokens(.classify) == nil, model.maximumTokens(.tag) != nil {
            try input.forEach(quiet: options.quiet) { try tag($0, model) }
        } else {
            try input.forEach(quiet: options.quiet) { try classify($0, model) }
        }
    }

    private func classify(_ text: String, _ model: any TextModel) throws {
        let (logits, wasCut) = try model.row(.classify, text, pair: pair)
        let scores = switch model.scores {
        case .softmax: Classify.softmax(logits)
        case .sigmoid: logits.map { 1 / (1 + exp(-Double($0))) }
        case .value: logits.map(Double.init)
        }
        let best = scores.indices.max { scores[$0] < scores[$1] } ?? 0
        if options.json {
            var members: [(String, JSON)] = [("text", .string(text))]
            if let pair { members.append(("pair", .string(pair))) }
            members.append(("label", .string(model.label(best))))
            members.append(("scores", .members(scores.enumerated().map { (model.label($0), .number($1)) })))
            Output.json(members)
        } else {
            Output.line("\(model.label(best))\t\(Format.decimal(scores[best], 4))")
        }
        if wasCut, !options.quiet { Output.message("note: a text was cut to \(model.maximumTokens(.classify) ?? 0) tokens") }
    }

    private func tag(_ text: String, _ model: any TextModel) throws {
        let (encoding, wasCut) = try model.tokenizer.encode(text, pair: pair, limit: model.maximumTokens(.tag) ?? 0)
        guard !encoding.tokens.isEmpty else {
            throw CommandFailure("an empty text: the model's tokenizer makes no token of it; leave it out")
        }
        var tagged: [(token: String, label: String, score: Double)] = []
        var labels: [(Int, Double)] = []
        try encoding.tokens.withUnsafeBufferPointer { tokens in
            try model.run(.tag, tokens, segments: encoding.segments) { rows in
                for row in 0..<rows.count {
                    let scores = Classify.softmax(Array(rows.row(row)))
                    let best = scores.indices.max { scores[$0] < scores[$1] } ?? 0
                    labels.append((best, scores[best]))
                }
            }
        }
        for (token, (label, score)) in zip(encoding.tokens, labels) {
            tagged.append((try model.tokenizer.text(of: token), model.label(label), score))
        }
        if options.json {
            let tokens = tagged.map { JSON.members([("token", .string($0.token)), ("label", .string($0.label)), ("score", .number($0.score))]) }
            Output.json([("text", .string(text)), ("tokens", .array(tokens))])
        } else {
            for (token, label, score) in tagged { Output.line("\(token)\t\(label)\t\(Format.decimal(score, 4))") }
            Output.line("")
        }
        if wasCut, !options.quiet { Output.message("note: a text was cut to \(model.maximumTokens(.tag) ?? 0) tokens") }
    }

    private static func softmax(_ logits: [Float]) -> [Double] {
        let largest = Double(logits.max() ?? 0)
        let weights = logits.map { exp(Double($0) - largest) }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }
}
