import CShrinkKernels
import Testing

@Suite struct RegistryTests {
    @Test func theScalarTableIsAlwaysReady() {
        #expect(shrink_isa_query(SHRINK_ISA_SCALAR) == SHRINK_ISA_READY)
    }

    @Test func aTableIsGivenExactlyWhereTheQuerySaysReady() {
        for isa in allSets {
            #expect((shrink_kernels_for(isa) != nil) == (shrink_isa_query(isa) == SHRINK_ISA_READY), "\(name(isa))")
        }
    }

    @Test func theBestSetIsTheLastReadyOne() {
        #expect(shrink_isa_best() == readySets.last)
    }

    @Test func namesAreDistinct() {
        #expect(Set(allSets.map(name)).count == allSets.count)
    }

    @Test func aNumberOutsideTheListIsNotBuilt() {
        #expect(shrink_isa_query(shrink_isa(rawValue: 99)) == SHRINK_ISA_NOT_BUILT)
        #expect(shrink_kernels_for(shrink_isa(rawValue: 99)) == nil)
    }

    @Test func theProcessorFlagsOfLinuxAgree() throws {
        #if arch(x86_64)
        let text = try String(contentsOfProcFile: "/proc/cpuinfo")
        let flags = Set(text.split(separator: "\n").first { $0.hasPrefix("flags") }?.split(separator: " ").map(String.init) ?? [])
        let wanted512: Set = ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx2"]
        #expect((shrink_isa_query(SHRINK_ISA_AVX2) == SHRINK_ISA_READY) == flags.contains("avx2"))
        #expect((shrink_isa_query(SHRINK_ISA_AVX512_VNNI) == SHRINK_ISA_READY) == wanted512.isSubset(of: flags))
        #endif
    }
}
