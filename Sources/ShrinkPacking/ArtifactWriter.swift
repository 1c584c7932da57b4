import CArchive
import Glibc
import ShrinkFormat

/// Writes the container: an uncompressed ustar archive whose bytes depend on its content alone.
struct ArtifactWriter {
    private let sink: FileSink
    private let archive: OpaquePointer
    private var sums: [UInt8] = []

    init(_ sink: FileSink) throws {
        guard let archive = archive_write_new() else { throw PackingError(.output, "libarchive has no memory") }
        self.sink = sink
        self.archive = archive
        // One record is one block, so that the file ends with the two zero blocks of POSIX and no more.
        archive_write_set_format_ustar(archive)
        archive_write_add_filter_none(archive)
        archive_write_set_bytes_per_block(archive, 512)
        archive_write_set_bytes_in_last_block(archive, 1)
        try check(archive_write_open_fd(archive, sink.descriptor))
    }

    mutating func add(_ name: String, _ bytes: [UInt8]) throws {
        try add(name, byteCount: bytes.count) { write in try bytes.withUnsafeBytes { try write($0) } }
    }

    /// Adds an entry whose bytes come piecewise; exactly `byteCount` of them.
    mutating func add(_ name: String, byteCount: Int, _ body: (_ write: (UnsafeRawBufferPointer) throws -> Void) throws -> Void) throws {
        var hash = SHA256()
        try addUnlisted(name, byteCount: byteCount) { write in
            try body { piece in
                hash.update(piece)
                try write(piece)
            }
        }
        sums += "\(hash.finish().hexadecimal)  \(name)\n".utf8
    }

    /// Adds `SHA256SUMS` and ends the archive.
    mutating func finish() throws {
        let lines = sums
        try addUnlisted("SHA256SUMS", byteCount: lines.count) { write in try lines.withUnsafeBytes { try write($0) } }
        try check(archive_write_close(archive))
    }

    func free() { archive_write_free(archive) }

    private func addUnlisted(_ name: String, byteCount: Int, _ body: (_ write: (UnsafeRawBufferPointer) throws -> Void) throws -> Void) throws {
        guard let entry = archive_entry_new() else { throw PackingError(.output, "libarchive has no memory") }
        defer { archive_entry_free(entry) }
        archive_entry_set_pathname(entry, name)
        archive_entry_set_size(entry, Int64(byteCount))
        archive_entry_set_filetype(entry, UInt32(S_IFREG))
        archive_entry_set_perm(entry, 0o644)
        archive_entry_set_mtime(entry, 0, 0)
        try check(archive_write_header(archive, entry))
        var written = 0
        try body { piece in
            written += piece.count
            guard archive_write_data(archive, piece.baseAddress, piece.count) == piece.count else { throw failure() }
        }
        precondition(written == byteCount, "the entry \(name) is not as long as declared")
        try check(archive_write_finish_entry(archive))
    }

    private func check(_ status: Int32) throws {
        if status < ARCHIVE_OK { throw failure() }
    }

    private func failure() -> PackingError {
        FileSink.failure(writing: sink.path, archive_errno(archive))
    }
}
