import ShrinkJSON

/// How sentence-transformers turns hidden states into one vector: `modules.json` and the folders it names.
struct SentencePooling {
    enum Kind { case mean, first }

    var kind: Kind
    var normalizes: Bool
    /// `max_seq_length`: longer inputs are cut.
    var maximumTokens: Int?

    /// What sentence-transformers does with a plain encoder.
    static let standard = SentencePooling(kind: .mean, normalizes: false, maximumTokens: nil)

    init(kind: Kind, normalizes: Bool, maximumTokens: Int?) {
        self.kind = kind
        self.normalizes = normalizes
        self.maximumTokens = maximumTokens
    }

    /// Nil when the directory has no `modules.json`. Otherwise that is Transformer, Pooling and perhaps
    /// Normalize, in this order.
    init?(directory: ModelDirectory) throws {
        guard let modules = try directory.json("modules.json") else { return nil }
        let file = directory.path("modules.json")
        guard let list = modules.array else { throw ModelError(.invalidConfig, file, "a list of modules is expected") }
        self = .standard
        var order: [Substring] = []
        for module in list {
            let kind = module["type"]?.string ?? "", path = module["path"]?.string ?? ""
            let name = kind.split(separator: ".").last ?? ""
            order.append(name)
            switch name {
            case "Transformer":
                if let json = try directory.json("sentence_bert_config.json") {
                    let config = ModelConfig(json: json, file: directory.path("sentence_bert_config.json"))
                    maximumTokens = try config.optionalSize("max_seq_length")
                    guard try !config.flag("do_lower_case", default: false) else {
                        throw config.error("do_lower_case", "is true; let the tokenizer lower the case instead")
                    }
                }
                try SentencePooling.checkPrompts(directory)
            case "Pooling":
                guard !path.isEmpty, path.utf8.allSatisfy({ $0 != UInt8(ascii: "/") && $0 != 0 }), path != "..", path != "." else {
                    throw ModelError(.invalidConfig, file, "\"path\" of the Pooling module must be the name of a folder beside it")
                }
                let name = path + "/config.json"
                guard let config = try directory.json(name) else {
                    throw ModelError(.missingFile, directory.path(name), "modules.json asks for it; copy the whole model directory")
                }
                self.kind = try SentencePooling.kind(ModelConfig(json: config, file: directory.path(name)))
            case "Normalize": normalizes = true
            default:
                throw ModelError(.unsupportedArchitecture, file, "the module \(kind) is not supported; Transformer, Pooling and Normalize are")
            }
        }
        guard order == ["Transformer", "Pooling"] || order == ["Transformer", "Pooling", "Normalize"] else {
            throw ModelError(
                .unsupportedArchitecture, file,
                "the modules are \(order.joined(separator: ", ")); Transformer, Pooling and perhaps Normalize are supported, in this order")
        }
    }

    /// A default prompt would have to be put in front of every text.
    private static func checkPrompts(_ directory: ModelDirectory) throws {
        guard let json = try directory.json("config_sentence_transformers.json") else { return }
        let config = ModelConfig(json: json, file: directory.path("config_sentence_transformers.json"))
        if let name = try config.optionalWord("default_prompt_name"), json["prompts"]?[name]?.string != "" {
            throw config.error("default_prompt_name", "is \(name); default prompts are not supported: set it to null and put the prompt into the texts")
        }
    }

    private static func kind(_ config: ModelConfig) throws -> Kind {
        let prefix = "pooling_mode_"
        let chosen = (config.json.object?.members ?? []).filter { $0.key.hasPrefix(prefix) && $0.value.bool == true }.map(\.key)
        switch chosen {
        case ["pooling_mode_mean_tokens"]: return .mean
        case ["pooling_mode_cls_token"]: return .first
        default:
            throw config.error(chosen.first ?? "pooling_mode_mean_tokens", "pooling is not supported like this; mean_tokens or cls_token alone are")
        }
    }
}
