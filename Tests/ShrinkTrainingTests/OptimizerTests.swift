import ShrinkCompute
import ShrinkGraph
import Testing

@testable import ShrinkTraining

/// Optimizers against their formulas in binary64, over lengths that end within a vector.
@Suite struct OptimizerTests {
    /// A matrix of 3 × 7 and a vector of 5.
    func table(_ seed: Float) throws -> ParameterTable {
        var builder = GraphBuilder(name: "table")
        var values: [ValueID] = []
        for (name, shape) in [("matrix", [3, 7]), ("vector", [5])] {
            let count = shape.reduce(1, *)
            let floats = (0..<count).map { seed * (Float($0 * 37 % 19) - 9) / 10 }
            values.append(try builder.parameter(
                name, ValueType(.float32, shape.map(Dimension.fixed)),
                Parameter(storedType: "f32", storedByteCount: 4 * count, source: FloatArraySource(floats))))
        }
        return try ParameterTable(reading: values, of: builder.graph)
    }

    @Test func adamWIsAlgorithm2AndSparesVectorsFromDecay() throws {
        let parameters = try table(1), gradients = try table(-0.3)
        let optimizer = Optimizer(.adamW(beta1: 0.8, beta2: 0.95, epsilon: 1e-6), parameters, weightDecay: 0.2, threads: HostThreads(1))
        var expected = parameters.names.map { name in parameters[name]!.floats.map(Double.init) }
        let start = expected
        for _ in 1...4 {
            optimizer.step(gradients, rate: 0.05, gradientScale: 0.5)
            for (index, name) in parameters.names.enumerated() {
                let decay = name == "matrix" ? 0.2 : 0
                // The gradient is the same at every step, so the moments have a closed form.
                for (element, gradient) in gradients[name]!.floats.enumerated() {
                    let g = Double(gradient) * 0.5
                    expected[index][element] -= 0.05 * (g / (abs(g) + 1e-6) + decay * expected[index][element])
                }
            }
        }
        for (index, name) in parameters.names.enumerated() {
            for (result, wanted) in zip(parameters[name]!.floats, expected[index]) { #expect(abs(Double(result) - wanted) <= 2e-6) }
            #expect(parameters[name]!.floats.map(Double.init) != start[index])
        }
        #expect(optimizer.stepCount == 4)
    }

    @Test func momentumAddsUpVelocity() throws {
        let parameters = try table(1), gradients = try table(0.7), start = parameters.names.map { parameters[$0]!.floats }
        let optimizer = Optimizer(.sgd(momentum: 0.5), parameters, weightDecay: 0.1, threads: HostThreads(1))
        optimizer.step(gradients, rate: 0.1)
        optimizer.step(gradients, rate: 0.1)
        for (name, before) in zip(parameters.names, start) {
            let decay = name == "matrix" ? 0.1 : 0
            for ((result, first), gradient) in zip(zip(parameters[name]!.floats, before), gradients[name]!.floats) {
                var w = Double(first)
                w -= 0.1 * (Double(gradient) + decay * w)
                w -= 0.1 * (1.5 * Double(gradient) + decay * w)
                #expect(abs(Double(result) - w) <= 1e-6)
            }
        }
    }

    @Test func theGlobalNormIsThatOfAllNumbersTogether() throws {
        let gradients = try table(2)
        let sum = gradients.names.flatMap { gradients[$0]!.floats }.reduce(0.0) { $0 + Double($1) * Double($1) }
        #expect(abs(gradients.globalNorm(threads: HostThreads(2)) - sum.squareRoot()) <= 1e-6 * sum.squareRoot())
        gradients["vector"]!.buffer[2] = .nan
        #expect(!gradients.globalNorm().isFinite)
    }

    @Test func clippingShortensLongGradientsOnly() {
        #expect(clippingScale(norm: 0.5, maximum: 1) == 1)
        #expect(clippingScale(norm: 4, maximum: 1) == 0.25)
    }
}
