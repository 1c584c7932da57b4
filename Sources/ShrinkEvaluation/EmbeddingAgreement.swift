/// How alike the embeddings of two models are over the same texts.
public struct EmbeddingAgreement: Sendable {
    public var texts: Int
    /// Of the cosines of each text's two vectors.
    public var meanCosine, minimumCosine: Double
    /// The share of texts whose nearest other text, by cosine, is the same in both models; ties go to the first.
    public var sameNearestNeighbour: Double

    /// `a` and `b` hold the vectors of the same texts in the same order, at least two.
    public init(_ a: [[Float]], _ b: [[Float]]) throws {
        guard a.count == b.count, a.count >= 2 else { throw EvaluationError("at least two texts are needed to compare embeddings") }
        guard zip(a, b).allSatisfy({ $0.count == $1.count }) else {
            throw EvaluationError("the vectors have \(a[0].count) and \(b[0].count) numbers; the models are not of one kind")
        }
        let cosines = zip(a, b).map(Correlation.cosine)
        texts = a.count
        meanCosine = cosines.reduce(0, +) / Double(cosines.count)
        minimumCosine = cosines.min() ?? 0
        let same = zip(EmbeddingAgreement.nearest(a), EmbeddingAgreement.nearest(b)).filter { $0 == $1 }.count
        sameNearestNeighbour = Double(same) / Double(a.count)
    }

    private static func nearest(_ vectors: [[Float]]) -> [Int] {
        vectors.indices.map { index in
            var best = -1
            var bestCosine = -Double.infinity
            for other in vectors.indices where other != index {
                let cosine = Correlation.cosine(vectors[index], vectors[other])
                if cosine > bestCosine { (best, bestCosine) = (other, cosine) }
            }
            return best
        }
    }
}
