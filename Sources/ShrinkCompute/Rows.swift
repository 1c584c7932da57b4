import Dispatch

/// Runs `body` for every row, on all cores when there is enough to do. Rows are independent, so the
/// result does not depend on how they are shared out.
func forEachRow(_ count: Int, _ body: @Sendable (Int) -> Void) {
    let share = 16
    if count <= share {
        for row in 0..<count { body(row) }
    } else {
        DispatchQueue.concurrentPerform(iterations: (count + share - 1) / share) { part in
            for row in part * share..<min((part + 1) * share, count) { body(row) }
        }
    }
}
