/// Hides tokens that a model then has to find (Devlin et al.: BERT, 2019, section 3.1, task 1 and appendix A.1).
///
/// Of n tokens, special ones included, `share`·n rounded to the nearest (ties to even), at least one and at
/// most `maximumCount`, are chosen among those that are not special; of each, in 80 % of cases `[MASK]` takes the place, in 10 %
/// any token of the vocabulary, in 10 % it stays.
public struct Masking: Sendable {
    public var share = 0.15
    public var maximumCount = Int.max
    /// Tokens that continue a word are chosen with its first one or not at all; a word that is more than may still be chosen is passed over.
    public var wholeWords = false
    private let mask: Int32
    private let vocabularySize: Int
    private let special: Set<Int32>
    private let continuesWord: [Bool]

    /// - Parameters:
    ///   - mask: the token `[MASK]`.
    ///   - special: tokens that are never chosen: `[CLS]`, `[SEP]`, `[PAD]`.
    ///   - continuesWord: for each token of the vocabulary (`ExampleEncoder.continuesWord`).
    public init(mask: Int32, special: Set<Int32>, continuesWord: [Bool]) {
        self.mask = mask
        self.special = special
        self.continuesWord = continuesWord
        vocabularySize = continuesWord.count
    }

    /// What depends on nothing but the arguments: the inputs, and the tokens to be found, with `Example.ignored` where none is.
    ///
    /// - Parameter example: the number by which the example is known, in any batch.
    public func apply(to tokens: [Int32], seed: UInt64, epoch: Int, example: Int) -> (inputs: [Int32], targets: [Int32]) {
        var random = Random(seed: seed, Random.Purpose.masking, epoch, example)
        var groups = groups(of: tokens)
        random.shuffle(&groups)
        let wanted = min(maximumCount, max(1, Int((Double(tokens.count) * share).rounded(.toNearestOrEven))))
        var inputs = tokens
        var targets = [Int32](repeating: Example.ignored, count: tokens.count)
        var chosen = 0
        for group in groups where chosen + group.count <= wanted {
            for place in group {
                targets[place] = tokens[place]
                if random.nextUnit() < 0.8 {
                    inputs[place] = mask
                } else if random.nextUnit() < 0.5 {
                    inputs[place] = Int32(random.next(below: vocabularySize))
                }
            }
            chosen += group.count
        }
        return (inputs, targets)
    }

    /// Places that are chosen together.
    private func groups(of tokens: [Int32]) -> [Range<Int>] {
        var groups: [Range<Int>] = []
        for (place, token) in tokens.enumerated() where !special.contains(token) {
            if wholeWords, continuesWord[Int(token)], let last = groups.last, last.upperBound == place {
                groups[groups.count - 1] = last.lowerBound..<place + 1
            } else {
                groups.append(place..<place + 1)
            }
        }
        return groups
    }
}
