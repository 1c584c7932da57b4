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

    /// Nil when the directory has no `modules.json`.
    init?(directory: ModelDirectory) throws {
        guard let modules = try directory.json("modules.json") else { return nil }
        let file = directory.path("modules.json")
        guard let list = modules.array else { throw ModelError(.invalidConfig, file, "a list of modules is expected") }
        self = .standard
        var hasPooling = false
        for module in list {
            let kind = module["type"]?.string ?? "", path = module["path"]?.string ?? ""
            switch kind.split(separator: ".").last {
            case "Transformer":
                if let config = try directory.json("sentence_bert_config.json") {
                    maximumTokens = try ModelConfig(json: config, file: directory.path("sentence_bert_config.json")).optionalSize("max_seq_length")
                }
            case "Pooling":
                let name = path + "/config.json"
                guard !path.contains(".."), !path.hasPrefix("/"), let config = try directory.json(name) else {
                    throw ModelError(.missingFile, directory.path(name), "modules.json asks for it; copy the whole model directory")
                }
                self.kind = try SentencePooling.kind(ModelConfig(json: config, file: directory.path(name)))
                hasPooling = true
            case "Normalize": normalizes = true
            default:
                throw ModelError(.unsupportedArchitecture, file, "the module \(kind) is not supported; Transformer, Pooling and Normalize are")
            }
        }
        guard hasPooling else { throw ModelError(.invalidConfig, file, "it has no Pooling module") }
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
