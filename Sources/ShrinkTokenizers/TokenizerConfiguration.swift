import ShrinkFormat
import ShrinkJSON

/// What `tokenizer_config.json` says about a tokenizer: names of tokens with a role, BERT's options
/// and the chat template.
struct TokenizerConfiguration {
    let root: JSONField
    private(set) var roles: [SpecialToken: String] = [:]
    private(set) var chatTemplate: String?

    private static let roleNames: [(SpecialToken, String)] = [
        (.unknown, "unk_token"), (.beginning, "bos_token"), (.end, "eos_token"), (.padding, "pad_token"),
        (.classification, "cls_token"), (.separator, "sep_token"), (.mask, "mask_token"),
    ]

    init(_ json: JSON, file: String) throws(TokenizerError) {
        root = JSONField(file: file, json)
        guard json.object != nil else { throw root.error("expected an object") }
        for (role, name) in Self.roleNames {
            guard let field = root.optional(name) else { continue }
            if let text = field.value.string { roles[role] = text } else { roles[role] = try field.string("content") }
        }
        if let field = root.optional("chat_template") {
            if let text = field.value.string {
                chatTemplate = text
            } else {
                // Several templates with names; the one named "default" is meant.
                for element in try field.elements() where try element.string("name") == "default" {
                    chatTemplate = try element.string("template")
                }
            }
        }
    }

    func bool(_ name: String, default standard: Bool) throws(TokenizerError) -> Bool { try root.bool(name, default: standard) }
}

extension TokenizerDefinition {
    /// Takes over roles and the chat template; names that are no token are left out, as a model that
    /// has never seen them cannot use them.
    mutating func apply(_ configuration: TokenizerConfiguration, idOf: (String) -> Int?) {
        for (role, name) in configuration.roles {
            if let id = idOf(name) { specialTokens[role] = id }
        }
        if let end = specialTokens[.end], !stopTokens.contains(end) { stopTokens.append(end) }
        if let jinja = configuration.chatTemplate { setChatTemplate(jinja, idOf: idOf) }
    }

    mutating func setChatTemplate(_ jinja: String, idOf: (String) -> Int?) {
        guard let start = idOf(ChatTemplate.start), let end = idOf(ChatTemplate.end) else { return }
        chat = ChatTemplate(jinja: jinja)
        guard chat != .none else { return }
        specialTokens[.chatStart] = start
        specialTokens[.chatEnd] = end
        if !stopTokens.contains(end) { stopTokens.append(end) }
    }
}
