import ShrinkFormat

@_extern(c) func measure_peak_bytes() -> Int
@_extern(c) func measure_file_bytes(_ path: UnsafePointer<CChar>) -> Int
@_extern(c) func measure_report(_ file: Int, _ predicted: Int, _ peak: Int) -> Int32
@_extern(c) func measure_failure(_ message: UnsafePointer<UInt8>, _ detail: Int)
@_extern(c) func atoi(_ text: UnsafePointer<CChar>) -> Int32

/// Opens the artifact as a device would, runs its first entry point over some tokens, then decodes as many one by one.
func measure(_ path: UnsafePointer<CChar>, _ count: Int) throws(RuntimeError) -> Int32 {
    let model = try Model(path: path)
    guard let entry = model.program.entry(0) else { return 1 }
    var options = SessionOptions(kind: entry.kind)
    options.context = entry.kind.isIncremental ? 2 * count : count
    let predicted = try model.sessionByteCount(options)
    var session = try Session(model, options)
    let tokens = UnsafeMutableBufferPointer<UInt32>.allocate(capacity: count)
    defer { tokens.deallocate() }
    for index in 0..<count { tokens[index] = UInt32(index &* 7919) % model.program.header.vocabularySize }
    _ = try session.feed(UnsafeBufferPointer(tokens))
    if entry.kind.isIncremental {
        for index in 0..<count { _ = try session.step(UnsafeBufferPointer(rebasing: tokens[index..<index + 1])) }
    }
    return measure_report(measure_file_bytes(path), predicted, measure_peak_bytes())
}

@c(main) func main(_ count: Int32, _ arguments: UnsafeMutablePointer<UnsafePointer<CChar>?>) -> Int32 {
    guard count == 3, let path = arguments[1], let tokens = arguments[2] else { return 64 }
    do throws(RuntimeError) {
        return try measure(path, max(1, Int(atoi(tokens))))
    } catch {
        measure_failure(error.message.utf8Start, error.detail)
        return 1
    }
}
