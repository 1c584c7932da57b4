import ShrinkCheckpoints
import Testing

@Suite struct CheckpointErrorTests {
    @Test func readsAsFilePlaceMessageRemedy() {
        let error = CheckpointError(.notFound, file: "model.gguf", place: "tensor t", message: "is lost")
        #expect(error.description == "model.gguf: tensor t: is lost; check the path, and that the download is complete")
        #expect(CheckpointError(.notFound, file: "a", message: "b").description.hasPrefix("a: b; "))
    }

    @Test func escapesWhatCouldSteerATerminal() {
        let error = CheckpointError(.notFound, file: "f", place: "tensor a\n\u{1B}[2J\u{202E}é", message: "m")
        #expect(error.description.contains("tensor a\\n\\u{1B}[2J\\u{202E}é: m"))
    }

    @Test func cutsNamesThatNobodyCanRead() {
        let error = CheckpointError(.notFound, file: "f", place: String(repeating: "x", count: 1_000_000), message: "m")
        #expect(error.description.utf8.count < 1000)
    }

    @Test(arguments: CheckpointError.Code.allCases)
    func hasARemedyForEveryCode(code: CheckpointError.Code) {
        #expect(!CheckpointError(code, file: "f", message: "m").remedy.isEmpty)
    }
}
