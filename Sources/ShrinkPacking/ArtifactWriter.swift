import CArchive
import Glibc
import ShrinkFormat

/// Writes the container: an uncompressed ustar archive whose bytes depend on its content alone.
struct ArtifactWriter {
    private let sink: FileSink
    private let archive: OpaquePointer
    private var sums: [UInt8] = []
    private var name = ""
    private var missing = 0
    private var hash = SHA256()

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
        try begin(name, byteCount: bytes.count)
        try bytes.withUnsafeBytes { try write($0) }
        try end()
    }

    /// Starts an entry of exactly `byteCount` bytes, which `write` then brings in pieces.
    mutating func begin(_ name: String, byteCount: Int) throws {
        guard let entry = archive_entry_new() else { throw PackingError(.output, "libarchive has no memory") }
        defer { archive_entry_free(entry) }
        archive_entry_set_pathname(entry, name)
        archive_entry_set_size(entry, Int64(byteCount))
        archive_entry_set_filetype(entry, UInt32(Glibc.S_IFREG))
        archive_entry_set_perm(entry, 0o644)
        archive_entry_set_mtime(entry, 0, 0)
        try check(archive_write_header(archive, entry))
        self.name = name
        missing = byteCount
        hash = SHA256()
    }

    mutating func write(_ piece: UnsafeRawBufferPointer) throws {
        guard archive_write_data(archive, piece.baseAddress, piece.count) == piece.count else { throw failure() }
        missing -= piece.count
        hash.update(piece)
    }

    mutating func end() throws {
        precondition(missing == 0, "the entry \(name) is not as long as declared")
        try check(archive_write_finish_entry(archive))
        sums += "\(hash.digest().hexadecimal)  \(name)\n".utf8
    }

    /// Adds `SHA256SUMS` and ends the archive.
    mutating func finish() throws {
        try add("SHA256SUMS", sums)
        try check(archive_write_close(archive))
    }

    func free() { archive_write_free(archive) }

    private func check(_ status: Int32) throws {
        if status < ARCHIVE_OK { throw failure() }
    }

    private func failure() -> PackingError {
        FileSink.failure(writing: sink.path, archive_errno(archive))
    }
}

extension SHA256.Digest {
    /// Lower-case digits, as `sha256sum` prints them.
    public var hexadecimal: String {
        var text = ""
        for index in indices {
            text += String(self[index] >> 4, radix: 16) + String(self[index] & 15, radix: 16)
        }
        return text
    }
}
