import Glibc

/// What a launcher of MPI says about the process that it started.
public struct LaunchedProcesses: Equatable, Sendable {
    public var count = 1
    public var rank = 0
    /// How many are on this machine.
    public var localCount = 1

    /// From the environment of `mpirun`: that of Open MPI, or of MPICH and its kin.
    public init(environment: (String) -> String?) {
        func number(_ names: [String], atLeast least: Int) -> Int? {
            names.lazy.compactMap(environment).compactMap { Int($0) }.first { $0 >= least }
        }
        count = number(["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"], atLeast: 1) ?? 1
        rank = number(["OMPI_COMM_WORLD_RANK", "PMI_RANK"], atLeast: 0) ?? 0
        localCount = min(number(["OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"], atLeast: 1) ?? count, count)
    }

    /// The group that trains together. A process alone starts no MPI.
    /// - Throws: `TrainingError` when there are several processes, and no MPI to bring them together.
    public static func join() throws -> any TrainingGroup {
        let processes = LaunchedProcesses { name in getenv(name).map { String(cString: $0) } }
        if processes.count == 1 { return SingleProcess() }
        #if MPI
        let group = try MPIGroup(localSize: processes.localCount)
        guard group.size == processes.count else {
            throw TrainingError(
                .group, "", "\(processes.count) processes were started, but MPI knows of \(group.size): start them by the mpirun of the Open MPI that shrink was built with")
        }
        return group
        #else
        if processes.rank > 0 { throw GroupFailure(rank: 0) }
        throw TrainingError(
            .group, "",
            "\(processes.count) processes were started, but this shrink was built without MPI: build it by swift build -c release --traits MPI, or start one")
        #endif
    }
}

extension TrainingGroup {
    /// Threads for each process: an equal part of the machine's cores, but no more than this process may use. One process alone
    /// takes all.
    public func threadCount(cores: Int, usable: Int) -> Int { size == 1 ? cores : max(1, min(cores / localSize, usable)) }
}
