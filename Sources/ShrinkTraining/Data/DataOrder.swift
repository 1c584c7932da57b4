/// Which examples are trained on and which are held back.
public struct DataSplit: Sendable, Equatable {
    /// Indices in rising order; together they are all examples, and none is in both.
    public let training: [Int]
    public let validation: [Int]

    /// Holds back `validationShare` of the examples, rounded to the nearest number (halves away from
    /// zero): the first ones of a random order that depends on the seed alone.
    public init(count: Int, validationShare: Double, seed: UInt64) {
        var order = Array(0..<count)
        var random = Random(seed: seed, Random.Purpose.split)
        random.shuffle(&order)
        let held = min(max(Int((Double(count) * min(max(validationShare, 0), 1)).rounded()), 0), count)
        validation = order[..<held].sorted()
        training = order[held...].sorted()
    }
}

/// How far training has come through its data: all that is needed to go on with exactly the next batch.
public struct DataPosition: Codable, Sendable, Equatable {
    /// Whole passes done.
    public var epoch = 0
    /// Batches of this pass done.
    public var batch = 0

    public init(epoch: Int = 0, batch: Int = 0) {
        self.epoch = epoch
        self.batch = batch
    }
}

/// Deals examples into batches, in another random order in every epoch.
///
/// The order depends on the seed and the epoch alone: each epoch is a random permutation (4 bytes an
/// example in memory), so a position is two numbers and any batch can be found again.
///
/// With lengths, batches hold examples of similar length: the permutation is cut into pools of
/// `poolBatches` batches, each pool is sorted by length (equal lengths stay in order) and cut into
/// batches, and the batches of the pool are shuffled.
public struct BatchOrder: Sendable {
    public let examples: [Int]
    public let batchSize: Int
    public let seed: UInt64
    /// Whether the last batch of an epoch is left out when it is smaller.
    public let dropsLast: Bool
    /// False gives the examples as they stand, for evaluation.
    public let shuffles: Bool
    public private(set) var position = DataPosition()
    private let lengths: (@Sendable (Int) -> Int)?
    private let poolBatches: Int
    private var order: [UInt32] = []
    /// The batches of the epoch in their order, each by where it starts in `order`.
    private var starts: [UInt32] = []
    private var preparedEpoch = -1

    /// - Parameters:
    ///   - examples: indices below 2^32; at least one, and a whole batch of them with `dropsLast`.
    ///   - lengths: the length of an example, to put similar ones together; nil not to.
    public init(
        _ examples: [Int], batchSize: Int, seed: UInt64, shuffles: Bool = true, dropsLast: Bool = false,
        lengths: (@Sendable (Int) -> Int)? = nil, poolBatches: Int = 64
    ) {
        precondition(batchSize > 0 && poolBatches > 0 && examples.count >= (dropsLast ? batchSize : 1))
        self.examples = examples
        self.batchSize = batchSize
        self.seed = seed
        self.shuffles = shuffles
        self.dropsLast = dropsLast
        self.lengths = lengths
        self.poolBatches = poolBatches
    }

    public var batchesPerEpoch: Int { dropsLast ? examples.count / batchSize : (examples.count + batchSize - 1) / batchSize }

    /// Goes to a position that `position` gave with the same examples and settings. One beyond the end of
    /// an epoch counts on in the next.
    public mutating func restore(_ position: DataPosition) {
        self.position = DataPosition(epoch: position.epoch + position.batch / batchesPerEpoch, batch: position.batch % batchesPerEpoch)
    }

    /// The examples of the next batch; the end of an epoch is followed by the start of the next.
    public mutating func next() -> [Int] {
        prepare()
        let start = Int(starts[position.batch])
        let batch = order[start..<min(start + batchSize, order.count)].map { examples[Int($0)] }
        position.batch += 1
        if position.batch == batchesPerEpoch { position = DataPosition(epoch: position.epoch + 1, batch: 0) }
        return batch
    }

    private mutating func prepare() {
        guard preparedEpoch != position.epoch else { return }
        preparedEpoch = position.epoch
        order = Array(0..<UInt32(examples.count))
        starts = (0..<batchesPerEpoch).map { UInt32($0 * batchSize) }
        guard shuffles else { return }
        var random = Random(seed: seed, Random.Purpose.order, position.epoch)
        random.shuffle(&order)
        guard let lengths else { return }
        let examples = examples
        // What is left over for a smaller last batch stays as the permutation has it.
        let whole = order.count / batchSize
        for pool in stride(from: 0, to: whole * batchSize, by: batchSize * poolBatches) {
            let places = pool..<min(pool + batchSize * poolBatches, whole * batchSize)
            let keyed = places.map { (length: lengths(examples[Int(order[$0])]), place: $0, example: order[$0]) }
            let sorted = keyed.sorted { ($0.length, $0.place) < ($1.length, $1.place) }
            for (place, item) in zip(places, sorted) { order[place] = item.example }
        }
        random = Random(seed: seed, Random.Purpose.buckets, position.epoch)
        for first in stride(from: 0, to: whole, by: poolBatches) {
            var pool = Array(starts[first..<min(first + poolBatches, whole)])
            random.shuffle(&pool)
            starts.replaceSubrange(first..<first + pool.count, with: pool)
        }
    }
}
