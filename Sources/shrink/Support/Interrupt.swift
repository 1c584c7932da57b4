import Glibc

/// Ctrl-C, SIGTERM and a lost terminal set a flag that long work looks at, so that it can tidy up.
enum Interrupt {
    struct Interrupted: Error {}

    /// Also the cancel flag of the runtime.
    nonisolated(unsafe) static let flag: UnsafeMutablePointer<Int32> = {
        let flag = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
        flag.initialize(to: 0)
        return flag
    }()

    static func install() {
        _ = flag
        // A reader that has gone and a file that may not grow are errors of the write, not the end of
        // the process before it could tidy up.
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            var action = sigaction()
            // `nohup` has the hangup ignored, and so it stays.
            sigaction(number, nil, &action)
            if number == SIGHUP, unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1 { continue }
            action = sigaction()
            action.__sigaction_handler.sa_handler = { number in
                // A second one ends the process at once.
                if Interrupt.flag.pointee != 0 { _exit(128 + number) }
                Interrupt.flag.pointee = 1
            }
            sigaction(number, &action, nil)
        }
    }

    static func check() throws {
        if flag.pointee != 0 { throw Interrupted() }
    }
}
