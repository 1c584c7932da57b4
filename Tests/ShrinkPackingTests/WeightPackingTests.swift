import GoldenModels
import ShrinkFormat
import ShrinkGraph
import ShrinkPasses
import Testing

@testable import ShrinkPacking

@Suite struct WeightPackingTests {
    func quantize(_ row: [Float]) -> (codes: [Int8], scale: Float, sum: Int32) {
        var codes = [Int8](repeating: 99, count: row.count)
        let (scale, sum) = Int8Row.quantize(row[...]) { codes[$0] = $1 }
        return (codes, scale, sum)
    }

    @Test func aRowIsScaledByItsLargestMagnitude() {
        let row = quantize([100, -254, 33, -7.8, 0.9])
        #expect(row.scale == 2)
        #expect(row.codes == [50, -127, 16, -4, 0])
        #expect(row.sum == 50 - 127 + 16 - 4)
        #expect(quantize([0.3, 0.1]).scale == Float(Double(Float(0.3)) / 127))
    }

    @Test func halvesGoToEven() {
        // A scale of exactly 1.
        #expect(quantize([127, 0.5, 1.5, 2.5, -0.5, -1.5, -126.5]).codes == [127, 0, 2, 2, 0, -2, -126])
    }

    @Test func aRowOfZerosIsZeros() {
        let row = quantize([0, -0.0, 0])
        #expect(row.scale == 0 && row.codes == [0, 0, 0] && row.sum == 0)
    }

    @Test func denormalRowsStayInRange() {
        // From 64 units on, a 127th is at least half a unit, which is rounded up to one.
        let smallest = quantize([.leastNonzeroMagnitude, 0])
        #expect(smallest.scale == 0 && smallest.codes == [0, 0])
        for units in 64...300 {
            let largest = Float.leastNonzeroMagnitude * Float(units)
            let row = quantize([largest, -largest, largest / 2])
            #expect(row.codes[0] > 0 && row.codes[1] == -row.codes[0])
        }
    }

    @Test func theLargestNumbersStayFinite() {
        let row = quantize([.greatestFiniteMagnitude, -.greatestFiniteMagnitude])
        #expect(row.scale.isFinite && row.codes == [127, -127])
    }

    /// Against the layout of shrink_kernels.h: blocks of 32 channels, byte [k/4][channel % 32][k % 4].
    @Test(arguments: [(33, 7), (32, 8), (1, 1), (64, 4), (70, 33)]) func int8BytesAreWhereTheKernelsReadThem(_ rows: Int, _ columns: Int) throws {
        var random = RepeatableRandom(state: 7)
        let weights = (0..<rows * columns).map { _ in Float(Int(random.next() % 2001) - 1000) / 100 }
        let model = try linearModel(weights, rows: rows, columns: columns, quantized: true)
        let bytes = try model.weightBytes()
        let view = try model.program.withUnsafeBytes { try ProgramView($0).weightRecords() }
        // The table and its scale and sum come first.
        let codes = view[3], scales = view[4], sums = view[5]
        #expect(codes.type == .packedInt8 && codes.rows == UInt32(rows) && codes.columns == UInt32(columns))
        #expect(scales.type == .float32 && sums.type == .int32 && scales.columns == UInt32(rows) && sums.columns == UInt32(rows))
        let paddedColumns = (columns + 3) / 4 * 4, paddedRows = (rows + 31) / 32 * 32
        for row in 0..<paddedRows {
            let expected = row < rows ? quantize(Array(weights[row * columns..<(row + 1) * columns])) : quantize([Float](repeating: 0, count: columns))
            for k in 0..<paddedColumns {
                let place = Int(codes.offset) + row / 32 * 32 * paddedColumns + (k / 4 * 32 + row % 32) * 4 + k % 4
                #expect(Int8(bitPattern: bytes[place]) == (k < columns ? expected.codes[k] : 0))
            }
            if row < rows {
                #expect(float(bytes, at: Int(scales.offset) + 4 * row) == expected.scale)
                #expect(integer(bytes, at: Int(sums.offset) + 4 * row) == expected.sum)
            }
        }
    }

    /// Blocks of 32 channels, element [k][channel % 32].
    @Test func float32BytesAreWhereTheKernelsReadThem() throws {
        let rows = 37, columns = 5
        let weights = (0..<rows * columns).map { Float($0) + 0.5 }
        let model = try linearModel(weights, rows: rows, columns: columns, quantized: false)
        let bytes = try model.weightBytes()
        let record = try model.program.withUnsafeBytes { try ProgramView($0).weightRecords() }[1]
        #expect(record.type == .packedFloat32)
        for row in 0..<64 {
            for k in 0..<columns {
                let place = Int(record.offset) + 4 * (row / 32 * 32 * columns + k * 32 + row % 32)
                #expect(float(bytes, at: place) == (row < rows ? weights[row * columns + k] : 0))
            }
        }
    }

    @Test(arguments: GoldenModel.all) func tensorsAreAlignedAndDoNotOverlap(_ golden: GoldenModel) throws {
        for scheme in [ShrinkPasses.Scheme.w8a8, .fp32] {
            let model = try golden.packed(scheme)
            let records = try model.program.withUnsafeBytes { try ProgramView($0).weightRecords() }
            var end: UInt64 = 0
            for record in records {
                #expect(record.offset.isMultiple(of: 64) && record.offset >= end && record.offset < end + 64)
                end = record.offset + (record.weightByteCount ?? 0)
            }
            #expect(end == UInt64(model.weightByteCount))
            #expect(model.storedWeights.reduce(0) { $0 + $1.byteCount } == model.weightByteCount)
        }
    }

    @Test(arguments: [Float.nan, .infinity, -.infinity], [true, false])
    func aWeightThatIsNoNumberIsNamed(_ bad: Float, _ quantized: Bool) throws {
        var weights = [Float](repeating: 1, count: 50 * 6)
        weights[41 * 6 + 3] = bad
        let model = try linearModel(weights, rows: 50, columns: 6, quantized: quantized)
        let scratch = try ScratchDirectory()
        let error = #expect(throws: PackingError.self) { try model.write(to: scratch.file("model.shrink")) }
        #expect(error?.code == .notFinite)
        #expect(error?.reason.hasPrefix("weight holds \(bad) at row 41, column 3") == true)
        #expect(scratch.names.isEmpty)
    }

    @Test func theTableOfAnglesEndsWithTheContext() throws {
        let golden = GoldenModel.named("llama-tied")
        let records = try golden.packed(.fp32, maximumPositions: 10).program.withUnsafeBytes { try ProgramView($0).weightRecords() }
        #expect(records.filter { $0.rows == 10 && $0.columns == 4 }.count == 2)
        #expect(throws: PackingError.self) { try golden.packed(.fp32, maximumPositions: 65) }
        #expect(throws: PackingError.self) { try golden.packed(.fp32, maximumPositions: 0) }
        #expect(throws: PackingError.self) { try golden.packed(.fp32, maximumPositions: 1 << 30) }
    }
}

extension ProgramView {
    func weightRecords() -> [TensorRecord] {
        (0..<Int(header.tensorCount)).compactMap { tensor($0) }.filter { $0.storage == .weights }
    }
}
