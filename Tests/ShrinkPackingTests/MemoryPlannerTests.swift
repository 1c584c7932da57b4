import ShrinkGraph
import Testing


@Suite struct MemoryPlannerTests {
    typealias Buffer = MemoryPlanner.Buffer

    /// The most bytes that live at one time: no plan can be smaller.
    func peak(_ buffers: [Buffer]) -> Int {
        (0...(buffers.map(\.life.upperBound).max() ?? 0)).map { time in
            buffers.filter { $0.life.contains(time) }.reduce(0) { $0 + $1.byteCount }
        }.max() ?? 0
    }

    @Test func nothingNeedsNothing() {
        #expect(MemoryPlanner.plan([]).byteCount == 0)
    }

    @Test func buffersOfDifferentTimesShareTheirPlace() {
        let plan = MemoryPlanner.plan([Buffer(byteCount: 64, life: 0...1), Buffer(byteCount: 64, life: 2...3), Buffer(byteCount: 32, life: 4...4)])
        #expect(plan.offsets == [0, 0, 0])
        #expect(plan.byteCount == 64)
    }

    @Test func aChainNeedsItsTwoLargestNeighbours() {
        // Each step reads one buffer and writes the next.
        let sizes = [16, 48, 32, 64, 16, 16]
        let chain = sizes.enumerated().map { Buffer(byteCount: $1, life: $0...$0 + 1) }
        #expect(MemoryPlanner.plan(chain).byteCount == 96)
    }

    @Test func aGapIsFilledThatIsJustLargeEnough() {
        let buffers = [
            Buffer(byteCount: 64, life: 0...9), Buffer(byteCount: 48, life: 0...3), Buffer(byteCount: 32, life: 0...9), Buffer(byteCount: 16, life: 5...9),
        ]
        let plan = MemoryPlanner.plan(buffers)
        #expect(plan.byteCount == 144)
        #expect(plan.offsets[3] == 64, "where the second one was")
    }

    @Test func livesThatTouchAtOneInstructionConflict() {
        let plan = MemoryPlanner.plan([Buffer(byteCount: 16, life: 0...2), Buffer(byteCount: 16, life: 2...3)])
        #expect(Set(plan.offsets) == [0, 16])
    }

    @Test func liveBuffersNeverOverlapAndThePlanIsNearThePeak() {
        var random = RepeatableRandom(state: 42)
        var total = 0, least = 0
        for _ in 0..<300 {
            let buffers = (0..<Int(random.next() % 40 + 1)).map { _ in
                let start = Int(random.next() % 30)
                return Buffer(byteCount: 16 * Int(random.next() % 20 + 1), life: start...start + Int(random.next() % 8))
            }
            let plan = MemoryPlanner.plan(buffers)
            for a in buffers.indices {
                #expect(plan.offsets[a] >= 0 && plan.offsets[a].isMultiple(of: 16) && plan.offsets[a] + buffers[a].byteCount <= plan.byteCount)
                for b in 0..<a where buffers[a].life.overlaps(buffers[b].life) {
                    let isApart = plan.offsets[a] + buffers[a].byteCount <= plan.offsets[b] || plan.offsets[b] + buffers[b].byteCount <= plan.offsets[a]
                    #expect(isApart)
                }
            }
            total += plan.byteCount
            least += peak(buffers)
        }
        #expect(Double(total) < 1.1 * Double(least), "greedy by size is within a tenth of the bound on average")
    }
}

/// The same numbers in every run (Knuth's linear congruential generator).
struct RepeatableRandom: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state = state &* 6364136223846793005 &+ 1442695040888963407
        return state >> 33
    }
}
