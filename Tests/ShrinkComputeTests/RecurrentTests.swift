import CHostKernels
import ShrinkGraph
import Testing

@testable import ShrinkCompute

@Suite struct RecurrentTests {
    typealias Case = GradientTests.Case

    /// One layer of `width` units over trainable gates.
    private func layer(
        _ test: inout Case, _ cell: Recurrent.Cell, width: Int, isReversed: Bool, hasBias: Bool, lengths: ValueID?, name: String = ""
    ) throws -> ValueID {
        let count = cell.gateCount * width
        var inputs = [try test.rows(name + "gates", count, scale: 1.5), try test.parameter(name + "weight", [count, width], scale: 2 / Float(width))]
        if hasBias { inputs.append(try test.parameter(name + "bias", [count], scale: 0.5)) }
        if let lengths { inputs.append(lengths) }
        return try test.builder.add(.recurrent(Recurrent(cell, isReversed: isReversed)), inputs)
    }

    /// A width of 19 has a whole vector of units and a part of one.
    @Test(arguments: Recurrent.Cell.allCases, [false, true]) func gradientsAreThoseOfFiniteDifferences(_ cell: Recurrent.Cell, _ isReversed: Bool) throws {
        for (width, lengths, hasBias) in [(5, nil, true), (19, [4, 1, 3], true), (5, [2, 4, 4], false)] as [(Int, [Int32]?, Bool)] {
            var test = try Case(batch: 3, tokens: 4)
            let lengths = try lengths.map { try test.lengths($0) }
            try test.finish(try layer(&test, cell, width: width, isReversed: isReversed, hasBias: hasBias, lengths: lengths))
            for recompute in Recomputation.allCases { try test.check(recompute: recompute) }
        }
    }

    /// More sequences than any tile has rows, and more units than a panel has.
    @Test(arguments: Recurrent.Cell.allCases, [false, true]) func manyUnitsAndSequencesMatchTheReference(_ cell: Recurrent.Cell, _ isReversed: Bool) throws {
        var test = try Case(batch: 15, tokens: 3)
        let lengths = try test.lengths((0..<15).map { 1 + ($0 * 7 + 2) % 3 })
        let hidden = try layer(&test, cell, width: 83, isReversed: isReversed, hasBias: true, lengths: lengths)
        try test.builder.output("hidden", hidden)
        let result = try #require(try HostExecutor(test.builder.graph, threads: HostThreads(2)).run(test.inputs)["hidden"]).floats
        let expected = try Reference64(test.builder.graph, test.inputs).run()["hidden"]!
        #expect(zip(result, expected).allSatisfy { abs(Double($0) - $1) <= 2e-6 })
    }

    /// One step forward and one back of seven sequences, with every table that this CPU runs.
    @Test(arguments: Recurrent.Cell.allCases) func everyInstructionSetComputesTheSameButForRoundings(_ cell: Recurrent.Cell) throws {
        let width = 83, count = 7, all = cell.gateCount * width
        func run(_ table: host_kernels) -> [Float] {
            var seed: UInt64 = 0
            func numbers(_ count: Int, scale: Float) -> UnsafeMutablePointer<Float> {
                seed += 1
                let memory = UnsafeMutablePointer<Float>.allocate(capacity: count)
                memory.initialize(from: HostKernelTests.values(count, seed: seed, scale: scale), count: count)
                return memory
            }
            let weight = numbers(all * width, scale: 0.1), bias = numbers(all, scale: 0.3), gates = numbers(count * all, scale: 1)
            let before = numbers(count * width, scale: 0.5), earlier = numbers(count * width, scale: 1)
            let hidden = numbers(count * width, scale: 1), state = numbers(count * width, scale: 1)
            let dy = numbers(count * width, scale: 1), carry = numbers(count * width, scale: 1), later = numbers(count * all, scale: 1)
            let packed = numbers(128 * all, scale: 0)
            defer { for memory in [weight, bias, gates, before, earlier, hidden, state, dy, carry, later, packed] { memory.deallocate() } }
            let blocks = (width + 15) / 16, panels = (width + 63) / 64
            table.recurrent_pack(weight, cell.gateCount, width, packed, 0, blocks)
            let rows = (0..<count).map { row in
                host_recurrent_row(
                    gates: gates + row * all, before: before + row * width, factor: before + row * width, hidden: hidden + row * width,
                    state_before: earlier + row * width, state: state + row * width)
            }
            table.recurrent(cell.kernel, rows, count, packed, bias, width, 1, 0, blocks)
            table.recurrent_pack_back(weight, cell.gateCount, width, packed, 0, panels)
            var results = Array(UnsafeBufferPointer(start: hidden, count: count * width))
            let gradientRows = (0..<count).map { row in
                host_recurrent_gradient_row(
                    dy: dy + row * width, hidden: hidden + row * width, gates: gates + row * all, state: state + row * width,
                    before: (cell == .lstm ? earlier : before) + row * width, carry: carry + row * width, gates_after: later + row * all,
                    state_after: earlier + row * width)
            }
            table.recurrent_gradient(cell.kernel, gradientRows, count, packed, width, 0, panels)
            for (memory, count) in [(gates, count * all), (state, count * width), (carry, count * width)] {
                results += UnsafeBufferPointer(start: memory, count: count)
            }
            return results
        }
        let best = run(host_kernels_best().pointee)
        var index = 1
        while let table = host_kernels_at(index) {
            let result = run(table.pointee)
            #expect(zip(best, result).allSatisfy { abs($0 - $1) <= 1e-5 * max(1, abs($0)) }, "table \(index)")
            index += 1
        }
    }

    @Test(arguments: Recurrent.Cell.allCases) func bothDirectionsSideBySide(_ cell: Recurrent.Cell) throws {
        var test = try Case(batch: 2, tokens: 4)
        let lengths = try test.lengths([4, 2])
        let forward = try layer(&test, cell, width: 5, isReversed: false, hasBias: true, lengths: lengths, name: "forward.")
        let reversed = try layer(&test, cell, width: 6, isReversed: true, hasBias: true, lengths: lengths, name: "reversed.")
        let both = try test.builder.add(.concatenate(Concatenate()), [forward, reversed])
        try test.finish(try test.builder.add(.linear(Linear()), [both, try test.parameter("head", [3, 11])]))
        try test.check()
    }

    @Test(arguments: Recurrent.Cell.allCases) func largeGradientsAreTheSameBitsForEveryNumberOfThreads(_ cell: Recurrent.Cell) throws {
        var test = try Case(batch: 13, tokens: 60)
        let lengths = try test.lengths((0..<13).map { 60 - $0 * $0 % 50 })
        try test.finish(try layer(&test, cell, width: 150, isReversed: true, hasBias: true, lengths: lengths))
        let graph = try test.builder.graph.differentiated()
        let one = try HostExecutor(graph, threads: HostThreads(1)).run(test.inputs)
        for count in [2, 3, 7] {
            for (name, tensor) in try HostExecutor(graph, threads: HostThreads(count)).run(test.inputs) {
                #expect(tensor.floats.map(\.bitPattern) == one[name]?.floats.map(\.bitPattern), "\(name) with \(count) threads")
            }
        }
    }

    /// With a quantized state the codes are 1/255 of a row's range apart, so that the model is almost the same.
    @Test(arguments: Recurrent.Cell.allCases) func aQuantizedStatePassesGradientsStraightThrough(_ cell: Recurrent.Cell) throws {
        func results(quantized: Bool) throws -> [String: HostTensor] {
            var test = try Case(batch: 3, tokens: 6)
            let count = cell.gateCount * 16
            var recurrent = Recurrent(cell)
            recurrent.quantizesState = quantized
            let inputs = [try test.rows("gates", count), try test.parameter("weight", [count, 16], scale: 0.2)]
            try test.finish(try test.builder.add(.recurrent(recurrent), inputs))
            return try HostExecutor(try test.builder.graph.differentiated()).run(test.inputs)
        }
        let plain = try results(quantized: false), quantized = try results(quantized: true)
        for (name, tensor) in plain {
            let other = try #require(quantized[name]).floats, largest = tensor.floats.map(abs).max() ?? 0
            #expect(other != tensor.floats, "it is quantized")
            #expect(zip(other, tensor.floats).allSatisfy { abs($0 - $1) <= 0.02 * largest }, "\(name)")
        }
    }

    @Test func aGradientGraphHasATextFormThatReadsBack() throws {
        for cell in Recurrent.Cell.allCases {
            var test = try Case()
            let hidden = try layer(&test, cell, width: 4, isReversed: true, hasBias: true, lengths: try test.lengths([5, 3]))
            let both = try test.builder.add(.concatenate(Concatenate()), [hidden, hidden])
            try test.finish(try test.builder.add(.columns(Columns(start: 1, count: 6)), [both]), marks: nil)
            #expect(try Graph(parsing: test.builder.graph.text).text == test.builder.graph.text)
            var plain = try Case()
            try plain.finish(try layer(&plain, cell, width: 4, isReversed: false, hasBias: false, lengths: nil))
            let graph = try plain.builder.graph.differentiated()
            #expect(try Graph(parsing: graph.text).text == graph.text)
        }
    }

    @Test func shapesThatDoNotFitAreRefused() throws {
        func types(_ shapes: [Int]...) -> [ValueType] { shapes.map { ValueType(.float32, $0.count == 2 ? $0.map(Dimension.fixed) : [.batch, .tokens] + $0.map(Dimension.fixed)) } }
        let lstm = Recurrent(.lstm)
        #expect(try lstm.inferTypes(types([12], [12, 3])) == types([3]))
        #expect(throws: GraphError.self) { _ = try lstm.inferTypes(types([13], [12, 3])) }
        #expect(throws: GraphError.self) { _ = try lstm.inferTypes(types([12], [3, 12])) }
        #expect(throws: GraphError.self) { _ = try lstm.inferTypes(types([3], [3, 1])) }
        #expect(throws: GraphError.self) { _ = try Columns(start: 2, count: 2).inferTypes(types([3])) }
        #expect(throws: GraphError.self) { _ = try Columns(start: .max, count: 1).inferTypes(types([3])) }
        #expect(throws: GraphError.self) { _ = try Concatenate().inferTypes(types([3])) }
    }
}
