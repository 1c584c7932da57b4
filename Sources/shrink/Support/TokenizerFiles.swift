import ShrinkCheckpoints
import ShrinkModels
import ShrinkTokenizers

/// The tokenizer that belongs to a checkpoint.
enum TokenizerFiles {
    static func load(_ path: String) throws -> TokenizerDefinition {
        guard ImportedModel.isGGUF(path) else { return try TokenizerDefinition.load(directory: path) }
        return try TokenizerDefinition(gguf: metadata(GGUFFile(path: path), path), file: path)
    }

    /// The tokenizer of a checkpoint as files of a Hugging Face directory.
    static func files(_ path: String) throws -> [HuggingFaceWriter.File] {
        guard ImportedModel.isGGUF(path) else { return try HuggingFaceWriter.tokenizerFiles(of: path) }
        return try metadata(GGUFFile(path: path), path).files(file: path)
    }

    private static func metadata(_ file: GGUFFile, _ path: String) throws -> GGUFTokenizerMetadata {
        func key(_ name: String) -> GGUFValue? { file["tokenizer.ggml.\(name)"] }
        guard let model = key("model")?.string, let tokens = key("tokens")?.array?.byteStrings else {
            throw CommandFailure("\(path): it has no tokenizer (tokenizer.ggml.model and .tokens); convert the model again with its tokenizer")
        }
        var metadata = GGUFTokenizerMetadata(model: model, pre: key("pre")?.string, tokens: tokens)
        metadata.merges = key("merges")?.array?.byteStrings ?? []
        metadata.tokenTypes = key("token_type")?.array?.ints?.map { Int32(clamping: $0) } ?? []
        metadata.bos = key("bos_token_id")?.int
        metadata.eos = key("eos_token_id")?.int
        metadata.unknown = key("unknown_token_id")?.int
        metadata.padding = key("padding_token_id")?.int
        metadata.classification = key("cls_token_id")?.int
        metadata.separator = (key("seperator_token_id") ?? key("separator_token_id"))?.int  // the specification's own spelling comes first
        metadata.mask = key("mask_token_id")?.int
        metadata.addBos = key("add_bos_token")?.bool ?? (metadata.pre == "llama-bpe")  // llama.cpp's default
        metadata.addEos = key("add_eos_token")?.bool ?? false
        metadata.chatTemplate = file["tokenizer.chat_template"]?.string
        return metadata
    }
}
