import Glibc
import ShrinkCheckpoints
import ShrinkJSON

/// `metrics.jsonl`: a line for every step and every validation.
final class MetricsLog {
    private let path: String
    private let descriptor: Int32
    private(set) var byteCount: Int

    /// - Parameter byteCount: how much of what is there remains; less when a line would be cut.
    init(path: String, byteCount: Int) throws(CheckpointError) {
        self.path = path
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND, 0o666)
        self.byteCount = 0
        guard descriptor >= 0 else { throw failure(.cannotCreate) }
        self.byteCount = min(byteCount, Int(lseek(descriptor, 0, SEEK_END)))
        var last: UInt8 = 0
        while self.byteCount > 0, pread(descriptor, &last, 1, off_t(self.byteCount - 1)) == 1, last != 0x0A { self.byteCount -= 1 }
        guard ftruncate(descriptor, off_t(self.byteCount)) == 0 else { throw failure(.writeFailed) }
    }

    deinit { close(descriptor) }

    func append(_ members: [(String, JSON)]) throws(CheckpointError) {
        var object = JSON.Object()
        for (key, value) in members { object.append(key, value) }
        var line = JSON.object(object).serialized + "\n"
        let written = line.withUTF8 { write(descriptor, $0.baseAddress, $0.count) }
        guard written == line.utf8.count else {
            // A part was written: there is no room for the rest.
            if written >= 0 { errno = ENOSPC }
            let error = failure(errno == ENOSPC || errno == EDQUOT || written >= 0 ? .diskFull : .writeFailed)
            ftruncate(descriptor, off_t(byteCount))
            throw error
        }
        byteCount += written
    }

    func synchronize() throws(CheckpointError) {
        guard fsync(descriptor) == 0 else { throw failure(errno == ENOSPC ? .diskFull : .writeFailed) }
    }

    private func failure(_ code: CheckpointError.Code) -> CheckpointError {
        CheckpointError(code, file: path, message: "cannot be written: \(String(cString: strerror(errno)))")
    }
}
