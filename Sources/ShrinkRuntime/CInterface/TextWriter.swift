import CShrink
import ShrinkFormat

/// Text into memory of a given size, as much as there is room for, with a zero byte at the end.
struct TextWriter {
    private let base: UnsafeMutablePointer<CChar>?
    private let capacity: Int
    /// Length of the whole text, without the zero byte.
    private(set) var count = 0

    init(_ base: UnsafeMutablePointer<CChar>?, capacity: Int) {
        self.base = base
        self.capacity = base == nil ? 0 : max(capacity, 0)
        if self.capacity > 0 { base?[0] = 0 }
    }

    mutating func add(byte: UInt8) {
        if let base, count + 1 < capacity {
            base[count] = CChar(truncatingIfNeeded: byte)
            base[count + 1] = 0
        }
        count += 1
    }

    mutating func add(_ text: StaticString) {
        for i in 0..<text.utf8CodeUnitCount { add(byte: text.utf8Start[i]) }
    }

    /// A zero-terminated text.
    mutating func add(cString text: UnsafePointer<CChar>?) {
        guard var text else { return }
        while text[0] != 0 {
            add(byte: UInt8(truncatingIfNeeded: text[0]))
            text += 1
        }
    }

    mutating func add(_ number: Int) {
        if number < 0 { add(byte: UInt8(ascii: "-")) }
        var scale: UInt = 1
        while number.magnitude / scale >= 10 { scale *= 10 }
        while scale > 0 {
            add(byte: UInt8(ascii: "0") + UInt8(truncatingIfNeeded: number.magnitude / scale % 10))
            scale /= 10
        }
    }

    mutating func pad(to column: Int, from start: Int) {
        while count - start < column { add(byte: 0x20) }
    }
}

/// The caller's log; lines are cut at 255 bytes.
struct Log {
    let function: shrink_log_fn?
    let context: UnsafeMutableRawPointer?

    func write(_ level: shrink_log_level = SHRINK_LOG_INFO, _ build: (inout TextWriter) -> Void) {
        guard let function else { return }
        var line = InlineArray<256, CChar>(repeating: 0)
        withUnsafeMutablePointer(to: &line) { line in
            let bytes = UnsafeMutableRawPointer(line).assumingMemoryBound(to: CChar.self)
            var writer = TextWriter(bytes, capacity: 256)
            build(&writer)
            // A path may hold anything.
            for i in 0..<min(writer.count, 255) where bytes[i] >= 0 && bytes[i] < 0x20 { bytes[i] = 0x3F }
            function(context, level, bytes)
        }
    }
}
