import ShrinkFormat
import ShrinkRuntime

/// One answer of a language model, token by token.
final class TextGenerator {
    enum Stop: String {
        /// The model ended its text.
        case end
        /// The wanted number of tokens is there.
        case length
        /// The context is full.
        case context
    }

    private let tokenizer: TextTokenizer
    private var session: Session
    private var sampler: Sampler
    private var detokenizer: Detokenizer
    private var text = TokenizerBuffer<UInt8>(allocator: .system)
    private var shown = 0

    private(set) var tokenCount = 0
    private(set) var decodeSteps = 0

    init(_ model: borrowing Model, _ tokenizer: TextTokenizer, _ options: SessionOptions, sampling: SamplerOptions) throws {
        self.tokenizer = tokenizer
        session = try Session(model, options)
        let vocabularySize = Int(model.program.header.vocabularySize)
        sampler = try Sampler(
            vocabularySize: vocabularySize, options: sampling, instructionSet: options.instructionSet)
        samplerByteCount = Sampler.byteCount(vocabularySize: vocabularySize)
        detokenizer = tokenizer.detokenizer()
    }

    /// Memory of the session, as `inspect` predicts it.
    var byteCount: Int { session.byteCount }
    /// Memory of the choice of tokens.
    let samplerByteCount: Int

    /// Reads the prompt and chooses the first token.
    func start(_ prompt: [UInt32]) throws -> UInt32 {
        try prompt.withUnsafeBufferPointer { try sampler.sample(try session.feed($0)[0]) }
    }

    /// Goes on from `first`; `show` gets the bytes of whole characters as they become certain.
    func generate(from first: UInt32, limit: Int, show: (UnsafeBufferPointer<UInt8>) -> Void) throws -> Stop {
        let token = UnsafeMutablePointer<UInt32>.allocate(capacity: 1)
        defer { token.deallocate() }
        token.initialize(to: first)
        while !tokenizer.isStop(token.pointee) {
            try detokenizer.push(token.pointee, into: &text)
            showRest(show)
            tokenCount += 1
            if tokenCount == limit { return try finish(.length, show) }
            if session.position == session.context { return try finish(.context, show) }
            token.pointee = try sampler.sample(try session.step(UnsafeBufferPointer(start: token, count: 1))[0])
            decodeSteps += 1
        }
        return try finish(.end, show)
    }

    /// All of the text so far.
    var output: String { text.withElements { String(decoding: $0, as: UTF8.self) } }

    private func finish(_ stop: Stop, _ show: (UnsafeBufferPointer<UInt8>) -> Void) throws -> Stop {
        try detokenizer.flush(into: &text)
        showRest(show)
        return stop
    }

    private func showRest(_ show: (UnsafeBufferPointer<UInt8>) -> Void) {
        if text.count > shown { text.withElements { show(UnsafeBufferPointer(rebasing: $0[shown...])) } }
        shown = text.count
    }
}
