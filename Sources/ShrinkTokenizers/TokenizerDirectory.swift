import Glibc
import ShrinkJSON

extension TokenizerDefinition {
    /// Reads the tokenizer of a Hugging Face directory: `tokenizer.json`, or else `vocab.txt` (BERT);
    /// with them `tokenizer_config.json`, `special_tokens_map.json`, `chat_template.jinja` and the
    /// end-of-sequence tokens of `generation_config.json`, as far as they are there.
    public static func load(directory: String) throws(TokenizerError) -> TokenizerDefinition {
        func path(_ name: String) -> String { directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)" }
        func contents(_ name: String) throws(TokenizerError) -> [UInt8]? {
            guard let stream = fopen(path(name), "re") else {
                if errno == ENOENT { return nil }
                throw TokenizerError(file: path(name), "cannot be opened: \(String(cString: strerror(errno)))")
            }
            defer { fclose(stream) }
            var bytes: [UInt8] = []
            var piece = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = fread(&piece, 1, piece.count, stream)
                bytes += piece[..<count]
                if count < piece.count { break }
            }
            guard ferror(stream) == 0 else { throw TokenizerError(file: path(name), "cannot be read: \(String(cString: strerror(errno)))") }
            return bytes
        }
        func json(_ name: String) throws(TokenizerError) -> JSON? {
            guard let bytes = try contents(name) else { return nil }
            do { return try JSON(parsing: bytes) } catch { throw TokenizerError(file: path(name), error.description) }
        }

        let config = try json("tokenizer_config.json")
        let map = try json("special_tokens_map.json")
        var definition: TokenizerDefinition
        if let tokenizer = try json("tokenizer.json") {
            definition = try TokenizerDefinition(
                tokenizerJSON: tokenizer, config: config, file: path("tokenizer.json"), configFile: path("tokenizer_config.json"))
        } else if let vocabulary = try contents("vocab.txt") {
            definition = try TokenizerDefinition(
                vocabTxt: vocabulary, config: config ?? map, file: path("vocab.txt"),
                configFile: path("tokenizer_config.json"))
        } else {
            throw TokenizerError(
                file: directory,
                "there is no tokenizer: looked for tokenizer.json and vocab.txt; put the model's tokenizer.json here "
                    + "(transformers writes one with AutoTokenizer.from_pretrained(…).save_pretrained(…))")
        }
        let added = definition.addedTokens
        func id(of text: String) -> Int? { added.first { $0.content == Array(text.utf8) }?.id }
        if let map {
            let roles = try TokenizerConfiguration(map, file: path("special_tokens_map.json"))
            definition.apply(roles, idOf: id)
        }
        if let jinja = try contents("chat_template.jinja") {
            definition.setChatTemplate(String(decoding: jinja, as: UTF8.self), idOf: id)
        }
        if let generation = try json("generation_config.json") {
            let root = JSONField(file: path("generation_config.json"), generation)
            if let end = root.optional("eos_token_id") {
                let ids = end.value.array == nil ? [end] : try end.elements()
                for field in ids {
                    let id = try field.tokenID()
                    guard id < definition.vocabularySize else { throw field.error("the token \(id) is not in the vocabulary") }
                    if !definition.stopTokens.contains(id) { definition.stopTokens.append(id) }
                }
            }
        }
        return definition
    }
}
