import RuntimeTestSupport
import ShrinkFormat
import ShrinkRuntime

/// A program and its weights before unreadable pages, with the model that was made from them.
struct LoadedProgram: ~Copyable {
    let program: GuardedBytes
    let weights: GuardedBytes
    let model: Model

    init(_ assembler: ProgramAssembler, allocator: Allocator = .system) throws {
        program = GuardedBytes(assembler.encoded())
        weights = GuardedBytes(assembler.weights)
        model = try Model(program: program.raw, weights: weights.raw, allocator: allocator)
    }
}

extension SessionOutput {
    /// Copies of the rows, to compare by bits.
    var rows: [[UInt32]] { (0..<rowCount).map { self[$0].map(\.bitPattern) } }
}

extension Session {
    mutating func rows(_ tokens: [UInt32], segments: [UInt32]? = nil) throws -> [[UInt32]] {
        try tokens.withUnsafeBufferPointer { tokens in
            guard let segments else { return try step(tokens).rows }
            return try segments.withUnsafeBufferPointer { try step(tokens, segments: $0).rows }
        }
    }

    /// The rows of all steps of `size` tokens, one after the other.
    mutating func rows(_ tokens: [UInt32], stepsOf size: Int) throws -> [[UInt32]] {
        var result: [[UInt32]] = []
        var first = 0
        while first < tokens.count {
            let end = min(first + size, tokens.count)
            result += try rows(Array(tokens[first..<end]))
            first = end
        }
        return result
    }

    mutating func fed(_ tokens: [UInt32]) throws -> [[UInt32]] {
        try tokens.withUnsafeBufferPointer { try feed($0).rows }
    }
}

func options(
    _ kind: EntryRecord.Kind, context: Int? = nil, chunk: Int? = nil, threads: Int = 1, _ instructionSet: InstructionSet? = nil
) -> SessionOptions {
    var options = SessionOptions(kind: kind)
    options.context = context
    options.chunk = chunk
    options.threads = threads
    options.instructionSet = instructionSet
    return options
}

func tokens(_ count: Int, below bound: Int, seed: UInt64 = 3) -> [UInt32] {
    var random = RandomValues(seed: seed)
    return (0..<count).map { _ in UInt32(random.below(bound)) }
}

let readyInstructionSets = InstructionSet.allCases.filter { $0.status == .ready }
