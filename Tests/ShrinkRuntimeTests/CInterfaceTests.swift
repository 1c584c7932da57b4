import CShrink
import RuntimeTestSupport
import ShrinkFormat
import ShrinkRuntime
import Testing

/// The C interface in the ordinary build; `Tools/test-device` tests all of it from C.
@Suite struct CInterfaceTests {
    static func artifact(selfTest: [UInt8]? = nil, tokenizer: [UInt8]? = nil) -> GuardedBytes {
        let assembler = SmallEncoder(isQuantized: true).program()
        return GuardedBytes(
            ArtifactFile.archive(
                ArtifactFile.entries(program: assembler.encoded(), weights: assembler.weights, tokenizer: tokenizer, selfTest: selfTest)))
    }

    /// Opens, calls, closes; the code of opening when that fails.
    func withModel(_ bytes: GuardedBytes, _ body: (OpaquePointer, inout shrink_error) -> shrink_code) -> (shrink_code, shrink_error) {
        var model: OpaquePointer?
        var error = shrink_error()
        var code = shrink_model_open_memory(bytes.raw.baseAddress, bytes.raw.count, nil, &model, &error)
        if let model { code = body(model, &error) }
        shrink_model_release(model)
        return (code, error)
    }

    @Test func theHeaderAndTheLibraryAreOfOneVersion() {
        #expect(shrink_abi_version() == UInt32(SHRINK_ABI_VERSION))
        #expect(String(cString: shrink_version()) == SHRINK_VERSION)
    }

    @Test func everyErrorOfTheRuntimeHasItsCode() {
        var value: Int32 = 1
        while let code = RuntimeError.Code(rawValue: value) {
            #expect(String(cString: shrink_code_name(shrink_code(rawValue: UInt32(code.rawValue)))) != "unknown error")
            value += 1
        }
        #expect(value == Int32(SHRINK_ERROR_INVALID_STATE.rawValue) + 1)
    }

    @Test func aSelfTestOfAnotherMachineFails() {
        let input = tokens(5, below: 37)
        let entry = input.withUnsafeBufferPointer { input in
            [UInt8](unsafeUninitializedCapacity: SelfTest.byteCount(tokenCount: input.count)) { buffer, count in
                SelfTest.write(
                    kind: .embed, tokens: input, digest: SHA256.Digest(repeating: 1), to: UnsafeMutableRawPointer(buffer.baseAddress!))
                count = buffer.count
            }
        }
        #expect(withModel(Self.artifact(selfTest: entry)) { shrink_model_self_test($0, nil, 1, &$1) }.0 == SHRINK_ERROR_SELF_TEST)
        #expect(withModel(Self.artifact()) { shrink_model_self_test($0, nil, 1, &$1) }.0 == SHRINK_ERROR_INVALID_ARGUMENT)
        #expect(withModel(Self.artifact(selfTest: [1])) { shrink_model_self_test($0, nil, 1, &$1) }.0 == SHRINK_ERROR_INVALID_ARTIFACT)
    }

    @Test func damagedTokenizerTablesAreRefusedWhenTheModelIsOpened() {
        let (code, error) = withModel(Self.artifact(tokenizer: Array("words".utf8))) { _, _ in SHRINK_OK }
        #expect(code == SHRINK_ERROR_INVALID_ARTIFACT)
        #expect(error.code == code)
    }

    @Test func aModelWithoutTokenizerSaysSo() {
        var tokenizer: OpaquePointer?
        let (code, error) = withModel(Self.artifact()) { shrink_tokenizer_create($0, &tokenizer, &$1) }
        #expect(code == SHRINK_ERROR_INVALID_ARGUMENT)
        #expect(tokenizer == nil)
        #expect(String(cString: error.message) == "the model has no tokenizer")
    }
}
