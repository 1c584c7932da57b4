import ShrinkFormat
import ShrinkJSON

/// The pre-tokenizer of a `tokenizer.json` as stages of the runtime.
struct PreTokenizerStages {
    var stages: [PreTokenizerStage] = []
    /// Whether the pieces end up as byte-level text, which must be the last thing that happens.
    var isByteLevel = false

    static let gpt2Pattern = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#
    static let llama3Pattern = tiktokenPattern(digits: #"\p{N}{1,3}"#)
    static let qwen2Pattern = tiktokenPattern(digits: #"\p{N}"#)

    private static func tiktokenPattern(digits: String) -> String {
        #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits
            + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
    }

    /// The matchers of the runtime by the exact text of their pattern.
    private static let patterns: [(name: String, pattern: String, stage: PreTokenizerStage)] = [
        ("GPT-2", gpt2Pattern, PreTokenizerStage(.gpt2)),
        ("Llama 3", llama3Pattern, PreTokenizerStage(.tiktoken, 3)),
        ("Qwen2", qwen2Pattern, PreTokenizerStage(.tiktoken, 1)),
    ]

    init() {}

    init(_ field: JSONField) throws(TokenizerError) {
        try append(field)
        guard stages.count <= TokenizerFormat.maximumPreTokenizerStages else {
            throw field.error("the pre-tokenizer has \(stages.count) stages; at most \(TokenizerFormat.maximumPreTokenizerStages) are supported")
        }
    }

    private mutating func append(_ field: JSONField) throws(TokenizerError) {
        let type = try field.string("type")
        guard !isByteLevel else { throw field.error("a pre-tokenizer after ByteLevel is not supported") }
        switch type {
        case "Sequence": for element in try field.member("pretokenizers").elements() { try append(element) }
        case "BertPreTokenizer": stages.append(PreTokenizerStage(.bert))
        case "WhitespaceSplit": stages.append(PreTokenizerStage(.whitespaceSplit))
        case "Whitespace": stages.append(PreTokenizerStage(.words))
        case "Digits": stages.append(PreTokenizerStage(.digits, try field.bool("individual_digits", default: false) ? 1 : 0))
        case "ByteLevel":
            if try field.bool("add_prefix_space", default: true) { stages.append(PreTokenizerStage(.prefixSpace)) }
            if try field.bool("use_regex", default: true) { stages.append(PreTokenizerStage(.gpt2)) }
            isByteLevel = true
        case "Split": stages.append(try Self.split(field))
        default:
            throw field.error(
                "the pre-tokenizer \"\(type)\" is not supported; supported: BertPreTokenizer, ByteLevel, Digits, Split, "
                    + "Whitespace, WhitespaceSplit, Sequence")
        }
    }

    /// The known patterns match every character of a text, so isolating the matches and keeping only
    /// the matches are the same.
    private static func split(_ field: JSONField) throws(TokenizerError) -> PreTokenizerStage {
        let behavior = try field.string("behavior")
        let isInverted = try field.bool("invert", default: false)
        guard behavior == "Isolated" && !isInverted || behavior == "Removed" && isInverted else {
            throw field.error("the behavior \"\(behavior)\" (invert: \(isInverted)) is not supported; supported: Isolated")
        }
        let pattern = try field.member("pattern")
        guard let regex = pattern.optional("Regex") else {
            throw pattern.error("only patterns of the kind \"Regex\" are supported")
        }
        let text = try regex.string()
        guard let known = patterns.first(where: { $0.pattern == text }) else {
            throw regex.error(
                "the pattern \"\(text)\" is not supported; supported are exactly the patterns of "
                    + patterns.map { "\($0.name): \($0.pattern)" }.joined(separator: "   "))
        }
        return known.stage
    }
}
