import CShrinkKernels
import Testing

/// One kernel of the list with random arguments: runs it and returns everything that it may write.
struct KernelCase: Sendable, CustomTestStringConvertible {
    let name: String
    let run: @Sendable (shrink_kernels, inout Randomness, Memory) -> [UInt32]
    var testDescription: String { name }

    /// One case for each entry of SHRINK_KERNEL_LIST.
    static let all: [KernelCase] = [
        KernelCase(name: "linear_q8", run: linearQ8), KernelCase(name: "linear_f32", run: linearF32),
        KernelCase(name: "attention_q8", run: attentionQ8), KernelCase(name: "attention_f32", run: attentionF32),
        KernelCase(name: "quantize_rows", run: quantizeRows),
        KernelCase(name: "rms_norm") { kernels, random, memory in
            norm(&random, memory) { kernels.rms_norm($0, $1, $2, $3, 1e-5, $5, $6, $7) }
        },
        KernelCase(name: "layer_norm") { kernels, random, memory in
            norm(&random, memory) { kernels.layer_norm($0, $1, $2, $3, $4, 1e-5, $5, $6, $7) }
        },
        rows("add") { kernels, x, a, _, count, y in kernels.add(x, a, count, y) },
        rows("mul") { kernels, x, a, _, count, y in kernels.mul(x, a, count, y) },
        rows("relu") { kernels, x, _, _, count, y in kernels.relu(x, count, y) },
        rows("silu") { kernels, x, _, _, count, y in kernels.silu(x, count, y) },
        rows("silu_mul") { kernels, x, a, _, count, y in kernels.silu_mul(x, a, count, y) },
        rows("gelu_erf") { kernels, x, _, _, count, y in kernels.gelu_erf(x, count, y) },
        rows("gelu_tanh") { kernels, x, _, _, count, y in kernels.gelu_tanh(x, count, y) },
        rows("tanh") { kernels, x, _, _, count, y in kernels.tanh(x, count, y) },
        rows("sigmoid") { kernels, x, _, _, count, y in kernels.sigmoid(x, count, y) },
        rows("softmax") { kernels, x, _, _, count, y in
            y.update(from: x, count: count)
            kernels.softmax(y, count)
        },
        rows("scale") { kernels, x, a, _, count, y in kernels.scale(x, count > 0 ? a[0] : 1, count, y) },
        KernelCase(name: "rotary_half") { rotary($0.rotary_half, &$1, $2) },
        KernelCase(name: "rotary_pairs") { rotary($0.rotary_pairs, &$1, $2) },
        rows("l2_normalize") { kernels, x, _, _, count, y in kernels.l2_normalize(x, 1e-12, count, y) },
        KernelCase(name: "embed_q8", run: embedQ8), KernelCase(name: "embed_f32", run: embedF32),
    ]
}

private func count(_ random: inout Randomness) -> Int {
    random.int(0...7) == 0 ? random.int(0...1600) : random.int(0...70)
}

private func style(_ random: inout Randomness) -> Style { Style.allCases[random.int(0...Style.allCases.count - 1)] }

/// A kernel from up to three rows to one; every other time the output is the first input, in place.
private func rows(
    _ name: String,
    _ body: @escaping @Sendable (shrink_kernels, UnsafePointer<Float>, UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>) -> Void
) -> KernelCase {
    KernelCase(name: name) { kernels, random, memory in
        let n = count(&random)
        let x = memory.floats(n, style(&random), &random), a = memory.floats(n, style(&random), &random)
        let b = memory.floats(n, style(&random), &random)
        let y = random.int(0...1) == 0 && name != "softmax" ? x : memory.allocate(Float.self, n)
        body(kernels, x, a, b, n, y)
        return bits(y, n)
    }
}

/// Up to seven rows with gaps: rows, their stride and number, gain, offset, width, output and its stride. The output may be the input.
private func norm(
    _ random: inout Randomness, _ memory: Memory,
    _ body: (UnsafePointer<Float>, Int, Int, UnsafePointer<Float>, UnsafePointer<Float>, Int, UnsafeMutablePointer<Float>, Int) -> Void
) -> [UInt32] {
    let n = count(&random), rows = random.int(1...7), xStride = n + random.int(0...20)
    let x = memory.floats((rows - 1) * xStride + n, style(&random), &random)
    let gain = memory.floats(n, style(&random), &random), offset = memory.floats(n, style(&random), &random)
    let yStride = random.int(0...1) == 0 ? xStride : n + random.int(0...20), total = (rows - 1) * yStride + n
    let y = yStride == xStride ? x : memory.allocate(Float.self, total)
    body(x, xStride, rows, gain, offset, n, y, yStride)
    return bits(y, total)
}

private func rotary(
    _ kernel: @convention(c) (UnsafeMutablePointer<Float>?, UnsafePointer<Float>?, UnsafePointer<Float>?, Int) -> Void,
    _ random: inout Randomness, _ memory: Memory
) -> [UInt32] {
    let half = random.int(0...70), x = memory.floats(2 * half, style(&random), &random)
    let cosine = memory.floats(half, .ordinary, &random), sine = memory.floats(half, .ordinary, &random)
    kernel(x, cosine, sine, half)
    return bits(x, 2 * half)
}

private func quantizeRows(_ kernels: shrink_kernels, _ random: inout Randomness, _ memory: Memory) -> [UInt32] {
    let n = count(&random), rows = random.int(0...1) == 0 ? 1 : random.int(1...40)
    let xStride = n + random.int(0...20), outStride = shrink_qrow_bytes(n) + random.int(0...20)
    let x = memory.floats((rows - 1) * xStride + n, style(&random), &random), total = (rows - 1) * outStride + shrink_qrow_bytes(n)
    let out = memory.allocate(UInt8.self, total)
    kernels.quantize_rows(x, xStride, rows, n, out, outStride)
    return (0..<total).map { UInt32(out[$0]) }
}

private func embedQ8(_ kernels: shrink_kernels, _ random: inout Randomness, _ memory: Memory) -> [UInt32] {
    let n = random.int(1...70), k = random.int(1...70)
    let w = (0..<n).map { _ in (0..<k).map { _ in Int8(random.int(-127...127)) } }
    let y = memory.floats(k, style(&random), &random), scale = memory.floats(n, style(&random), &random)
    kernels.embed_q8(memory.array(pack(w, k: k)), scale, UInt32(random.int(0...n - 1)), UInt32(k), Int32(random.int(0...1)), y)
    return bits(y, k)
}

private func embedF32(_ kernels: shrink_kernels, _ random: inout Randomness, _ memory: Memory) -> [UInt32] {
    let n = random.int(1...70), k = random.int(1...70)
    let w = (0..<n).map { _ in (0..<k).map { _ in random.unit() } }
    let y = memory.floats(k, style(&random), &random)
    kernels.embed_f32(memory.array(pack(w, k: k)), UInt32(random.int(0...n - 1)), UInt32(k), Int32(random.int(0...1)), y)
    return bits(y, k)
}

private func linearQ8(_ kernels: shrink_kernels, _ random: inout Randomness, _ memory: Memory) -> [UInt32] {
    let problem = LinearQ8(&random)
    let (args, y, count) = problem.arguments(memory, &random)
    withUnsafePointer(to: args) { kernels.linear_q8($0) }
    return bits(y, count)
}

/// A quantized linear layer: codes [rows][k], weights [n][k].
struct LinearQ8 {
    var x: [[UInt8]], zero: [Int32], scale: [Float]
    var w: [[Int8]], wScale: [Float], bias: [Float]?
    var k: Int { w[0].count }

    init(_ random: inout Randomness) {
        let rows = random.int(1...30), k = random.int(0...9) == 0 ? random.int(1...700) : random.int(1...70), n = random.int(1...100)
        let floats = style(&random), extreme = random.int(0...3) == 0
        x = (0..<rows).map { _ in randomCodes(k, &random) }
        zero = (0..<rows).map { _ in Int32(random.int(0...255)) }
        scale = (0..<rows).map { _ in floats.value(&random) }
        w = (0..<n).map { _ in (0..<k).map { _ in extreme ? (random.int(0...1) == 0 ? 127 : -127) : Int8(random.int(-127...127)) } }
        if random.int(0...3) == 0 { w[random.int(0...n - 1)] = [Int8](repeating: 0, count: k) }
        wScale = (0..<n).map { _ in random.unit() }
        bias = random.int(0...1) == 0 ? nil : (0..<n).map { _ in random.unit() }
    }

    /// Arguments in guarded memory with a random range of blocks, and the output with its gaps.
    func arguments(_ memory: Memory, _ random: inout Randomness) -> (shrink_linear_q8_args, UnsafeMutablePointer<Float>, Int) {
        let n = w.count, blocks = (n + 31) / 32, bytes = shrink_qrow_bytes(k), stride = bytes + random.int(0...20)
        var rows: [UInt8] = []
        for m in x.indices {
            if m > 0 { rows += [UInt8](repeating: 77, count: stride - bytes) }
            rows += row(x[m], scale: scale[m], zero: zero[m])
        }
        let begin = random.int(0...blocks - 1), end = random.int(begin + 1...blocks), yStride = n + random.int(0...5)
        let count = (x.count - 1) * yStride + n
        let y = memory.allocate(Float.self, count)
        let args = shrink_linear_q8_args(
            x: UnsafePointer(memory.array(rows)), x_stride: stride, rows: UInt32(x.count), k: UInt32(k), n: UInt32(n),
            block_begin: UInt32(begin), block_end: UInt32(end), w: UnsafePointer(memory.array(pack(w, k: k))),
            w_scale: UnsafePointer(memory.array(wScale)), w_sum: UnsafePointer(memory.array(w.map { $0.reduce(0) { $0 + Int32($1) } })),
            bias: bias.map { UnsafePointer(memory.array($0)) }, y: y, y_stride: yStride,
            next: random.int(0...1) == 0 ? nil : memory.untouchable)
        return (args, y, count)
    }
}

private func linearF32(_ kernels: shrink_kernels, _ random: inout Randomness, _ memory: Memory) -> [UInt32] {
    let rows = random.int(1...30), k = random.int(1...70), n = random.int(1...100), blocks = (n + 31) / 32
    let begin = random.int(0...blocks - 1), end = random.int(begin + 1...blocks), values = style(&random)
    let xStride = k + random.int(0...3), yStride = n + random.int(0...3), count = (rows - 1) * yStride + n
    let w = (0..<n).map { _ in (0..<k).map { _ in values.value(&random) } }
    let y = memory.allocate(Float.self, count)
    let args = shrink_linear_f32_args(
        x: memory.floats((rows - 1) * xStride + k, style(&random), &random), x_stride: xStride, rows: UInt32(rows), k: UInt32(k), n: UInt32(n),
        block_begin: UInt32(begin), block_end: UInt32(end), w: memory.array(pack(w, k: k)),
        bias: random.int(0...1) == 0 ? nil : UnsafePointer(memory.floats(n, .ordinary, &random)), y: y, y_stride: yStride)
    withUnsafePointer(to: args) { kernels.linear_f32($0) }
    return bits(y, count)
}

/// Query rows of attention: a few tokens of a few heads, causal or not; now and then many of them, or many positions.
private struct AttentionShape {
    let dim, tokens, sharedHeads, heads, length, growth: Int
    var longest: Int { length + (tokens - 1) * growth }

    init(_ random: inout Randomness) {
        let dims = [16, 32, 64, 80, 128, 256, 320]
        dim = random.int(0...1) == 0 ? dims[random.int(0...6)] : random.int(1...140)
        tokens = random.int(0...7) == 0 ? random.int(1...40) : random.int(1...5)
        sharedHeads = random.int(0...1) == 0 ? 1 : random.int(2...4)
        heads = random.int(1...8)
        length = random.int(0...7) == 0 ? random.int(1...300) : random.int(1...40)
        growth = random.int(0...1)
    }
}

/// The canary bytes between the rows of an output show what a kernel leaves alone.
private func attentionQ8(_ kernels: shrink_kernels, _ random: inout Randomness, _ memory: Memory) -> [UInt32] {
    let shape = AttentionShape(&random), bytes = shrink_qrow_bytes(shape.dim), style = style(&random)
    func rows(_ count: Int, _ group: Int, _ scale: (inout Randomness) -> Float, _ random: inout Randomness) -> (UnsafePointer<UInt8>, Int) {
        let stride = bytes * group + random.int(0...20)
        var all: [UInt8] = []
        for t in 0..<count {
            if t > 0 { all += [UInt8](repeating: 77, count: stride - bytes * group) }
            for _ in 0..<group {
                all += row(randomCodes(shape.dim, &random), scale: scale(&random), zero: Int32(random.int(0...255)))
            }
        }
        return (UnsafePointer(memory.array(all)), stride)
    }
    let heads = shape.sharedHeads * shape.heads
    let (q, qStride) = rows(shape.tokens, heads, { $0.unit() * 0.01 }, &random)
    var (k, kStride) = rows(shape.longest, shape.sharedHeads, { style.value(&$0) }, &random)
    var (v, vStride) = rows(shape.longest, shape.sharedHeads, { style.value(&$0) }, &random)
    var headStride = bytes
    let isInPanels = random.int(0...1) == 0
    if isInPanels {
        let panel = shrink_panel_bytes(shape.dim)
        headStride = (shape.longest + 31) / 32 * panel + random.int(0...2) * 64
        func panels(_ rows: UnsafePointer<UInt8>, _ stride: Int) -> UnsafePointer<UInt8> {
            memory.panels(rows, stride: stride, shape.longest, heads: shape.sharedHeads, headStride: headStride, dim: shape.dim, &random)
        }
        (k, v) = (panels(k, kStride), panels(v, vStride))
        (kStride, vStride) = (panel, panel)
    }
    let yStride = heads * shape.dim + random.int(0...3), count = (shape.tokens - 1) * yStride + heads * shape.dim
    let y = memory.allocate(Float.self, count)
    let scratch = shrink_attention_scratch_bytes(shape.tokens * shape.heads, shape.longest, shape.dim)
    let next = random.int(0...1) == 0 ? nil : memory.untouchable
    let args = shrink_attention_q8_args(
        q: q, k: k, v: v, in_panels: isInPanels ? 1 : 0, q_stride: qStride, k_stride: kStride, v_stride: vStride,
        head_stride: headStride, tokens: UInt32(shape.tokens),
        shared_heads: UInt32(shape.sharedHeads), heads: UInt32(shape.heads), length: UInt32(shape.length),
        growth: UInt32(shape.growth), head_dim: UInt32(shape.dim), scale: 0.125,
        scratch: memory.allocate(Float.self, (scratch + 3) / 4), y: y, y_stride: yStride, next: next,
        next_bytes: next == nil ? 0 : random.int(0...1) * 16384 + random.int(0...300))
    withUnsafePointer(to: args) { kernels.attention_q8($0) }
    return bits(y, count)
}

private func attentionF32(_ kernels: shrink_kernels, _ random: inout Randomness, _ memory: Memory) -> [UInt32] {
    let shape = AttentionShape(&random), dim = shape.dim, values = style(&random)
    let qStride = shape.heads * dim + random.int(0...3), kStride = dim + random.int(0...3), vStride = dim + random.int(0...3)
    let yStride = shape.heads * dim + random.int(0...3), count = (shape.tokens - 1) * yStride + shape.heads * dim
    let y = memory.allocate(Float.self, count)
    let scratch = shrink_attention_scratch_bytes(shape.tokens * shape.heads, shape.longest, dim)
    let args = shrink_attention_f32_args(
        q: memory.floats((shape.tokens - 1) * qStride + shape.heads * dim, .ordinary, &random),
        k: memory.floats((shape.longest - 1) * kStride + dim, values, &random),
        v: memory.floats((shape.longest - 1) * vStride + dim, .ordinary, &random), q_stride: qStride, k_stride: kStride,
        v_stride: vStride, tokens: UInt32(shape.tokens), heads: UInt32(shape.heads), length: UInt32(shape.length),
        growth: UInt32(shape.growth), head_dim: UInt32(dim), scale: 0.125,
        scratch: memory.allocate(Float.self, scratch / 4), y: y, y_stride: yStride)
    withUnsafePointer(to: args) { kernels.attention_f32($0) }
    return bits(y, count)
}
