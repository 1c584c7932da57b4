import CShrinkKernels
import Glibc
import Testing

/// Half a unit in the last place of binary32, relative.
private let half = 0x1p-24

/// The scalar table against the formulas in binary64.
@Suite struct ReferenceTests {
    private func apply(_ body: (UnsafeMutablePointer<Float>) -> Void, _ x: [Float]) -> [Double] {
        var y = x
        y.withUnsafeMutableBufferPointer { body($0.baseAddress!) }
        return y.map(Double.init)
    }

    private func random(_ count: Int, _ seed: UInt64) -> [Float] {
        var random = Randomness(state: seed)
        return (0..<count).map { _ in random.unit() * 3 }
    }

    /// Evenly spaced floats, ends included.
    private func samples(_ low: Float, _ high: Float) -> [Float] {
        (0...200_000).map { low + (high - low) * (Float($0) / 200_000) }
    }

    private func ulp(_ value: Double) -> Double { Double(Float(value).ulp) }

    // MARK: elementary functions

    /// exp is not exported; softmax of (0, x) is exp(x) itself once 1 + exp(x) rounds to 1.
    @Test func exponentialIsWithinTwoUnits() {
        for x in samples(-87.33, -17.4) {
            let y = apply({ scalar.softmax($0, 2) }, [0, x])[1], exact = exp(Double(x))
            guard abs(y - exact) <= 2 * ulp(exact) else { Issue.record("exp(\(x)) = \(exact), not \(y)"); return }
        }
    }

    @Test func exponentialVanishesBelowTheNormalRange() {
        #expect(apply({ scalar.softmax($0, 4) }, [0, -88, -1e30, -.infinity]) == [1, 0, 0, 0])
    }

    @Test func sigmoidIsWithinItsBound() {
        for (low, high) in [(-87.3, 20.0), (-3.0, 3.0)] as [(Float, Float)] {
            let x = samples(low, high), y = apply({ scalar.sigmoid($0, x.count, $0) }, x)
            for (x, y) in zip(x, y) {
                let exact = 1 / (1 + exp(-Double(x)))
                guard abs(y - exact) <= min(2e-7, 4 * ulp(exact)) else { Issue.record("\(x): \(exact), not \(y)"); return }
            }
        }
    }

    @Test func hyperbolicTangentIsWithinItsBound() {
        for (low, high) in [(-12.0, 12.0), (-0.5, 0.5), (-1e-6, 1e-6)] as [(Float, Float)] {
            let x = samples(low, high), y = apply({ scalar.tanh($0, x.count, $0) }, x)
            for (x, y) in zip(x, y) {
                let exact = tanh(Double(x))
                guard abs(y - exact) <= min(2e-7, 5 * ulp(exact)), abs(y) <= 1 + 1.2e-7 else {
                    Issue.record("\(x): \(exact), not \(y)"); return
                }
            }
        }
    }

    @Test func geluWithErfIsWithinItsBound() {
        for (low, high) in [(-8.0, 8.0), (-0.5, 0.5)] as [(Float, Float)] {
            let x = samples(low, high), y = apply({ scalar.gelu_erf($0, x.count, $0) }, x)
            for (x, y) in zip(x.map(Double.init), y) {
                let exact = 0.5 * x * (1 + erf(x / 2.0.squareRoot()))
                guard abs(y - exact) <= 5e-7 * max(abs(x), 1) else { Issue.record("\(x): \(exact), not \(y)"); return }
            }
        }
    }

    @Test func geluWithTanhIsWithinItsBound() {
        let x = samples(-8, 8), y = apply({ scalar.gelu_tanh($0, x.count, $0) }, x)
        for (x, y) in zip(x.map(Double.init), y) {
            let inner = (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
            let exact = 0.5 * x * (1 + tanh(inner))
            /* Roundings of `inner` count through the slope of tanh, at most 1 / cosh^2. */
            let slope = abs(inner) / (cosh(inner) * cosh(inner))
            guard abs(y - exact) <= 0.5 * abs(x) * (2e-7 + 8 * half * slope) + 4 * half * abs(x) else {
                Issue.record("\(x): \(exact), not \(y)"); return
            }
        }
    }

    @Test func activationsKeepTheirLimits() {
        let x: [Float] = [1000, -1000, 0, 1e30, -1e30]
        #expect(apply({ scalar.gelu_erf($0, 5, $0) }, x) == [1000, 0, 0, Double(Float(1e30)), 0])
        #expect(apply({ scalar.gelu_tanh($0, 5, $0) }, x) == [1000, 0, 0, Double(Float(1e30)), 0])
        #expect(apply({ scalar.silu($0, 5, $0) }, x) == [1000, 0, 0, Double(Float(1e30)), 0])
        #expect(apply({ scalar.tanh($0, 5, $0) }, [.infinity, -.infinity, -0.0, 1e30, -1e30]) == [1, -1, 0, 1, -1])
        #expect(apply({ scalar.sigmoid($0, 3, $0) }, [.infinity, -.infinity, 0]) == [1, 0, 0.5])
        #expect(apply({ scalar.relu($0, 3, $0) }, [-2, 3, -.infinity]) == [0, 3, 0])
    }

    @Test func aNaNStaysOne() {
        for kernel in [scalar.tanh, scalar.sigmoid, scalar.silu, scalar.gelu_erf, scalar.gelu_tanh, scalar.relu] {
            #expect(apply({ kernel!($0, 1, $0) }, [.nan])[0].isNaN)
        }
    }

    // MARK: rows

    @Test func softmaxIsWithinItsBound() {
        let x = random(777, 1), y = apply({ scalar.softmax($0, x.count) }, x)
        let top = Double(x.max()!), e = x.map { exp(Double($0) - top) }, sum = e.reduce(0, +)
        /* x - max rounds by half a unit of at most 8; exp by two units; the sum by 777 / 16 + 4. */
        for (y, e) in zip(y, e) { #expect(abs(y - e / sum) <= e / sum * (8 * half + 4 * half + 53 * half + half)) }
    }

    @Test func normsAreWithinTheirBounds() {
        let x = random(500, 2), gamma = random(500, 3), beta = random(500, 4), d = x.map(Double.init)
        let square = d.reduce(0) { $0 + $1 * $1 }, mean = d.reduce(0, +) / 500
        let variance = d.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 500
        let rms = apply({ scalar.rms_norm($0, 500, 1, gamma, 1e-5, 500, $0, 500) }, x)
        let layer = apply({ scalar.layer_norm($0, 500, 1, gamma, beta, 1e-5, 500, $0, 500) }, x)
        let unit = apply({ scalar.l2_normalize($0, 1e-12, 500, $0) }, x)
        for i in 0..<500 {
            let a = d[i] / (square / 500 + 1e-5).squareRoot() * Double(gamma[i])
            #expect(abs(rms[i] - a) <= abs(a) * 45 * half)
            let b = (d[i] - mean) / (variance + 1e-5).squareRoot() * Double(gamma[i])
            #expect(abs(layer[i] - b - Double(beta[i])) <= (abs(b) + 3 * abs(Double(gamma[i])) + abs(Double(beta[i]))) * 90 * half)
            #expect(abs(unit[i] - d[i] / square.squareRoot()) <= 40 * half * abs(d[i]) / square.squareRoot())
        }
    }

    @Test func l2NormalizeOfZeroIsZero() {
        #expect(apply({ scalar.l2_normalize($0, 1e-12, 3, $0) }, [0, 0, 0]) == [0, 0, 0])
    }

    @Test func rotaryTurnsPairs() {
        let quarter: [Float] = [0, 0], one: [Float] = [1, 1]
        #expect(apply({ scalar.rotary_half($0, quarter, one, 2) }, [1, 2, 3, 4]) == [-3, -4, 1, 2])
        #expect(apply({ scalar.rotary_pairs($0, quarter, one, 2) }, [1, 2, 3, 4]) == [-2, 1, -4, 3])
    }

    @Test func elementwiseArithmetic() {
        #expect(apply({ scalar.add($0, [10, 20], 2, $0) }, [1, 2]) == [11, 22])
        #expect(apply({ scalar.mul($0, [10, 20], 2, $0) }, [1, 2]) == [10, 40])
        #expect(apply({ scalar.scale($0, 3, 2, $0) }, [1, 2]) == [3, 6])
        #expect(apply({ scalar.silu_mul($0, [10, 20], 2, $0) }, [0, 1000]) == [0, 20000])
    }

    // MARK: quantization

    @Test func quantizedRowsHoldTheirValuesToHalfAStep() {
        for seed in 0..<50 {
            var random = Randomness(state: UInt64(seed))
            let count = random.int(1...200), shift = random.unit() * 2
            let x = (0..<count).map { _ in random.unit() + shift }
            var row = [UInt8](repeating: 9, count: shrink_qrow_bytes(count))
            scalar.quantize_rows(x, count, 1, count, &row, 0)
            let tail = row.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: shrink_qrow_codes(count), as: shrink_qrow_tail.self) }
            #expect(tail.sum == row[..<count].reduce(0) { $0 + Int32($1) })
            #expect(row[count..<shrink_qrow_codes(count)].allSatisfy { $0 == 0 })
            #expect((0...255).contains(tail.zero) && tail.reserved == 0)
            for (x, code) in zip(x, row) {
                /* Half a step of the value and half of the zero point, which clamp a value at the end of the range. */
                #expect(abs(Double(tail.scale) * (Double(code) - Double(tail.zero)) - Double(x)) <= Double(tail.scale) * 1.001)
            }
        }
    }

    @Test func quantizationByHand() {
        var row = [UInt8](repeating: 9, count: 32)
        scalar.quantize_rows([-51, 0, 204, 100.5, 101.5], 5, 1, 5, &row, 0)  // scale 1, zero 51, halves to even
        #expect(row[..<16] == [0, 51, 255, 151, 153, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        scalar.quantize_rows([.nan, 255, .nan], 3, 1, 3, &row, 0)
        #expect(row[..<3] == [0, 255, 0])
        scalar.quantize_rows([0, 0], 2, 1, 2, &row, 0)
        #expect(row[..<2] == [0, 0])
    }

    // MARK: products

    @Test func linearInIntegersIsWithinThreeRoundings() {
        for seed in 0..<40 {
            var random = Randomness(state: UInt64(seed))
            var problem = LinearQ8(&random)
            problem.scale = problem.scale.map { _ in random.unit() }
            let memory = Memory()
            var (args, y, _) = problem.arguments(memory, &random)
            args.block_begin = 0
            args.block_end = UInt32((problem.w.count + 31) / 32)
            withUnsafePointer(to: args) { scalar.linear_q8($0) }
            for m in problem.x.indices {
                for o in problem.w.indices {
                    let sum = zip(problem.x[m], problem.w[o]).reduce(0) { $0 + (Int($1.0) - Int(problem.zero[m])) * Int($1.1) }
                    let product = Double(sum) * Double(problem.scale[m]) * Double(problem.wScale[o])
                    let exact = product + Double(problem.bias?[o] ?? 0)
                    #expect(abs(Double(y[m * args.y_stride + o]) - exact) <= 4 * half * abs(product) + half * abs(exact) + 1e-44, "seed \(seed)")
                }
            }
        }
    }

    @Test func linearInFloatsIsWithinItsBound() {
        let k = 50, n = 37, x = random(k, 5), bias = random(n, 6), w = (0..<n).map { random(k, UInt64(100 + $0)) }
        var y = [Float](repeating: 0, count: n)
        let packed = pack(w, k: k)
        x.withUnsafeBufferPointer { x in packed.withUnsafeBufferPointer { packed in bias.withUnsafeBufferPointer { bias in
            y.withUnsafeMutableBufferPointer { y in
                let args = shrink_linear_f32_args(x: x.baseAddress!, x_stride: k, rows: 1, k: UInt32(k), n: UInt32(n), block_begin: 0, block_end: 2,
                                                  w: packed.baseAddress!, bias: bias.baseAddress!, y: y.baseAddress!, y_stride: n)
                withUnsafePointer(to: args) { scalar.linear_f32($0) }
            }
        } } }
        for o in 0..<n {
            let terms = zip(x, w[o]).map { Double($0) * Double($1) } + [Double(bias[o])]
            #expect(abs(Double(y[o]) - terms.reduce(0, +)) <= Double(k + 2) * half * terms.reduce(0) { $0 + abs($1) })
        }
    }

    @Test func embeddingReadsOneChannel() {
        let w: [[Int8]] = (0..<40).map { o in (0..<7).map { Int8(o * 3 - 60 + $0) } }
        let scales = (0..<40).map { Float($0) * 0.5 }, floats = w.map { $0.map(Float.init) }
        for index in [0, 31, 32, 39] {
            let exact = w[index].map { Double($0) * Double(index) * 0.5 }
            #expect(apply({ scalar.embed_q8(pack(w, k: 7), scales, UInt32(index), 7, 0, $0) }, [Float](repeating: 9, count: 7)) == exact)
            #expect(apply({ scalar.embed_q8(pack(w, k: 7), scales, UInt32(index), 7, 1, $0) }, [Float](repeating: 9, count: 7)) == exact.map { $0 + 9 })
            #expect(apply({ scalar.embed_f32(pack(floats, k: 7), UInt32(index), 7, 0, $0) }, [Float](repeating: 9, count: 7)) == w[index].map(Double.init))
            #expect(apply({ scalar.embed_f32(pack(floats, k: 7), UInt32(index), 7, 1, $0) }, [Float](repeating: 9, count: 7)) == w[index].map { Double($0) + 9 })
        }
    }

    // MARK: attention

    private func softmaxWeighted(_ scores: [Double], _ v: [[Double]]) -> [Double] {
        let top = scores.max()!, e = scores.map { exp($0 - top) }, sum = e.reduce(0, +)
        return v[0].indices.map { d in zip(e, v).reduce(0) { $0 + $1.0 / sum * $1.1[d] } }
    }

    @Test func attentionInFloatsIsWithinItsBound() {
        let dim = 20, length = 33
        var q = random(dim, 7), k = random(dim * length, 8), v = random(dim * length, 9)
        var y = [Float](repeating: 0, count: dim), scores = [Float](repeating: 0, count: shrink_attention_scratch_bytes(1, length, dim) / 4)
        var args = shrink_attention_f32_args()
        args.k_stride = dim; args.v_stride = dim; args.tokens = 1; args.heads = 1; args.length = UInt32(length); args.head_dim = UInt32(dim); args.scale = 0.2
        let rows = { (a: [Float]) in (0..<length).map { t in a[t * dim..<(t + 1) * dim].map(Double.init) } }
        let exact = softmaxWeighted(rows(k).map { k in zip(q, k).reduce(0) { $0 + Double($1.0) * $1.1 } * Double(Float(0.2)) }, rows(v))
        q.withUnsafeMutableBufferPointer { q in k.withUnsafeMutableBufferPointer { k in v.withUnsafeMutableBufferPointer { v in
            y.withUnsafeMutableBufferPointer { y in scores.withUnsafeMutableBufferPointer { scores in
                args.q = UnsafePointer(q.baseAddress!); args.k = UnsafePointer(k.baseAddress!); args.v = UnsafePointer(v.baseAddress!)
                args.y = y.baseAddress!; args.scratch = UnsafeMutableRawPointer(scores.baseAddress!)
                withUnsafePointer(to: args) { scalar.attention_f32($0) }
            } }
        } } }
        /* |scores| <= 20 * 9 * 0.2, each within 12 roundings of it; |v| <= 3; 33 terms. */
        for d in 0..<dim { #expect(abs(Double(y[d]) - exact[d]) <= 3 * (2 * 12 * 36 + 40) * half) }
    }

    @Test func attentionInIntegersIsWithinItsBound() {
        var random = Randomness(state: 11)
        let dim = 20, length = 33, bytes = shrink_qrow_bytes(dim)
        func values(_ codes: [UInt8], _ scale: Float, _ zero: Int32) -> [Double] { codes.map { Double(scale) * (Double($0) - Double(zero)) } }
        func cache() -> ([UInt8], [[Double]]) {
            var all: [UInt8] = [], exact: [[Double]] = []
            for _ in 0..<length {
                let codes = (0..<dim).map { _ in UInt8(random.int(0...255)) }, scale = abs(random.unit()) * 0.02, zero = Int32(random.int(0...255))
                all += row(codes, scale: scale, zero: zero)
                exact.append(values(codes, scale, zero))
            }
            return (all, exact)
        }
        let (k, exactK) = cache(), (v, exactV) = cache()
        let codes = (0..<dim).map { _ in UInt8(random.int(0...255)) }
        let memory = Memory(), y = memory.allocate(Float.self, dim)
        let args = shrink_attention_q8_args(
            q: memory.array(row(codes, scale: 0.01, zero: 100)), k: memory.array(k), v: memory.array(v), in_panels: 0, q_stride: bytes,
            k_stride: bytes, v_stride: bytes, head_stride: bytes, tokens: 1, shared_heads: 1, heads: 1, length: UInt32(length), growth: 0, head_dim: UInt32(dim),
            scale: 0.2, scratch: memory.allocate(Float.self, shrink_attention_scratch_bytes(1, length, dim) / 4), y: y, y_stride: dim,
            next: nil, next_bytes: 0)
        withUnsafePointer(to: args) { scalar.attention_q8($0) }
        let q = values(codes, 0.01, 100)
        let scores = exactK.map { k in zip(q, k).reduce(0) { $0 + $1.0 * $1.1 } * Double(Float(0.2)) }
        let exact = softmaxWeighted(scores, exactV), largest = scores.map(abs).max()!
        /* |v| <= 5.1; each of the 33 shares is rounded to 1/65534 of the largest, which is at most 1. */
        for d in 0..<dim { #expect(abs(Double(y[d]) - exact[d]) <= 5.1 * (2 * 5 * largest + 50) * half + 33 * 5.1 / 65534) }
    }
}
