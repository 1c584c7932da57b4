import ShrinkJSON
import Testing

@Suite struct JSONSerializerTests {
    @Test(arguments: [
        "null", "true", "false", "-7", "0.1", "1e-05", "[]", "{}", #"[1,[2,{"a":null}],"b"]"#, #"{"z":1,"a":[2.5,""]}"#,
        #""\"\\/\b\f\n\r\té🙂""#, #""\u0000\u001f""#,
    ])
    func writesCompactTextAsItWasRead(text: String) throws {
        // The slash needs no escape and \u0000 has no short one, so reading and writing give the same text.
        #expect(try JSON(parsing: text).serialized == text)
    }

    @Test func writesNullForNumbersThatJSONLacks() {
        #expect(JSON.array([.number(.nan), .number(.infinity), .number(-.infinity)]).serialized == "[null,null,null]")
    }

    @Test(arguments: [0.1, -1e300, 5e-324, 1.0 / 3, 123456789.123456789, -0.0] as [Double])
    func writesNumbersThatReadBackExactly(value: Double) throws {
        #expect(try JSON(parsing: JSON.number(value).serialized).double?.bitPattern == value.bitPattern)
    }
}
