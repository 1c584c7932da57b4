import ShrinkCheckpoints
import ShrinkTokenizers

/// The tokenizer that belongs to a checkpoint.
enum TokenizerFiles {
    static func load(_ path: String) throws -> TokenizerDefinition {
        path.hasSuffix(".gguf") ? try TokenizerDefinition(gguf: try metadata(GGUFFile(path: path))) : try TokenizerDefinition.load(directory: path)
    }
}
