/// Examples of one step, padded to one length.
public struct Batch: Sendable, Equatable {
    /// Examples.
    public let count: Int
    /// Tokens of each with padding: that of the longest, rounded up.
    public let length: Int
    /// [count, length]
    public let tokens: [Int32]
    /// [count, length]; 0 where there is padding.
    public let segments: [Int32]
    /// Tokens of each example without padding; what is behind them must not be attended to.
    public let lengths: [Int]
    /// [count, length]; `Example.ignored` where there is padding. Empty for examples without tags.
    public let tags: [Int32]
    /// [count]; see `Example.label`.
    public let labels: [UInt32]

    /// Puts examples below each other.
    ///
    /// - Parameters:
    ///   - padding: the token to fill up with.
    ///   - multiple: the length is rounded up to a multiple of it.
    /// - Precondition: all examples have tags, or none has.
    public init(_ examples: [Example], padding: Int32, multiple: Int = 1) {
        let longest = max(examples.map(\.tokens.count).max() ?? 0, 1)
        let length = (longest + multiple - 1) / multiple * multiple
        func rows(_ values: (Example) -> [Int32], _ filler: Int32) -> [Int32] {
            examples.flatMap { values($0) + [Int32](repeating: filler, count: length - values($0).count) }
        }
        count = examples.count
        self.length = length
        tokens = rows(\.tokens, padding)
        segments = rows(\.segments, 0)
        lengths = examples.map(\.tokens.count)
        tags = examples.allSatisfy(\.tags.isEmpty) ? [] : rows(\.tags, Example.ignored)
        labels = examples.map(\.label)
    }
}
