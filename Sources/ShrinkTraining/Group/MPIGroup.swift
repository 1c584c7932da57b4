#if MPI
import COpenMPI
import Glibc

/// The processes that `mpirun` started, over MPI.
///
/// All calls are from the thread that trains (`MPI_THREAD_FUNNELED`): sums proceed when it looks after them between the nodes of the
/// backward pass, and no thread of their own takes a core from the computation.
final class MPIGroup: TrainingGroup {
    let rank: Int, size: Int, localSize: Int
    var hasEnded = false
    private var requests: [MPI_Request?] = []

    /// - Throws: `TrainingError` when MPI does not start.
    init(localSize: Int) throws {
        var rank: Int32 = 0, size: Int32 = 1
        try Self.check(shrink_mpi_start(&rank, &size))
        self.rank = Int(rank)
        self.size = Int(size)
        self.localSize = max(1, min(localSize, Int(size)))
    }

    private static func check(_ error: Int32) throws {
        if error == 0 { return }
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(shrink_mpi_description_size)) { text in
            text[0] = 0
            shrink_mpi_describe(error, text.baseAddress)
            return text.baseAddress.map { String(cString: $0) } ?? ""
        }
        throw TrainingError(.group, "", "MPI failed: \(text)")
    }

    func sum(_ numbers: inout [Double]) throws {
        let count = Int32(numbers.count)
        try numbers.withUnsafeMutableBufferPointer { try Self.check(shrink_mpi_sum_doubles($0.baseAddress, count)) }
    }

    func minimum(_ number: Int) throws -> Int {
        var number = Int32(clamping: number)
        try Self.check(shrink_mpi_minimum(&number))
        return Int(number)
    }

    func broadcast(_ bytes: UnsafeMutableRawBufferPointer, from rank: Int) throws {
        // A count of MPI is an int.
        for start in stride(from: 0, to: bytes.count, by: 1 << 30) {
            let part = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<min(start + 1 << 30, bytes.count)])
            try Self.check(shrink_mpi_broadcast(part.baseAddress, Int32(part.count), Int32(rank)))
        }
    }

    func beginSum(_ numbers: UnsafeMutableBufferPointer<Float>) throws {
        var request: MPI_Request?
        try Self.check(shrink_mpi_begin_sum(numbers.baseAddress, Int32(numbers.count), &request))
        requests.append(request)
    }

    func advanceSums() throws {
        try requests.withUnsafeMutableBufferPointer { try Self.check(shrink_mpi_test_all($0.baseAddress, Int32($0.count))) }
    }

    func finishSums() throws {
        try requests.withUnsafeMutableBufferPointer { try Self.check(shrink_mpi_wait_all($0.baseAddress, Int32($0.count))) }
        requests.removeAll(keepingCapacity: true)
    }

    func leave() { _ = shrink_mpi_finish() }

    func abort(exitCode: Int32) -> Never {
        _ = shrink_mpi_abort(exitCode)
        exit(exitCode)
    }
}
#endif
