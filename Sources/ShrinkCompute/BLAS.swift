import COpenBLAS
import Glibc

/// Matrix products by OpenBLAS, loaded when first needed.
///
/// It is loaded with `dlopen` instead of being linked for two reasons. Its choice of kernels is made
/// while it loads, from CPU models it knows; on newer ones it falls back to AVX2, and the
/// environment variable that corrects it (`OPENBLAS_CORETYPE`, worth a factor of two) must be set
/// before. And its buffers are no cost to commands that only run an artifact.
public struct BLAS: Sendable {
    typealias SGEMM = @convention(c) (
        CBLAS_ORDER, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, blasint, blasint, blasint, Float, UnsafePointer<Float>?, blasint,
        UnsafePointer<Float>?, blasint, Float, UnsafeMutablePointer<Float>?, blasint
    ) -> Void

    let sgemm: SGEMM
    /// The name of the kernels that OpenBLAS chose, such as `SkylakeX`.
    public let coreName: String

    /// Throws `ComputeError` when the library is not installed.
    public static func load() throws -> BLAS { try loaded.get() }

    private static let loaded = Result { try BLAS() }

    private init() throws {
        if getenv("OPENBLAS_CORETYPE") == nil, BLAS.cpuHasAVX512() { setenv("OPENBLAS_CORETYPE", "SkylakeX", 1) }
        guard let library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL) else {
            throw ComputeError("OpenBLAS cannot be loaded (\(String(cString: dlerror()))); install libopenblas0, or run Tools/setup")
        }
        func symbol<T>(_ name: String, as: T.Type) throws -> T {
            guard let address = dlsym(library, name) else { throw ComputeError("OpenBLAS lacks \(name); install a newer one") }
            return unsafeBitCast(address, to: T.self)
        }
        sgemm = try symbol("cblas_sgemm", as: SGEMM.self)
        // Threads share out tiles here: OpenBLAS's own would sum in an order that depends on their number.
        try symbol("openblas_set_num_threads", as: (@convention(c) (Int32) -> Void).self)(1)
        let name = try symbol("openblas_get_corename", as: (@convention(c) () -> UnsafePointer<CChar>?).self)
        coreName = name().map { String(cString: $0) } ?? "unknown"
    }

    /// The features that OpenBLAS's SkylakeX kernels need, as Linux names them.
    private static func cpuHasAVX512() -> Bool {
        guard let file = fopen("/proc/cpuinfo", "r") else { return false }
        defer { fclose(file) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        while getline(&line, &capacity, file) > 0 {
            guard let line, strncmp(line, "flags", 5) == 0 else { continue }
            let flags = Set(String(cString: line).split(whereSeparator: { $0 == " " || $0 == "\n" }))
            return ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"].allSatisfy { flags.contains(Substring($0)) }
        }
        return false
    }
}

/// What kept a graph from running on the host.
public struct ComputeError: Error, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}
