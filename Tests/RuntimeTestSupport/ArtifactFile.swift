import CArchive
import ShrinkFormat

/// Artifacts made with libarchive, as the packer makes them.
public enum ArtifactFile {
    public typealias Entry = (name: String, content: [UInt8])

    /// All eight entries around a program and its weights, with right checksums.
    public static func entries(
        program: [UInt8], weights: [UInt8], tokenizer: [UInt8]? = nil, selfTest: [UInt8]? = nil, readme: [UInt8]? = nil
    ) -> [Entry] {
        var entries: [Entry] = [("manifest.json", Array("{}".utf8)), ("program", program), ("weights", weights)]
        if let tokenizer { entries.append(("tokenizer", tokenizer)) }
        if let selfTest { entries.append(("selftest", selfTest)) }
        entries.append(("LICENSE", Array("Apache-2.0\n".utf8)))
        if let readme { entries.append(("README.md", readme)) }
        entries.append(("SHA256SUMS", checksums(entries)))
        return entries
    }

    public static func checksums(_ entries: [Entry]) -> [UInt8] {
        entries.flatMap { entry in
            let digest = entry.content.withUnsafeBytes { SHA256.digest(of: $0) }
            let hex = digest.indices.map { i in
                let text = String(digest[i], radix: 16)
                return text.count == 1 ? "0" + text : text
            }
            return Array("\(hex.joined())  \(entry.name)\n".utf8)
        }
    }

    public static func archive(_ entries: [Entry]) -> [UInt8] {
        let archive = archive_write_new()
        defer { archive_write_free(archive) }
        archive_write_set_format_ustar(archive)
        archive_write_add_filter_none(archive)
        archive_write_set_bytes_per_block(archive, 512)
        archive_write_set_bytes_in_last_block(archive, 1)
        let room = entries.reduce(4_096) { $0 + $1.content.count + 1_536 }
        var used = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
            archive_write_open_memory(archive, buffer.baseAddress, room, &used)
            for entry in entries {
                let header = archive_entry_new()
                defer { archive_entry_free(header) }
                archive_entry_set_pathname(header, entry.name)
                archive_entry_set_filetype(header, 0o100000)
                archive_entry_set_perm(header, 0o644)
                archive_entry_set_size(header, Int64(entry.content.count))
                archive_entry_set_mtime(header, 0, 0)
                archive_entry_set_uid(header, 0)
                archive_entry_set_gid(header, 0)
                archive_write_header(archive, header)
                _ = entry.content.withUnsafeBytes { archive_write_data(archive, $0.baseAddress, $0.count) }
            }
            archive_write_close(archive)
            count = used
        }
        return bytes
    }
}
