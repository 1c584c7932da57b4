import CShrinkKernels
import CShrinkMachine
import Testing

@Suite(.serialized) struct MachineTests {
    @Test func everyReadySetOfInstructionsHasARate() {
        for number in 0..<SHRINK_ISA_COUNT.rawValue {
            let isa = shrink_isa(rawValue: number)
            let isExpected = isa != SHRINK_ISA_SCALAR && shrink_isa_query(isa) == SHRINK_ISA_READY
            #expect((shrink_machine_int8_rate(isa, 1) > 0) == isExpected, "\(String(cString: shrink_isa_name(isa)))")
        }
    }

    @Test func memoryIsReadBySeveralThreads() {
        #expect(shrink_machine_read_rate(1, 4 << 20) > 0)
        #expect(shrink_machine_read_rate(3, 4 << 20) > 0)
    }

    @Test func whatCannotBeMeasuredIsZero() {
        #expect(shrink_machine_read_rate(0, 4 << 20) == 0)
        #expect(shrink_machine_read_rate(SHRINK_MACHINE_MAXIMUM_THREADS + 1, 4 << 20) == 0)
        #expect(shrink_machine_read_rate(4, 512) == 0, "less than a piece for each thread")
        #expect(shrink_machine_read_rate(1, 1 << 62) == 0, "more than there are addresses")
        #expect(shrink_machine_int8_rate(shrink_isa_best(), 0) == 0)
    }

    @Test func aPinnedThreadHasOneCPUUntilItIsReleased() {
        let count = shrink_machine_cpu_count()
        var before = shrink_machine_cpus()
        #expect(shrink_machine_pin(&before) >= 0)
        #expect(shrink_machine_cpu_count() == 1)
        shrink_machine_unpin(&before)
        #expect(shrink_machine_cpu_count() == count)
    }
}
