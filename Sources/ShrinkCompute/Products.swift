import COpenBLAS

/// A factor of a matrix product: `base` is row-major with `stride` floats from row to row, and taken
/// transposed if so marked.
struct Factor {
    var base: UnsafePointer<Float>
    var stride: Int
    var isTransposed = false
}

extension BLAS {
    /// c = a·b × alpha + beta × c on the calling thread, c being row-major [rows, columns].
    func multiply(
        rows: Int, columns: Int, inner: Int, alpha: Float = 1, _ a: Factor, _ b: Factor, beta: Float = 0,
        into c: UnsafeMutablePointer<Float>, _ cStride: Int
    ) {
        sgemm(
            CblasRowMajor, a.isTransposed ? CblasTrans : CblasNoTrans, b.isTransposed ? CblasTrans : CblasNoTrans, blasint(rows),
            blasint(columns), blasint(inner), alpha, a.base, blasint(a.stride), b.base, blasint(b.stride), beta, c, blasint(cStride))
    }

    /// The same in tiles that `threads` share, and a bias added to each row while it is in the cache. The
    /// tiles follow from the shape alone.
    func multiply(
        rows: Int, columns: Int, inner: Int, _ a: Factor, _ b: Factor, beta: Float = 0, bias: UnsafePointer<Float>? = nil,
        into c: UnsafeMutablePointer<Float>, on threads: HostThreads
    ) {
        let (tileRows, tileColumns) = BLAS.tile(rows: rows, columns: columns, inner: inner)
        let across = (columns + tileColumns - 1) / tileColumns, down = (rows + tileRows - 1) / tileRows
        threads.forEach(across * down) { tile, _ in
            let row = tile / across * tileRows, column = tile % across * tileColumns
            let height = min(tileRows, rows - row), width = min(tileColumns, columns - column)
            var a = a, b = b
            a.base += a.isTransposed ? row : row * a.stride
            b.base += b.isTransposed ? column * b.stride : column
            let target = c + row * columns + column
            multiply(rows: height, columns: width, inner: inner, a, b, beta: beta, into: target, columns)
            if let bias { kernels.add_row(target, columns, bias + column, height, width) }
        }
    }

    /// Halves the longer side until there are enough tiles for many cores, or they would be too small to
    /// pay for their packing.
    private static func tile(rows: Int, columns: Int, inner: Int) -> (rows: Int, columns: Int) {
        func half(_ extent: Int) -> Int { ((extent + 1) / 2 + 63) / 64 * 64 }
        var rowTile = rows, columnTile = columns, tiles = 1
        while tiles < 16, rowTile * columnTile * inner > 1 << 23, max(rowTile, columnTile) > 64 {
            if rowTile >= columnTile { rowTile = half(rowTile) } else { columnTile = half(columnTile) }
            tiles *= 2
        }
        return (rowTile, columnTile)
    }
}
