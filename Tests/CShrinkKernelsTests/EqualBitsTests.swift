import CShrinkKernels
import Testing

/// The numeric contract: every table gives the bits of the scalar one.
@Suite struct EqualBitsTests {
    @Test func everyKernelOfTheListHasACase() {
        #expect(KernelCase.all.count == MemoryLayout<shrink_kernels>.size / MemoryLayout<UnsafeRawPointer>.size)
        #expect(Set(KernelCase.all.map(\.name)).count == KernelCase.all.count)
    }

    @Test(arguments: KernelCase.all)
    func everyInstructionSetGivesTheScalarBitsWithinItsMemory(_ kernel: KernelCase) throws {
        for seed in 0..<400 {
            var random = Randomness(state: UInt64(seed)), memory = Memory()
            let expected = kernel.run(scalar, &random, memory)
            #expect(memory.isIntact, "\(kernel.name), scalar, seed \(seed)")
            for isa in readySets {
                random = Randomness(state: UInt64(seed))
                memory = Memory()
                let found = kernel.run(shrink_kernels_for(isa)!.pointee, &random, memory)
                let differing = found.indices.first { found[$0] != expected[$0] }
                try #require(differing == nil, "\(kernel.name), \(name(isa)), seed \(seed), element \(differing!)")
                #expect(memory.isIntact, "\(kernel.name), \(name(isa)), seed \(seed)")
            }
        }
    }

    @Test func linearLeavesGapsAndOtherBlocksUntouched() {
        for isa in readySets {
            for seed in 0..<100 {
                var random = Randomness(state: UInt64(seed))
                let memory = Memory(), problem = LinearQ8(&random)
                let (args, y, count) = problem.arguments(memory, &random)
                withUnsafePointer(to: args) { shrink_kernels_for(isa)!.pointee.linear_q8($0) }
                let written = Int(args.block_begin) * 32..<min(Int(args.block_end) * 32, problem.w.count)
                for i in 0..<count where !written.contains(i % args.y_stride) {
                    #expect(y[i].bitPattern == Memory.untouched.bitPattern, "\(name(isa)), seed \(seed), element \(i)")
                }
            }
        }
    }

    @Test func linearDoesNotDependOnTheSplitOfRowsAndBlocks() {
        for isa in readySets {
            let kernels = shrink_kernels_for(isa)!.pointee
            for seed in 0..<60 {
                var random = Randomness(state: UInt64(seed))
                let memory = Memory(), problem = LinearQ8(&random)
                var (args, y, count) = problem.arguments(memory, &random)
                args.block_begin = 0
                args.block_end = UInt32((problem.w.count + 31) / 32)
                withUnsafePointer(to: args) { kernels.linear_q8($0) }
                let whole = bits(y, count)

                let parts = memory.allocate(Float.self, count)
                var first = 0
                while first < problem.x.count {
                    let rows = min(random.int(1...7), problem.x.count - first)
                    for block in 0..<args.block_end {
                        var part = args
                        part.x = args.x + first * args.x_stride
                        part.y = parts + first * args.y_stride
                        part.rows = UInt32(rows)
                        part.block_begin = block
                        part.block_end = block + 1
                        withUnsafePointer(to: part) { kernels.linear_q8($0) }
                    }
                    first += rows
                }
                #expect(bits(parts, count) == whole, "\(name(isa)), seed \(seed)")
            }
        }
    }

    @Test func linearIsExactAtTheLargestSums() {
        let k = 65536
        let codes = [[UInt8](repeating: 255, count: k), [UInt8](repeating: 0, count: k)]
        let w = [[Int8](repeating: 127, count: k), [Int8](repeating: -127, count: k)]
        for isa in readySets {
            for (m, zero) in [(0, 0), (1, 255), (0, 255), (1, 0)] {
                let memory = Memory(), y = memory.allocate(Float.self, 2)
                let args = shrink_linear_q8_args(
                    x: memory.array(row(codes[m], scale: 1, zero: Int32(zero))), x_stride: shrink_qrow_bytes(k), rows: 1, k: UInt32(k), n: 2,
                    block_begin: 0, block_end: 1, w: memory.array(pack(w, k: k)), w_scale: memory.array([1, 1]),
                    w_sum: memory.array([127 * Int32(k), -127 * Int32(k)]), bias: nil, y: y, y_stride: 2)
                withUnsafePointer(to: args) { shrink_kernels_for(isa)!.pointee.linear_q8($0) }
                let exact = (Int(codes[m][0]) - zero) * 127 * k
                #expect([y[0], y[1]] == [Float(exact), Float(-exact)], "\(name(isa)), code \(codes[m][0]), zero \(zero)")
            }
        }
    }
}
