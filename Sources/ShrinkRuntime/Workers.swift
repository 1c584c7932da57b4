import CShrinkKernels
import ShrinkFormat

/// How a session splits work: alone, over its own pool, or over the caller's threads.
struct Workers {
    /// Counters of shares are a cache line apart.
    static let shareStride = 8

    let count: Int
    private let function: shrink_parallel_for?
    private let context: UnsafeMutableRawPointer?

    /// Starts a pool in `memory` when one is needed. Throws `outOfMemory` with errno when the system
    /// has no more threads.
    init(count: Int, parallelFor: ParallelFor?, poolMemory: UnsafeMutableRawPointer) throws(RuntimeError) {
        self.count = count
        if count == 1 {
            function = nil
            context = nil
        } else if let parallelFor {
            function = parallelFor.function
            context = parallelFor.context
        } else {
            var pool: OpaquePointer?
            let error = shrink_pool_create(poolMemory, count, &pool)
            guard error == 0 else { throw RuntimeError(.outOfMemory, "the system gave no thread", Int(error)) }
            function = shrink_pool_run
            context = pool.map { UnsafeMutableRawPointer($0) }
        }
    }

    func destroyPool(isOwn: Bool) {
        if isOwn, let context { shrink_pool_destroy(OpaquePointer(context)) }
    }

    /// Performs all items of a task. Workers take runs of them, in whatever order: no item reads what
    /// another writes. False: it was cancelled.
    @discardableResult
    func perform(_ task: consuming Task, isSmall: Bool) -> Bool {
        guard let function, !isSmall, task.itemCount > 1 else {
            task.perform(0..<task.itemCount, worker: 0)
            return true
        }
        task.workerCount = count
        if case .channelShares = task.stage {
            for share in 0..<count { task.executor.pointee.takenOfShares[share &* Self.shareStride] = 0 }
        }
        withUnsafeMutablePointer(to: &task) { task in
            function(context, count, { task, worker in
                guard let task else { return }
                Task.performRuns(of: task.assumingMemoryBound(to: Task.self), worker: worker)
            }, task)
        }
        return task.cancelled == 0
    }
}

/// One stage of one instruction, as numbered items that do not depend on each other.
struct Task {
    enum Stage {
        /// An item is a row, all of the instruction's work on it.
        case rows
        /// An item is a block of output channels for a tile of rows; tiles one after the other.
        case channels
        /// An item is a block of channels for one row. Workers begin with a share of their own, the same every time: its
        /// weights are one stream from memory, and stay in the worker's cache if they can.
        case channelShares
        /// An item is a kernel call of attention: some heads of some tokens of the tile.
        case heads(AttentionTile)
        /// An item is a row of attention that is complete and still to be quantized.
        case quantizeAttention(AttentionTile)
        /// An item is a worker's tokens, and all of this and the next instructions' work on them.
        case tokens(instructions: Int)
    }

    let executor: UnsafePointer<Executor>
    let instruction: UnsafePointer<DecodedInstruction>
    let stage: Stage
    let itemCount: Int
    var workerCount = 1
    private var taken: Int64 = 0
    /// How many workers stopped before the end.
    fileprivate(set) var cancelled: Int64 = 0

    init(
        _ executor: UnsafePointer<Executor>, _ instruction: UnsafePointer<DecodedInstruction>, _ stage: Stage, itemCount: Int
    ) {
        self.executor = executor
        self.instruction = instruction
        self.stage = stage
        self.itemCount = itemCount
    }

    /// All workers at the same time: none has the task for itself, and only the counter changes.
    static func performRuns(of task: UnsafeMutablePointer<Task>, worker: Int) {
        if case .channelShares = task.pointee.stage { return performShares(of: task, worker: worker) }
        if case .tokens(let instructions) = task.pointee.stage {
            // Each its own share of the tokens, the same in all stretches: what it needs is in its cache.
            let stretch = UnsafeBufferPointer(start: task.pointee.instruction, count: instructions)
            if !task.pointee.executor.pointee.runTokens(stretch, worker: worker) {
                _ = shrink_atomic_add(&task.pointee.cancelled, 1)
            }
            return
        }
        let (itemCount, workerCount) = (Int64(task.pointee.itemCount), Int64(task.pointee.workerCount))
        while true {
            var run: Int64 = 0
            let first = Int(shrink_atomic_take(&task.pointee.taken, itemCount, workerCount, 1, &run))
            if run == 0 { return }
            task.pointee.perform(first..<(first + Int(run)), worker: worker)
        }
    }

    /// A worker's own share, half of what is left at a time; then what is left of the others', where they are slower.
    private static func performShares(of task: UnsafeMutablePointer<Task>, worker: Int) {
        let (itemCount, workerCount) = (task.pointee.itemCount, task.pointee.workerCount)
        for i in 0..<workerCount {
            let share = (worker &+ i) % workerCount
            let begin = share &* itemCount / workerCount
            let count = (share &+ 1) &* itemCount / workerCount &- begin
            let taken = task.pointee.executor.pointee.takenOfShares + share &* Workers.shareStride
            while true {
                var run: Int64 = 0
                let first = Int(shrink_atomic_take(taken, Int64(count), 1, 4, &run))
                if run == 0 { break }
                let items = (begin &+ first)..<(begin &+ first &+ Int(run))
                let (executor, instruction) = (task.pointee.executor, task.pointee.instruction)
                let next = i == 0 && first &+ Int(run) == count ? instruction.pointee.next.share(worker, of: workerCount).baseAddress : nil
                executor.pointee.multiplyBlocks(items, of: instruction, next: next)
            }
        }
    }

    func perform(_ items: Range<Int>, worker: Int) {
        switch stage {
        case .rows: executor.pointee.performRows(items, of: instruction, worker: worker)
        case .channels, .channelShares: executor.pointee.multiplyBlocks(items, of: instruction)
        case .heads(let tile):
            for item in items { executor.pointee.attend(item, of: instruction, tile, worker: worker) }
        case .quantizeAttention(let tile):
            let first = tile.tokens.lowerBound
            executor.pointee.quantizeAttention((first &+ items.lowerBound)..<(first &+ items.upperBound), of: instruction, tile)
        case .tokens: break
        }
    }
}
