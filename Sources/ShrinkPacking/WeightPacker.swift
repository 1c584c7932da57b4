import ShrinkFormat
import ShrinkGraph

/// Writes the bytes of the `weights` entry, one block of output channels at a time, so that memory
/// is a function of the widest row and not of the model.
struct WeightPacker {
    let sink: FileSink
    /// Called with the bytes done so far; may throw to cancel.
    let progress: (Int) throws -> Void

    private let block = Program.channelBlock

    func write(_ table: WeightTable) throws {
        for item in table.items {
            try pad(to: item.offset)
            switch item.form {
            case .packedInt8: try writeInt8(item)
            case .packedFloat32: try writeFloat32(item)
            case .vector: try writeVector(item)
            }
        }
        try pad(to: table.byteCount)
    }

    private func pad(to offset: Int) throws {
        try sink.write([UInt8](repeating: 0, count: offset - sink.byteCount))
    }

    /// The rows of one block as floats, row-major, checked to be finite. Absent rows are zero.
    private func readBlock(_ item: WeightTable.Item, firstRow: Int, into rows: inout [Float]) throws {
        let count = min(block, item.rows - firstRow)
        let range = firstRow * item.columns..<(firstRow + count) * item.columns
        try rows.withUnsafeMutableBufferPointer { buffer in
            try item.source.readFloats(range, into: UnsafeMutableBufferPointer(rebasing: buffer[..<range.count]))
            for index in range.count..<buffer.count { buffer[index] = 0 }
        }
        item.source.release(range)
        if let bad = rows.firstIndex(where: { !$0.isFinite }) {
            throw PackingError(
                .notFinite,
                "\(item.name) holds \(rows[bad]) at row \(firstRow + bad / item.columns), column \(bad % item.columns); "
                    + "the checkpoint is damaged or its training diverged")
        }
        try progress(sink.byteCount)
    }

    private func writeInt8(_ item: WeightTable.Item) throws {
        let paddedColumns = (item.columns + 3) / 4 * 4
        var rows = [Float](repeating: 0, count: block * item.columns)
        var packed = [UInt8](repeating: 0, count: block * paddedColumns)
        var scales: [Float] = []
        var sums: [Int32] = []
        for firstRow in stride(from: 0, to: item.rows, by: block) {
            try readBlock(item, firstRow: firstRow, into: &rows)
            for lane in 0..<block {
                let (scale, sum) = Int8Row.quantize(rows[lane * item.columns..<(lane + 1) * item.columns]) { column, code in
                    packed[(column / 4 * block + lane) * 4 + column % 4] = UInt8(bitPattern: code)
                }
                if firstRow + lane < item.rows {
                    scales.append(scale)
                    sums.append(sum)
                }
            }
            try sink.write(packed)
        }
        try pad(to: item.scaleOffset)
        try sink.write(littleEndian: scales.map(\.bitPattern))
        try pad(to: item.sumOffset)
        try sink.write(littleEndian: sums)
    }

    private func writeFloat32(_ item: WeightTable.Item) throws {
        var rows = [Float](repeating: 0, count: block * item.columns)
        var packed = [UInt32](repeating: 0, count: block * item.columns)
        for firstRow in stride(from: 0, to: item.rows, by: block) {
            try readBlock(item, firstRow: firstRow, into: &rows)
            for lane in 0..<block {
                for column in 0..<item.columns { packed[column * block + lane] = rows[lane * item.columns + column].bitPattern }
            }
            try sink.write(littleEndian: packed)
        }
    }

    private func writeVector(_ item: WeightTable.Item) throws {
        var rows = [Float](repeating: 0, count: block * item.columns)
        for firstRow in stride(from: 0, to: item.rows, by: block) {
            try readBlock(item, firstRow: firstRow, into: &rows)
            let count = min(block, item.rows - firstRow) * item.columns
            try sink.write(littleEndian: rows[..<count].map(\.bitPattern))
        }
    }
}

/// Symmetric int8 quantization of one output channel: scale = max|w| / 127 in binary64, rounded once
/// to binary32; code = w / scale to nearest even.
enum Int8Row {
    static func quantize(_ row: ArraySlice<Float>, store: (_ column: Int, _ code: Int8) -> Void) -> (scale: Float, sum: Int32) {
        row.withUnsafeBufferPointer { row in
            var largest: Float = 0
            for value in row { largest = max(largest, abs(value)) }
            let scale = Float(Double(largest) / 127)
            // A row of zeros, or one so small that its scale vanishes, has codes of zero.
            let divisor = scale > 0 ? Double(scale) : .infinity
            var sum: Int32 = 0
            for (column, value) in row.enumerated() {
                let code = Int8(min(max((Double(value) / divisor).rounded(.toNearestOrEven), -127), 127))
                store(column, code)
                sum += Int32(code)
            }
            return (scale, sum)
        }
    }
}
