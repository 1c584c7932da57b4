import ShrinkCheckpoints
import ShrinkJSON

/// The small files of a Hugging Face directory.
struct ModelDirectory {
    let root: String

    func path(_ name: String) -> String { root + "/" + name }

    /// A JSON file of the directory; nil when it is not there.
    func json(_ name: String) throws -> JSON? {
        let file: MappedFile
        do {
            file = try MappedFile(path: path(name))
        } catch where error.code == .notFound {
            return nil
        }
        do {
            return try JSON(parsing: file.bytes)
        } catch {
            throw ModelError(.invalidConfig, file.path, error.description)
        }
    }
}
