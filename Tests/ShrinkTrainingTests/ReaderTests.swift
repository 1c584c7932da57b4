import CArchive
import Foundation
import ShrinkJSON
import Testing

@testable import ShrinkTraining

struct ReaderTests {
    private func lines(_ path: String, limits: DataLimits = DataLimits()) throws -> [[UInt8]] {
        let reader = try LineReader(path: path, limits: limits)
        var lines: [[UInt8]] = []
        while try reader.next() { lines.append(Array(reader.content)) }
        return lines
    }

    private func rows(_ text: String, _ format: DataFormat, _ columns: [DataColumn], share: Double = 0) throws -> [[DataField]] {
        let scratch = Scratch()
        let reader = try RowReader(path: scratch.file("table", text), format: format, columns: columns, badRows: BadRows(maximumShare: share))
        var rows: [[DataField]] = []
        while let row = try reader.next() { rows.append(row) }
        return rows
    }

    /// Rows and the lines of bad ones.
    private func sorted(_ text: String, _ format: DataFormat, _ columns: [DataColumn]) throws -> (rows: [String], bad: [Int?], reasons: [String]) {
        let scratch = Scratch()
        nonisolated(unsafe) var bad: [DataError] = []
        let reader = try RowReader(
            path: scratch.file("table", text), format: format, columns: columns, badRows: BadRows(maximumShare: 1) { bad.append($0) })
        var rows: [String] = []
        while let row = try reader.next() { rows.append(row.map(\.text).joined(separator: "|")) }
        return (rows, bad.map(\.line), bad.map(\.message))
    }

    // MARK: Lines

    @Test func linesEndWithLineFeedsAndTheLastNeedNot() throws {
        let scratch = Scratch()
        let cases: [(String, [String])] = [
            ("", []), ("\n", [""]), ("a", ["a"]), ("a\n", ["a"]), ("a\r\nb", ["a", "b"]), ("\n\na\n", ["", "", "a"]), ("a\rb\n", ["a\rb"]),
            ("\u{FEFF}a\n\u{FEFF}b", ["a", "\u{FEFF}b"]),
        ]
        for (text, expected) in cases {
            #expect(try lines(scratch.file("lines.txt", text)) == expected.map { Array($0.utf8) })
        }
    }

    @Test func linesAreWholeWhereverTheBufferEnds() throws {
        let scratch = Scratch()
        let expected = (0..<3000).map { [UInt8](repeating: UInt8(97 + $0 % 26), count: $0 * 7919 % 301) }
        #expect(try lines(scratch.file("long.txt", expected.flatMap { $0 + [0x0A] })) == expected)
    }

    @Test(arguments: ["gz", "zst", "xz", "bz2"])
    func compressedFilesReadAsTheirContent(_ kind: String) throws {
        let filters: [String: (OpaquePointer) -> Int32] = [
            "gz": archive_write_add_filter_gzip, "zst": archive_write_add_filter_zstd, "xz": archive_write_add_filter_xz, "bz2": archive_write_add_filter_bzip2,
        ]
        let scratch = Scratch()
        let text = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Goldens.path("english.txt"))))
        let packed = compressed(text, filters[kind]!)
        #expect(packed.count < text.count * 3 / 4)
        // The content tells, not the name.
        let expected = try lines(Goldens.path("english.txt"))
        #expect(try lines(scratch.file("data.txt", packed)) == expected)
        for cut in [packed.count / 2, packed.count - 3] {
            #expect(throws: DataError.self) { _ = try lines(scratch.file("cut.txt", Array(packed[..<cut]))) }
        }
    }

    @Test func whatUnpacksWithoutEndIsRefused() throws {
        let scratch = Scratch()
        let bomb = compressed([UInt8](repeating: 0x61, count: 40 << 20), archive_write_add_filter_gzip)
        let path = scratch.file("bomb.gz", bomb)
        #expect(message { _ = try lines(path) }.contains("unpacks to more than 256 times its size"))
        var limits = DataLimits()
        limits.expansion = 2000
        limits.lineByteCount = 1000
        #expect(try lines(path, limits: limits).map(\.count) == [1000])
    }

    @Test func aLineThatIsTooLongIsCutAndNamed() throws {
        let scratch = Scratch()
        var limits = DataLimits()
        limits.lineByteCount = 10
        let reader = try LineReader(path: scratch.file("long.txt", "short\n" + String(repeating: "x", count: 200_000) + "\n0123456789\n012345678\n"), limits: limits)
        var found: [(Int, String?)] = []
        while try reader.next() { found.append((reader.bytes.count, reader.problem)) }
        #expect(found.map(\.0) == [6, 10, 10, 10])
        #expect(found.map { $0.1 == nil } == [true, false, false, true])
    }

    @Test func whatIsNoFileIsRefused() {
        let scratch = Scratch()
        #expect(throws: DataError(.notFound, file: "/no/such/file", "cannot be opened: No such file or directory")) { _ = try LineReader(path: "/no/such/file") }
        #expect(message { _ = try LineReader(path: scratch.path) }.contains("is not a regular file"))
    }

    // MARK: Tables

    @Test(arguments: Goldens.root["commas"]!.array!.indices)
    func readsCommasAsPythonDoes(_ index: Int) throws {
        let golden = Goldens.root["commas"]!.array![index]
        try expect(golden, .commas)
    }

    @Test(arguments: Goldens.root["tabs"]!.array!.indices)
    func readsTabsAsPythonDoes(_ index: Int) throws {
        try expect(Goldens.root["tabs"]!.array![index], .tabs)
    }

    private func expect(_ golden: JSON, _ format: DataFormat) throws {
        let expected = golden["rows"]!.array!.map(\.strings)
        // The fields that every row has, and for each row its last.
        for column in 1...(expected.map(\.count).max() ?? 1) {
            let found = try sorted(golden["text"]!.string!, format, [.number(column)])
            #expect(found.rows == expected.filter { $0.count >= column }.map { $0[column - 1] })
            #expect(found.bad.count == expected.count { $0.count < column })
        }
    }

    @Test func columnsAreFoundByName() throws {
        #expect(try rows("id,text,label\n1,\"a, b\",x\n\n2,c,y\n", .commas, [.name("label"), .name("text")]) == [[.text("x"), .text("a, b")], [.text("y"), .text("c")]])
        #expect(try rows("a\tb\n\"1\t2\n", .tabs, [.name("a")]) == [[.text("\"1")]])
        #expect(try rows("\"two\nlines\",b\n1,2\n", .commas, [.name("two\nlines")]) == [[.text("1")]])
    }

    @Test func aColumnThatIsNotThereIsNamedWithThoseThatAre() {
        #expect(message { _ = try rows("id,text\n1,2\n", .commas, [.name("label")]) }.contains("line 1: no column is named \"label\"; there are \"id\", \"text\""))
        #expect(message { _ = try rows("a,a\n1,2\n", .commas, [.name("a")]) }.contains("several columns"))
        #expect(message { _ = try rows("", .commas, [.name("a")]) }.contains("is empty"))
        #expect(message { _ = try rows("a,b\n", .commas, [.name("a"), .number(1)]) }.contains("choose one"))
        #expect(message { _ = try rows("a,b\n", .commas, [.number(0)]) }.contains("numbered from 1"))
    }

    @Test func brokenRowsAreNamedAndTheNextOnesRead() throws {
        let found = try sorted("a,b\n1,2\n\"x\"y,2\n3\n4,5,6\n7,8\n\"open,9\n10,11\n", .commas, [.name("a")])
        #expect(found.rows == ["1", "7"])
        #expect(found.bad == [3, 4, 5, 7])
        #expect(found.reasons[0].contains("behind its closing quote") && found.reasons[1].contains("1 fields") && found.reasons[2].contains("3 fields"))
        #expect(found.reasons[3].contains("not closed"))
    }

    @Test func aQuotedFieldMayNotGrowWithoutEnd() throws {
        let scratch = Scratch()
        var limits = DataLimits()
        limits.lineByteCount = 1000
        let rows = BadRows(maximumShare: 1)
        let reader = try RowReader(
            path: scratch.file("open.csv", "\"" + String(repeating: "line\n", count: 1000)), columns: [.number(1)], badRows: rows, limits: limits)
        while let row = try reader.next() { #expect(row[0].text == "line") }
        #expect(rows.count == 1)
        #expect(rows.rows > 790)
    }

    @Test func aRowWithBadContentCountsOnce() throws {
        let scratch = Scratch(), rows = BadRows(maximumShare: 0.5)
        let reader = try RowReader(path: scratch.file("rows.txt", String(repeating: "good\n", count: 40) + String(repeating: "bad\n", count: 60)), columns: [], badRows: rows)
        while let row = try reader.next() {
            if row[0].text == "bad" { try reader.refuse("is bad") }
        }
        #expect(rows.rows == 100 && rows.count == 60)
        #expect(message { try rows.check() }.contains("60 of 100 are bad"))
    }

    @Test func readsMembersOfJSONLines() throws {
        let text = """
            {"text": "a\\nb", "n": 3, "words": ["x", 1, 1.0, true]}
            {"n": 2.5, "words": [], "text": "é", "more": null}

            """
        #expect(try rows(text, .jsonLines, [.name("text"), .name("n"), .name("words")]) == [
            [.text("a\nb"), .text("3"), .list(["x", "1", "1", "true"])], [.text("é"), .text("2.5"), .list([])],
        ])
        let found = try sorted("{\"a\": 1}\n{\"b\": 1}\nnonsense\n{\"a\": {}}\n[1]\n{\"a\": null}\n{\"a\": \"x\"}\n{\"a\": 1, \"a\": 2}\n", .jsonLines, [.name("a")])
        #expect(found.rows == ["1", "x"])
        #expect(found.bad == [2, 3, 4, 5, 6, 8])
        #expect(message { _ = try rows("{}\n", .jsonLines, [.number(1)]) }.contains("by name"))
    }

    @Test func theNameTellsTheFormat() {
        let names: [(String, DataFormat?)] = [
            ("a.txt", .text), ("a.b.tsv", .tabs), ("/x.csv/a.CSV.gz", .commas), ("a.jsonl.zst", .jsonLines), ("a.gz", nil), ("txt", nil), ("a.txt.zip", nil), (".txt", nil),
        ]
        for (name, format) in names { #expect(DataFormat(path: name) == format, "\(name)") }
        #expect(message { _ = try RowReader(path: "data.bin", columns: [], badRows: BadRows(maximumShare: 0)) }.contains(".jsonl"))
    }

    // MARK: Bad rows

    @Test func tooManyBadRowsAreRefused() throws {
        func outcome(_ good: Int, _ bad: Int, share: Double) -> String {
            let rows = BadRows(maximumShare: share)
            return message {
                for _ in 0..<good { rows.accept() }
                for i in 0..<bad { try rows.refuse(file: "f", line: i + 1, "is bad") }
                try rows.check()
            }
        }
        #expect(outcome(99, 1, share: 0.01) == "no error")
        #expect(outcome(98, 2, share: 0.01).hasPrefix("f, line 2: is bad; 2 of 100 are bad"))
        #expect(outcome(100, 1, share: 0) == "f, line 1: is bad")
        // Long before the end of hopeless data.
        #expect(outcome(0, 1_000_000, share: 0.1).hasPrefix("f, line 1000: "))
    }
}
