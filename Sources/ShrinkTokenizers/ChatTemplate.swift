/// The chat templates that the runtime can fill in, recognised by what is essential in their Jinja.
enum ChatTemplate: Sendable, Equatable {
    case none
    /// `<|im_start|>role\ncontent<|im_end|>\n`, with a system message where the conversation has none.
    case chatML(name: String, defaultSystemMessage: String)

    static let start = "<|im_start|>"
    static let end = "<|im_end|>"

    private static let known: [(name: String, defaultSystemMessage: String)] = [
        ("smollm2", "You are a helpful AI assistant named SmolLM, trained by Hugging Face"),
        ("qwen2.5", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
        ("qwen2", "You are a helpful assistant."),
    ]

    /// `none` for a template that is not one of the known ones: chat is then refused when asked for.
    init(jinja: String) {
        guard jinja.contains(Self.start), jinja.contains(Self.end) else {
            self = .none
            return
        }
        if let match = Self.known.first(where: { jinja.contains($0.defaultSystemMessage) }) {
            self = .chatML(name: match.name, defaultSystemMessage: match.defaultSystemMessage)
        } else if jinja.contains("system") || jinja.contains("think") || jinja.contains("trim") {
            self = .none
        } else {
            self = .chatML(name: "chatml", defaultSystemMessage: "")
        }
    }

    var name: String? { if case .chatML(let name, _) = self { name } else { nil } }
}
