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

    @Test(arguments: [
        ("[]", "[]\n"), ("{}", "{}\n"), ("7", "7\n"), (#"{"a":[1,{}],"b":{"c":null}}"#, "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {\n    \"c\": null\n  }\n}\n"),
    ]) func writesIndentedTextForPeople(compact: String, indented: String) throws {
        #expect(try JSON(parsing: compact).indented == indented)
    }

    @Test func membersChangeInPlaceAndGoAway() {
        var object = JSON.Object()
        for (key, value) in [("a", 1), ("b", 2), ("c", 3)] { object.set(key, .integer(value)) }
        object.set("b", .null)
        #expect(JSON.object(object).serialized == #"{"a":1,"b":null,"c":3}"#)
        object.remove("a")
        object.remove("nothing")
        #expect(JSON.object(object).serialized == #"{"b":null,"c":3}"#)
        #expect(object["c"] == .integer(3) && object["a"] == nil)
        object.set("a", .integer(9))
        #expect(JSON.object(object).serialized == #"{"b":null,"c":3,"a":9}"#)
        #expect(JSON.object(["x": .integer(1), "x": .integer(2)]).serialized == #"{"x":1}"#)
    }
}
