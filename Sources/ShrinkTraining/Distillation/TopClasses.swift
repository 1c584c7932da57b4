import Glibc

enum TopClasses {
    /// Writes the numbers of the `count` largest logits from the largest down, the logarithms of their probabilities at a
    /// temperature, and that of all others' together.
    static func find(_ logits: UnsafeBufferPointer<Float>, _ count: Int, temperature: Float, into target: UnsafeMutablePointer<Float>) {
        // A heap of what has been found, its smallest on top; of equal ones the later class is smaller.
        var heap: [Int] = []
        heap.reserveCapacity(count)
        func isSmaller(_ a: Int, _ b: Int) -> Bool { logits[a] < logits[b] || (logits[a] == logits[b] && a > b) }
        func sink(_ start: Int) {
            var place = start
            while 2 * place + 1 < heap.count {
                var child = 2 * place + 1
                if child + 1 < heap.count, isSmaller(heap[child + 1], heap[child]) { child += 1 }
                guard isSmaller(heap[child], heap[place]) else { return }
                heap.swapAt(child, place)
                place = child
            }
        }
        for index in logits.indices {
            if heap.count < count {
                heap.append(index)
                if heap.count == count { for place in (0..<count / 2).reversed() { sink(place) } }
            } else if isSmaller(heap[0], index) {
                heap[0] = index
                sink(0)
            }
        }
        heap.sort { isSmaller($1, $0) }
        let largest = Double(logits[heap[0]])
        func power(_ index: Int) -> Double { exp((Double(logits[index]) - largest) / Double(temperature)) }
        // What is not on top is summed by itself: as the difference of two sums, little would be lost.
        var isTop = [Bool](repeating: false, count: logits.count)
        for index in heap { isTop[index] = true }
        var others = 0.0, top = 0.0
        for index in logits.indices where !isTop[index] { others += power(index) }
        for index in heap { top += power(index) }
        let all = log(top + others)
        for (place, index) in heap.enumerated() {
            target[place] = Float(index)
            target[count + place] = Float((Double(logits[index]) - largest) / Double(temperature) - all)
        }
        target[2 * count] = Float(log(others) - all)
    }
}
