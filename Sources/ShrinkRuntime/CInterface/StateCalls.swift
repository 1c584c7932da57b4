import CShrink
import ShrinkFormat

@c @implementation
public func shrink_session_saved_bytes(_ session: OpaquePointer!) -> Int {
    guard let session else { return 0 }
    return Handle<SessionHandle>.at(session).pointee.session.savedByteCount
}

@c @implementation
public func shrink_session_save(
    _ session: OpaquePointer!, _ buffer: UnsafeMutableRawPointer!, _ capacity: Int, _ byteCount: UnsafeMutablePointer<Int>!,
    _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<SessionHandle>.value(session)
        _ = try elements(UnsafePointer((buffer as UnsafeMutableRawPointer?)?.assumingMemoryBound(to: UInt8.self)), capacity)
        let written = try handle.pointee.session.save(to: UnsafeMutableRawBufferPointer(start: buffer, count: buffer == nil ? 0 : capacity))
        (byteCount as UnsafeMutablePointer<Int>?)?.pointee = written
    }
}

@c @implementation
public func shrink_session_restore(
    _ session: OpaquePointer!, _ bytes: UnsafeRawPointer!, _ byteCount: Int, _ error: UnsafeMutablePointer<shrink_error>!
) -> shrink_code {
    report(to: error) { () throws(RuntimeError) in
        let handle = try Handle<SessionHandle>.value(session)
        handle.pointee.output = nil
        let state = try elements((bytes as UnsafeRawPointer?)?.assumingMemoryBound(to: UInt8.self), byteCount)
        do throws(RuntimeError) {
            try handle.pointee.session.restore(from: UnsafeRawBufferPointer(state))
        } catch {
            handle.pointee.log.write(SHRINK_LOG_WARNING) { line in
                line.add("refused a saved state: ")
                line.add(error.message)
            }
            throw error
        }
    }
}
