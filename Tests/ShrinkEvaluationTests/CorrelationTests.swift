import Testing

@testable import ShrinkEvaluation

/// Against scipy 1.17.1: `pearsonr(a, b)`, `spearmanr(a, b)`, `rankdata(a)` of the lists below, which have many ties.
@Suite struct CorrelationTests {
    let a = [2.0, 0.0, 0.5, 0.5, 0.5, 2.0, 2.5, 1.5, 0.0, 0.0, 0.5, 1.0, 1.5, 1.0, 0.5]
    let b = [0.7, 5.0, 0.8, -0.0, 0.1, 1.0, 0.9, 0.9, 0.7, -0.4, 1.9, 0.7, 1.5, 3.3, 1.3]

    @Test func pearsonEqualsSciPy() throws {
        #expect(abs(try #require(Correlation.pearson(a, b)) - -0.12346864998492739) < 1e-14)
    }

    @Test func spearmanWithTiesEqualsSciPy() throws {
        #expect(abs(try #require(Correlation.spearman(a, b)) - 0.1627170921772147) < 1e-14)
    }

    @Test func equalValuesShareTheirMeanRank() {
        let expected = [13.5, 2.0, 6.0, 6.0, 6.0, 13.5, 15.0, 11.5, 2.0, 2.0, 6.0, 9.5, 11.5, 9.5, 6.0]
        #expect(Correlation.ranks(a) == expected.map { $0 - 1 }, "from 0 instead of 1")
    }

    @Test func aMonotonousRelationHasRankCorrelationOne() {
        #expect(Correlation.spearman([1, 2, 3, 4], [1, 10, 1000, 1e9]) == 1)
        #expect(Correlation.spearman([1, 2, 3, 4], [0, -1, -2, -9]) == -1)
    }

    @Test func aConstantListHasNoCorrelation() {
        #expect(Correlation.pearson([0.1, 0.1, 0.1], [1, 2, 4]) == nil)
        #expect(Correlation.spearman([1, 2, 4], [0.7, 0.7, 0.7]) == nil)
    }

    @Test func cosineOfParallelOppositeAndZeroVectors() {
        #expect(abs(Correlation.cosine([3, 4], [6, 8]) - 1) < 1e-15)
        #expect(abs(Correlation.cosine([3, 4], [-3, -4]) + 1) < 1e-15)
        #expect(Correlation.cosine([1, 0], [0, 1]) == 0)
        #expect(Correlation.cosine([0, 0], [1, 1]) == 0)
    }
}
