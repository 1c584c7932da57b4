import ArgumentParser
import Glibc
import ShrinkJSON
import ShrinkTokenizers
import ShrinkTraining

extension TokenizerRecipe.Kind: ExpressibleByArgument {}

struct TrainTokenizer: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Train a tokenizer on text files.",
        discussion: """
            Kinds: bpe, byte-level BPE with the word pattern of GPT-2; wordpiece, as BERT. The directory gets tokenizer.json, \
            tokenizer_config.json and for wordpiece vocab.txt, which Hugging Face tokenizers and transformers read, too.

            Files are UTF-8 text, perhaps compressed (gzip, zstd, xz, bzip2). They are read line by line; what takes memory \
            is the distinct words. The same files and options give the same tokenizer. Bad lines (not UTF-8, zero bytes, a word \
            of more than 64 KiB, more than 16 MiB) are named with file and number and left out, as long as they are few.

            With --json: {"output": …, "kind": …, "vocabulary": …, "merges": …, "words": …, "distinct_words": …, \
            "lines": …, "bad_lines": …, "seconds": …, "peak_rss_bytes": …}.
            """)

    @Argument(help: "Text files.") var files: [String]
    @Option(name: [.short, .long], help: "The directory to write to; it is made if need be.") var output: String
    @Option(help: "bpe or wordpiece.") var kind: TokenizerRecipe.Kind
    @Option(help: "How many tokens in all, with special ones and the alphabet.") var vocabularySize: Int
    @Option(help: "Pairs that are rarer are not merged.") var minFrequency = 2
    @Option(help: "More special tokens, with commas between them, after the kind's own: <|endoftext|>, or [PAD], [UNK], [CLS], [SEP], [MASK].")
    var specialTokens: String?
    @Flag(inversion: .prefixedNo, help: "Ignore case, and with wordpiece accents (default: wordpiece does, bpe does not).")
    var lowercase: Bool?
    @Option(help: "wordpiece: at most so many different characters, the most frequent ones.") var limitAlphabet: Int?
    @Option(help: "The share of lines that may be bad.") var maxBadLines = 0.01
    @Flag(help: "One JSON object.") var json = false
    @Flag(help: "No progress, no notes.") var quiet = false

    func validate() throws {
        if files.isEmpty { throw ValidationError("Give at least one file.") }
        if !(1...TokenizerDefinition.maximumVocabulary ~= vocabularySize) {
            throw ValidationError("--vocabulary-size must be from 1 to \(TokenizerDefinition.maximumVocabulary).")
        }
        if minFrequency < 1 { throw ValidationError("--min-frequency must be positive.") }
        if !(0...1 ~= maxBadLines) { throw ValidationError("--max-bad-lines must be from 0 to 1.") }
        if let limitAlphabet {
            if kind != .wordPiece { throw ValidationError("--limit-alphabet is for wordpiece; bpe has the 256 bytes.") }
            if limitAlphabet < 1 { throw ValidationError("--limit-alphabet must be positive.") }
        }
    }

    /// Readers of the directory could take files of another tokenizer that would stay there.
    private func refuseOtherTokenizer() throws {
        let others = ["vocab.json", "merges.txt", "tokenizer.model", "added_tokens.json", "special_tokens_map.json"] + (kind != .wordPiece ? ["vocab.txt"] : [])
        if let name = others.first(where: { access("\(output)/\($0)", F_OK) == 0 }) {
            throw CommandFailure(
                "\(output) has \(name) of another tokenizer, which would not be replaced; remove it, or choose another directory",
                exitCode: CommandFailure.inputOutput)
        }
    }

    func run() throws {
        var recipe = TokenizerRecipe(kind, vocabularySize: vocabularySize)
        recipe.minimumCount = minFrequency
        recipe.maximumAlphabet = limitAlphabet
        if let lowercase { recipe.lowercases = lowercase }
        recipe.extraSpecialTokens = specialTokens?.split(separator: ",").map(String.init) ?? []

        let start = Progress.now()
        let directory = try OutputDirectory(output)
        try refuseOtherTokenizer()
        let reading = Progress("read", quiet: quiet)
        let badLines = BadRows(maximumShare: maxBadLines) { error in
            reading.clear()
            if !quiet { Output.message("note: \("\(error)".onOneLine); left out") }
        }
        let words = try recipe.countWords(in: files, badRows: badLines, progress: reading.update)
        reading.clear()
        let merging = Progress("merge", quiet: quiet)
        let trained = try recipe.train(on: words, progress: merging.update)
        merging.clear()
        try directory.write(trained.files())

        if !quiet, trained.vocabularySize < vocabularySize {
            Output.message(
                "note: the text gives only \(trained.vocabularySize) tokens: no pair of tokens is left that occurs \(minFrequency) times")
        }
        if !quiet, badLines.count > 0 { Output.message("note: \(badLines.count) of \(badLines.rows) lines were bad and left out") }
        Progress("tokenizer train", quiet: quiet).finish(
            "\(output), \(trained.vocabularySize) tokens from \(words.total) words, \(words.count) of them distinct, peak memory \(Format.bytes(ProcessMemory.peak)),",
            since: start)
        if json {
            Output.json([
                ("output", .string(output)), ("kind", .string(kind.rawValue)), ("vocabulary", .integer(trained.vocabularySize)),
                ("merges", .integer(trained.mergeCount)), ("words", .integer(words.total)), ("distinct_words", .integer(words.count)),
                ("lines", .integer(badLines.rows)), ("bad_lines", .integer(badLines.count)), ("seconds", .number(Progress.now() - start)),
                ("peak_rss_bytes", .integer(ProcessMemory.peak)),
            ])
        }
    }
}
