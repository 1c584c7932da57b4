import ShrinkRuntime

/// Prints how alike texts are to the first: swift run -c release swift-embed MODEL.shrink TEXT TEXT…
@main struct Similarity {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count > 3 else { return print("usage: swift-embed MODEL.shrink TEXT TEXT…") }
        let model = try Model(path: arguments[1])
        guard let tables = model.bytes(of: .tokenizer) else { return print("the model has no tokenizer") }
        var tokenizer = try Tokenizer(tables: tables, allocator: .system)
        var session = try Session(model, SessionOptions(kind: .embed))

        var first: [Float] = []
        for text in arguments[2...] {
            let tokens = try tokenizer.encode(text, parseSpecialTokens: false, limit: session.context)
            let vector = try tokens.withUnsafeBufferPointer { Array(try session.feed($0)[0]) }
            if first.isEmpty { first = vector }
            // The vectors of sentence models have length 1: their product is the cosine of the angle between them.
            print(zip(first, vector).reduce(0) { $0 + $1.0 * $1.1 }, text)
        }
    }
}
