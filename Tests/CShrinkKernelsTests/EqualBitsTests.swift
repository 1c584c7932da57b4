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
                    w_sum: memory.array([127 * Int32(k), -127 * Int32(k)]), bias: nil, y: y, y_stride: 2, next: nil)
                withUnsafePointer(to: args) { shrink_kernels_for(isa)!.pointee.linear_q8($0) }
                let exact = (Int(codes[m][0]) - zero) * 127 * k
                #expect([y[0], y[1]] == [Float(exact), Float(-exact)], "\(name(isa)), code \(codes[m][0]), zero \(zero)")
            }
        }
    }

    /// 128 positions of the largest weight, codes 255 apart from their zero point: the largest sum of a piece.
    @Test(arguments: [false, true]) func attentionIsExactAtTheLargestSums(inPanels: Bool) {
        let dim = 40, length = 300, bytes = shrink_qrow_bytes(dim)
        for (code, zero) in [(UInt8(255), Int32(0)), (0, 255)] {
            let same = row([UInt8](repeating: code, count: dim), scale: 1, zero: zero)
            let cache = [[UInt8]](repeating: same, count: length).flatMap { $0 }
            for isa in readySets {
                let memory = Memory(), y = memory.allocate(Float.self, dim), panel = shrink_panel_bytes(dim)
                var random = Randomness(state: 1)
                let rows = UnsafePointer(memory.array(cache))
                let cached = inPanels ? memory.panels(rows, stride: bytes, length, headStride: (length + 31) / 32 * panel, dim: dim, &random) : rows
                let stride = inPanels ? panel : bytes
                let args = shrink_attention_q8_args(
                    q: memory.array(same), k: cached, v: cached, in_panels: inPanels ? 1 : 0, q_stride: bytes, k_stride: stride,
                    v_stride: stride, head_stride: 0, tokens: 1, shared_heads: 1, heads: 1, length: UInt32(length), growth: 0, head_dim: UInt32(dim), scale: 1,
                    scratch: memory.allocate(Float.self, shrink_attention_scratch_bytes(1, length, dim) / 4), y: y, y_stride: dim,
                    next: nil, next_bytes: 0)
                withUnsafePointer(to: args) { shrink_kernels_for(isa)!.pointee.attention_q8($0) }
                /* The mean of equal values, after three pieces and four more roundings. */
                let exact = code == 0 ? Float(-255) : 255
                for d in 0..<dim { #expect(abs(y[d] - exact) <= 255 * 7 * 0x1p-24, "\(name(isa)), element \(d)") }
            }
        }
    }

    @Test(arguments: [false, true]) func attentionDoesNotDependOnTheSplitOfTokensAndHeads(inPanels: Bool) {
        let tokens = 30, heads = 3, dim = 48, bytes = shrink_qrow_bytes(dim)
        for isa in readySets {
            let kernels = shrink_kernels_for(isa)!.pointee
            for (seed, growth) in [(1, 0), (2, 1), (3, 1)] {
                var random = Randomness(state: UInt64(seed))
                let memory = Memory(), length = random.int(1...140), longest = length + (tokens - 1) * growth
                func rows(_ count: Int, _ random: inout Randomness) -> UnsafePointer<UInt8> {
                    UnsafePointer(memory.array((0..<count).flatMap { _ in
                        row(randomCodes(dim, &random), scale: abs(random.unit()) * 0.01, zero: Int32(random.int(0...255)))
                    }))
                }
                let whole = memory.allocate(Float.self, tokens * heads * dim), parts = memory.allocate(Float.self, tokens * heads * dim)
                let panel = shrink_panel_bytes(dim), stride = inPanels ? panel : bytes
                func cached(_ random: inout Randomness) -> UnsafePointer<UInt8> {
                    let all = rows(longest, &random)
                    return inPanels
                        ? memory.panels(all, stride: bytes, longest, headStride: (longest + 31) / 32 * panel, dim: dim, &random) : all
                }
                let args = shrink_attention_q8_args(
                    q: rows(tokens * heads, &random), k: cached(&random), v: cached(&random), in_panels: inPanels ? 1 : 0,
                    q_stride: heads * bytes, k_stride: stride, v_stride: stride, head_stride: 0, tokens: UInt32(tokens), shared_heads: 1, heads: UInt32(heads),
                    length: UInt32(length), growth: UInt32(growth), head_dim: UInt32(dim), scale: 0.1,
                    scratch: memory.allocate(Float.self, shrink_attention_scratch_bytes(tokens * heads, longest, dim) / 4),
                    y: whole, y_stride: heads * dim, next: nil, next_bytes: 0)
                withUnsafePointer(to: args) { kernels.attention_q8($0) }
                var first = 0
                while first < tokens {
                    let count = min(random.int(1...9), tokens - first)
                    for head in 0..<heads {
                        var part = args
                        part.q = args.q + first * args.q_stride + head * bytes
                        part.y = parts + first * args.y_stride + head * dim
                        part.tokens = UInt32(count)
                        part.heads = 1
                        part.length = UInt32(length + first * growth)
                        withUnsafePointer(to: part) { kernels.attention_q8($0) }
                    }
                    first += count
                }
                #expect(bits(parts, tokens * heads * dim) == bits(whole, tokens * heads * dim), "\(name(isa)), seed \(seed)")
            }
        }
    }
}
