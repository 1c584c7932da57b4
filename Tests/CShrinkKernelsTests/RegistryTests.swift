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
        let text = try String(contentsOfProcFile: "/proc/cpuinfo")
        #if arch(x86_64)
        let field = "flags", sets: [(shrink_isa, Set<String>)] = [
            (SHRINK_ISA_SSE41, ["sse4_1"]), (SHRINK_ISA_AVX2, ["avx2"]), (SHRINK_ISA_AVX_VNNI, ["avx2", "avx_vnni"]),
            (SHRINK_ISA_AVX512_VNNI, ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx2"]),
        ]
        #else
        let field = "Features", sets: [(shrink_isa, Set<String>)] = [
            (SHRINK_ISA_NEON, ["asimd"]), (SHRINK_ISA_DOTPROD, ["asimddp"]), (SHRINK_ISA_I8MM, ["asimddp", "i8mm"]),
        ]
        #endif
        let flags = Set(text.split(separator: "\n").first { $0.hasPrefix(field) }?.split(separator: " ").map(String.init) ?? [])
        for (isa, wanted) in sets {
            #expect((shrink_isa_query(isa) == SHRINK_ISA_READY) == wanted.isSubset(of: flags), "\(name(isa))")
        }
    }

    @Test func theSetsOfOtherArchitecturesAreNotBuilt() {
        #if arch(x86_64)
        let others = [SHRINK_ISA_NEON, SHRINK_ISA_DOTPROD, SHRINK_ISA_I8MM]
        #else
        let others = [SHRINK_ISA_SSE41, SHRINK_ISA_AVX2, SHRINK_ISA_AVX_VNNI, SHRINK_ISA_AVX512_VNNI]
        #endif
        for isa in others { #expect(shrink_isa_query(isa) == SHRINK_ISA_NOT_BUILT, "\(name(isa))") }
    }
}
