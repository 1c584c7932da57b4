import Glibc
import ShrinkCheckpoints
import ShrinkJSON

/// The small files of a Hugging Face directory.
struct ModelDirectory {
    let root: String

    static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    func path(_ name: String) -> String { root + "/" + name }

    /// A JSON file of the directory; nil when it is not there.
    func json(_ name: String) throws -> JSON? { try ModelDirectory.json(file: path(name)) }

    static func json(file path: String) throws -> JSON? {
        let file: MappedFile
        do {
            file = try MappedFile(path: path)
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
