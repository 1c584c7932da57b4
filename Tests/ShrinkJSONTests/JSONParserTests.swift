import ShrinkJSON
import Testing

@Suite struct JSONParserTests {
    @Test func readsEveryKindOfValue() throws {
        let json = try JSON(parsing: #" {"a":[null,true,false,-12,1.5e1,"x"],"b":{}} "#)
        var expected = JSON.Object()
        expected.append("a", .array([.null, .bool(true), .bool(false), .integer(-12), .number(15), .string("x")]))
        expected.append("b", .object(JSON.Object()))
        #expect(json == .object(expected))
    }

    @Test func keepsMembersInFileOrder() throws {
        let json = try JSON(parsing: #"{"z":1,"a":2,"m":3}"#)
        #expect(json.object?.members.map(\.key) == ["z", "a", "m"])
    }

    @Test func decodesEscapes() throws {
        let json = try JSON(parsing: #""\"\\\/\b\f\n\r\t\u0041\u00e9\ud83d\ude42""#)
        #expect(json.string == "\"\\/\u{8}\u{C}\n\r\tAé🙂")
    }

    @Test(arguments: [
        ("9223372036854775807", JSON.integer(.max)), ("-9223372036854775808", .integer(.min)),
        ("9223372036854775808", .number(0x1p63)), ("0", .integer(0)), ("-0.0", .number(-0.0)), ("1E-2", .number(0.01)),
    ])
    func readsNumbersExactly(text: String, value: JSON) throws {
        #expect(try JSON(parsing: text) == value)
    }

    @Test func tellsCanonicallyEquivalentKeysApart() throws {
        let json = try JSON(parsing: "{\"\u{e9}\":1,\"e\u{301}\":2}")
        #expect(json["\u{e9}"]?.int == 1)
        #expect(json["e\u{301}"]?.int == 2)
    }

    @Test func namesADuplicateKeyAndItsPlace() {
        let error = #expect(throws: JSONError.self) { try JSON(parsing: #"{"a":1,"b":2,"a":3}"#) }
        #expect(error?.kind == .duplicateKey)
        #expect(error?.byteOffset == 13)
        #expect(error?.reason.contains("\"a\"") == true)
    }

    @Test func findsADuplicateKeyBehindAnEscape() {
        let error = #expect(throws: JSONError.self) { try JSON(parsing: #"{"a":1,"\u0061":3}"#) }
        #expect(error?.kind == .duplicateKey)
    }

    @Test(arguments: [
        "", " ", "{", "[", "\"", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,", "{\"a\":1,}", "{a:1}", "{1:1}", "[1,", "[1,]",
        "[1 2]", "nul", "True", "01", "-", "+1", "1.", ".5", "1e", "1e+", "NaN", "Infinity", "1 2", "{} {}",
        "\"\\x\"", "\"\\u12\"", "\"\\u12g4\"", "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\u0041\"", "\"a\nb\"", "\"\\", "1e999",
        "/**/1", "'a'", "\u{FEFF}1",
    ])
    func refusesWhatIsNotJSON(text: String) {
        #expect(throws: JSONError.self) { try JSON(parsing: text) }
    }

    @Test(arguments: [[0x80], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xE2, 0x82]] as [[UInt8]])
    func refusesInvalidUTF8(bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSON(parsing: [0x22] + bytes + [0x22]) }
    }

    @Test func limitsNesting() throws {
        func nested(_ depth: Int) -> String { String(repeating: "[", count: depth) + String(repeating: "]", count: depth) }
        #expect(throws: Never.self) { try JSON(parsing: nested(128)) }
        #expect(throws: JSONError.self) { try JSON(parsing: nested(129)) }
        #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "[", count: 1_000_000)) }
        #expect(throws: JSONError.self) { try JSON(parsing: String(repeating: "{\"a\":", count: 1_000_000)) }
    }

    @Test func limitsTheNumberOfValues() {
        let text = Array(#"[1,{"a":[]}]"#.utf8)
        text.withUnsafeBytes { bytes in
            #expect(throws: Never.self) { try JSON(parsing: bytes, maximumValueCount: 4) }
            #expect(throws: JSONError.self) { try JSON(parsing: bytes, maximumValueCount: 3) }
        }
    }

    @Test func survivesEveryTruncationOfADocument() throws {
        let text = Array(#"{"a":[1,2.5,{"b":"é\u00e9\ud83d\ude42"}],"c":null,"d":true}"#.utf8)
        for length in 0..<text.count {
            #expect(throws: JSONError.self) { try JSON(parsing: Array(text[..<length])) }
        }
    }

    @Test func survivesEveryBitFlipOfADocument() {
        let text = Array(#"{"a":[1,2.5e3,{"b":"é\u00e9\ud83d\ude42"}],"c":null,"d":true}"#.utf8)
        var accepted = 0
        for bit in 0..<8 * text.count {
            var damaged = text
            damaged[bit / 8] ^= 1 << (bit % 8)
            // What still parses must be a document: writing and reading it again changes nothing.
            guard let json = try? JSON(parsing: damaged) else { continue }
            accepted += 1
            #expect((try? JSON(parsing: json.serialized)) == json)
        }
        #expect(accepted > 0 && accepted < 8 * text.count)
    }

    @Test func accessorsGiveNothingForOtherKinds() throws {
        let json = try JSON(parsing: #"{"text":"x","flag":true,"none":null,"half":0.5,"whole":4.0}"#)
        #expect(json["text"]?.int == nil)
        #expect(json["flag"]?.string == nil)
        #expect(json["none"] == nil)
        #expect(json["absent"] == nil)
        #expect(json["half"]?.int == nil)
        #expect(json["half"]?.double == 0.5)
        #expect(json["whole"]?.int == 4)
    }
}
