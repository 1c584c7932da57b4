import ShrinkFormat

/// Elements in a row that grows only when asked, in memory from an `Allocator`.
public struct TokenizerBuffer<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline var base: UnsafeMutablePointer<Element>?
    public private(set) var capacity = 0
    @usableFromInline var storedCount = 0
    private let allocator: Allocator

    public init(allocator: Allocator) { self.allocator = allocator }

    deinit { if let base { allocator.deallocate(allocator.context, UnsafeMutableRawPointer(base)) } }

    public var count: Int { storedCount }

    /// Gives the elements to `body`; they are not to be used after it.
    public func withElements<R, E>(_ body: (UnsafeBufferPointer<Element>) throws(E) -> R) throws(E) -> R {
        defer { extendLifetime(self) }
        return try body(elements)
    }

    /// The elements, valid until the next `reserve`, `append` or change of count, for an owner that
    /// keeps this buffer alive: a pointer does not.
    var elements: UnsafeBufferPointer<Element> { UnsafeBufferPointer(start: base, count: storedCount) }

    private static var leastCapacity: Int { 64 }

    /// What the first `reserve(capacity)` asks the allocator for.
    static func byteCount(reserving capacity: Int) -> Int { max(capacity, leastCapacity) * MemoryLayout<Element>.stride }

    /// Makes room for `capacity` elements, at least doubling when it must grow.
    ///
    /// Throws `outOfMemory`, and leaves everything as it was.
    public mutating func reserve(_ capacity: Int) throws(RuntimeError) {
        if capacity <= self.capacity { return }
        let room = max(capacity, self.capacity &* 2, Self.leastCapacity)
        let (byteCount, overflow) = room.multipliedReportingOverflow(by: MemoryLayout<Element>.stride)
        guard !overflow, let memory = allocator.allocate(allocator.context, byteCount, 64) else {
            throw RuntimeError(.outOfMemory, "the allocator gave no memory to the tokenizer", byteCount)
        }
        let grown = memory.bindMemory(to: Element.self, capacity: room)
        if let base {
            grown.update(from: base, count: storedCount)
            allocator.deallocate(allocator.context, UnsafeMutableRawPointer(base))
        }
        base = grown
        self.capacity = room
    }

    @inline(__always)
    public mutating func append(_ element: Element) throws(RuntimeError) {
        if storedCount == capacity { try reserve(storedCount &+ 1) }
        base.unsafelyUnwrapped[storedCount] = element
        storedCount &+= 1
    }

    public mutating func append(_ elements: UnsafeBufferPointer<Element>) throws(RuntimeError) {
        guard let source = elements.baseAddress, elements.count > 0 else { return }
        try reserve(storedCount &+ elements.count)
        (base.unsafelyUnwrapped + storedCount).update(from: source, count: elements.count)
        storedCount &+= elements.count
    }

    /// Drops the elements from `count` on; keeps the memory.
    public mutating func truncate(to count: Int = 0) { storedCount = min(max(count, 0), storedCount) }

    /// Unchecked: 0 <= start <= end <= count. Keeps the memory.
    mutating func remove(from start: Int, to end: Int) {
        guard let base else { return }
        (base + start).update(from: base + end, count: storedCount &- end)
        storedCount &-= end &- start
    }

    /// Unchecked: `index` is below `capacity`, and below `count` when read.
    @inline(__always)
    subscript(unchecked index: Int) -> Element {
        get { base.unsafelyUnwrapped[index] }
        set { base.unsafelyUnwrapped[index] = newValue }
    }

    /// Unchecked: `count` elements have been reserved and written.
    mutating func setCount(_ count: Int) { storedCount = count }
}

/// The result of an encoding: token ids and their type (segment) ids.
public struct TokenBuffer: ~Copyable {
    private var idBuffer: TokenizerBuffer<UInt32>
    private var typeBuffer: TokenizerBuffer<UInt32>

    public init(allocator: Allocator) {
        idBuffer = TokenizerBuffer(allocator: allocator)
        typeBuffer = TokenizerBuffer(allocator: allocator)
    }

    public var count: Int { idBuffer.count }

    /// Gives the token ids to `body`; they are not to be used after it.
    public func withIDs<R, E>(_ body: (UnsafeBufferPointer<UInt32>) throws(E) -> R) throws(E) -> R { try idBuffer.withElements(body) }

    /// Gives the type ids to `body`; they are not to be used after it.
    public func withTypeIDs<R, E>(_ body: (UnsafeBufferPointer<UInt32>) throws(E) -> R) throws(E) -> R { try typeBuffer.withElements(body) }

    public mutating func reserve(_ capacity: Int) throws(RuntimeError) {
        try idBuffer.reserve(capacity)
        try typeBuffer.reserve(capacity)
    }

    public mutating func append(id: UInt32, typeID: UInt32 = 0) throws(RuntimeError) {
        try typeBuffer.append(typeID)
        do { try idBuffer.append(id) } catch {
            typeBuffer.truncate(to: idBuffer.count)
            throw error
        }
    }

    /// Unchecked: 0 <= start <= end <= count.
    mutating func remove(from start: Int, to end: Int) {
        idBuffer.remove(from: start, to: end)
        typeBuffer.remove(from: start, to: end)
    }

    /// The tokens, valid until the next change, for an owner that keeps this buffer alive.
    var ids: UnsafeBufferPointer<UInt32> { idBuffer.elements }
    var typeIDs: UnsafeBufferPointer<UInt32> { typeBuffer.elements }

    public mutating func truncate(to count: Int = 0) {
        idBuffer.truncate(to: count)
        typeBuffer.truncate(to: count)
    }
}
