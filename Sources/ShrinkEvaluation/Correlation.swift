/// How two lists of numbers go together.
public enum Correlation {
    /// Pearson's r; nil where either list is constant.
    public static func pearson(_ a: [Double], _ b: [Double]) -> Double? {
        precondition(a.count == b.count && !a.isEmpty)
        // Not left to the sums: the mean of equal numbers may be rounded away from them.
        for list in [a, b] where list.allSatisfy({ $0 == list[0] }) { return nil }
        let meanA = a.reduce(0, +) / Double(a.count), meanB = b.reduce(0, +) / Double(b.count)
        var product = 0.0, squareA = 0.0, squareB = 0.0
        for (x, y) in zip(a, b) {
            product += (x - meanA) * (y - meanB)
            squareA += (x - meanA) * (x - meanA)
            squareB += (y - meanB) * (y - meanB)
        }
        let norm = (squareA * squareB).squareRoot()
        return norm > 0 ? product / norm : nil
    }

    /// Spearman's ρ: Pearson's r of the ranks, equal values sharing their mean rank.
    public static func spearman(_ a: [Double], _ b: [Double]) -> Double? { pearson(ranks(a), ranks(b)) }

    static func ranks(_ values: [Double]) -> [Double] {
        let order = values.indices.sorted { (values[$0], $0) < (values[$1], $1) }
        var ranks = [Double](repeating: 0, count: values.count)
        var start = 0
        while start < order.count {
            var end = start + 1
            while end < order.count, values[order[end]] == values[order[start]] { end += 1 }
            for position in start..<end { ranks[order[position]] = Double(start + end - 1) / 2 }
            start = end
        }
        return ranks
    }

    public static func cosine(_ a: [Float], _ b: [Float]) -> Double {
        var product = 0.0, squareA = 0.0, squareB = 0.0
        for (x, y) in zip(a, b) {
            product += Double(x) * Double(y)
            squareA += Double(x) * Double(x)
            squareB += Double(y) * Double(y)
        }
        let norm = (squareA * squareB).squareRoot()
        return norm > 0 ? product / norm : 0
    }
}
