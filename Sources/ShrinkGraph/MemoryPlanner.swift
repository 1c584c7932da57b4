/// Places buffers with known lifetimes in one arena: greedy by size, each at the lowest offset that
/// is free during its life (Pisarchyk & Lee 2020, section 5.2).
public struct MemoryPlanner {
    public struct Buffer {
        public var byteCount: Int
        /// First and last instruction that touches it.
        public var life: ClosedRange<Int>

        public init(byteCount: Int, life: ClosedRange<Int>) {
            self.byteCount = byteCount
            self.life = life
        }
    }

    /// Offsets by buffer, and the size of the arena. Sizes must be multiples of `alignment`.
    public static func plan(_ buffers: [Buffer]) -> (offsets: [Int], byteCount: Int) {
        var offsets = [Int](repeating: 0, count: buffers.count)
        var placed: [Int] = []
        var total = 0
        let bySize = buffers.indices.sorted {
            (-buffers[$0].byteCount, buffers[$0].life.lowerBound, $0) < (-buffers[$1].byteCount, buffers[$1].life.lowerBound, $1)
        }
        for index in bySize {
            let buffer = buffers[index]
            let conflicts = placed.filter { buffers[$0].life.overlaps(buffer.life) }.sorted { offsets[$0] < offsets[$1] }
            var offset = 0
            for other in conflicts {
                if offset + buffer.byteCount <= offsets[other] { break }
                offset = max(offset, offsets[other] + buffers[other].byteCount)
            }
            offsets[index] = offset
            total = max(total, offset + buffer.byteCount)
            placed.append(index)
        }
        return (offsets, total)
    }
}
