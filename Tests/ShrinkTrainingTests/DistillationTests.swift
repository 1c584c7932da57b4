import Foundation
import ShrinkCheckpoints
import ShrinkCompute
import ShrinkGraph
import ShrinkModels
import ShrinkPasses
import Testing

@testable import ShrinkTraining

/// A student and a teacher with PyTorch's losses of distillation and their gradients; `Tools/goldens/training.py` makes them.
struct DistillationGolden: CustomStringConvertible, Sendable {
    let name: String
    let output: String
    let heads = 2
    let hiddenMap: String
    let relationMap: String
    var description: String { name }

    static let all = [
        DistillationGolden(name: "distill-bert", output: "masked_logits", hiddenMap: "0:1,1:2", relationMap: "0:0,1:2"),
        // A student of packed queries, keys and values, and a teacher whose heads share keys and values.
        DistillationGolden(name: "distill-causal", output: "logits", hiddenMap: "0:0,1:2", relationMap: "1:2"),
    ]

    var path: String { URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Fixtures/" + name }
    func student() throws -> Graph { try ImportedModel.open(path + "/student").graph }
    func teacher() throws -> Graph { try ImportedModel.open(path + "/teacher").graph }
    func expected() throws -> Checkpoint { try SafetensorsFile(path: path + "/expected.safetensors").checkpoint }

    func floats(_ name: String, _ file: Checkpoint) throws -> [Float] {
        let tensor = try #require(file[name], "\(name) is in the golden")
        var floats = [Float](repeating: .nan, count: tensor.elementCount)
        try floats.withUnsafeMutableBufferPointer { try tensor.readFloats(0..<tensor.elementCount, into: $0) }
        return floats
    }

    func inputs() throws -> HostInputs {
        let file = try expected()
        func integers(_ name: String) throws -> [Int32] {
            let tensor = try #require(file[name])
            return (0..<tensor.elementCount).map { tensor.bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Int32.self) }
        }
        let tokens = try integers("tokens"), lengths = try integers("lengths")
        return HostInputs(batch: lengths.count, tokens: tokens.count / lengths.count, integers: ["tokens": tokens, "lengths": lengths])
    }

    /// By PyTorch's names of the losses.
    func losses() throws -> [DistillationLoss] {
        let hidden = try LayerMap(parsing: hiddenMap), relation = try LayerMap(parsing: relationMap)
        return [
            DistillationLoss("soft", .softTargets(temperature: 2, skew: 0, top: nil)),
            DistillationLoss("skewed", .softTargets(temperature: 1.5, skew: 0.1, top: nil)),
            DistillationLoss("hidden", .hidden(.squaredError, hidden)), DistillationLoss("hidden-cosine", .hidden(.cosine, hidden)),
            DistillationLoss("relations", .relations(heads: heads, relation)),
        ] + RelationLoss.Function.allCases.map { DistillationLoss("attention-\($0.rawValue)", .attention($0, relation)) }
            + (name == "distill-bert" ? [DistillationLoss("vectors", .output(.cosine))] : [])
    }

    func output(of loss: DistillationLoss) -> String { loss.name == "vectors" ? "embedding" : output }

    /// The student with one loss, as trained.
    func graph(_ loss: DistillationLoss) throws -> Graph {
        let output = output(of: loss)
        var graph = try student().extracting(outputs: [output]).adding(loss, of: output, teacher: teacher(), seed: 1).addingSum(of: [(loss.name, 1)])
            .extracting(outputs: ["loss"])
        _ = try PassManager([.fuseResidualNorm, .fuseGate, .padSequences]).run(on: &graph)
        return graph
    }

    func inputs(for graph: Graph) throws -> HostInputs {
        var inputs = try inputs()
        let live = try LiveTeacher(try teacher(), for: graph, fingerprint: Fingerprint(bytes: []))
        inputs.floats = try live.targets(graph.teacherTargets.map(\.target.name), for: inputs, examples: [0, 1, 2])
        return inputs
    }
}

@Suite struct DistillationTests {
    @Test(arguments: DistillationGolden.all) func everyLossAndItsGradientAreThoseOfPyTorch(_ golden: DistillationGolden) throws {
        let file = try golden.expected()
        for loss in try golden.losses() {
            let graph = try golden.graph(loss)
            let table = try ParameterTable(reading: graph.trainableParameters, of: graph)
            for name in table.names where name.hasPrefix(Graph.distillationPrefix) {
                _ = table[name]?.buffer.update(fromContentsOf: try golden.floats(name, file))
            }
            let results = try HostExecutor(try graph.reading(table).differentiated()).run(try golden.inputs(for: graph))
            let value = try #require(results["loss"]).floats[0], wanted = try golden.floats("loss:\(loss.name)", file)[0]
            #expect(abs(value - wanted) <= 1e-5 * wanted, "\(loss.name): \(value), not \(wanted)")
            var worst = 0.0, compared = 0
            for tensor in file.tensors where tensor.name.hasPrefix(loss.name + ":gradient:") {
                let expected = try golden.floats(tensor.name, file), name = String(tensor.name.dropFirst(loss.name.count + 1))
                let size = expected.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
                compared += 1
                // Parameters that a loss is indifferent to have gradients of roundings alone.
                let result = try #require(results[name], "\(loss.name) \(name)").floats
                let error = zip(result, expected).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }.squareRoot()
                worst = max(worst, error / max(size, 1e-3))
                #expect(result.count == expected.count && error <= 1e-4 * max(size, 1e-3), "\(loss.name) \(name): \(error) of \(size)")
            }
            print("\(golden) \(loss.name): \(compared) gradients, largest relative error \(worst)")
            #expect(compared == results.keys.filter { $0.hasPrefix("gradient:") }.count && compared > 0, "every gradient of \(loss.name) is in the golden")
        }
    }

    /// What stands behind the end of a sequence must not matter, in what the student reads nor in what the teacher says there.
    @Test(arguments: DistillationGolden.all) func paddingHasNoPart(_ golden: DistillationGolden) throws {
        for loss in try golden.losses() {
            let graph = try golden.graph(loss), executor = try HostExecutor(try graph.differentiated())
            var inputs = try golden.inputs(for: graph)
            let before = try executor.run(inputs), lengths = try #require(inputs.integers["lengths"])
            for (sequence, length) in lengths.enumerated() {
                for token in Int(length)..<inputs.tokens {
                    inputs.integers["tokens"]![sequence * inputs.tokens + token] = 1
                    for (_, tensor) in inputs.floats where tensor.shape.count == 3 {
                        let row = tensor.buffer.baseAddress! + (sequence * inputs.tokens + token) * tensor.width
                        for column in 0..<tensor.width { row[column] = Float(3 + column) }
                    }
                }
            }
            for (name, tensor) in try executor.run(inputs) {
                let others = try #require(before[name]).floats, scale = others.map(abs).max() ?? 0
                let difference = zip(tensor.floats, others).map { abs($0 - $1) }.max() ?? .infinity
                #expect(difference <= 1e-6 * max(scale, 1e-3), "\(loss.name) \(name)")
            }
        }
    }

    @Test(arguments: DistillationGolden.all) func gradientsAreTheSameBitsForEveryNumberOfThreads(_ golden: DistillationGolden) throws {
        for loss in try golden.losses() {
            let graph = try golden.graph(loss), inputs = try golden.inputs(for: graph), gradient = try graph.differentiated()
            let runs = try [1, 2, 5].map { try HostExecutor(gradient, threads: HostThreads($0)).run(inputs) }
            for run in runs.dropFirst() {
                for (name, tensor) in run { #expect(tensor.floats.map(\.bitPattern) == runs[0][name]?.floats.map(\.bitPattern), "\(loss.name) \(name)") }
            }
        }
    }

    @Test func aCopyOfTheTeacherHasNothingToLearn() throws {
        for golden in DistillationGolden.all {
            let teacher = try golden.teacher(), layers = LayerMap.uniform(student: 3, teacher: 3)
            let kinds: [DistillationLoss.Kind] = [
                .softTargets(temperature: 2, skew: 0.1, top: nil), .softTargets(temperature: 2, skew: 0, top: 5), .output(.squaredError), .hidden(.squaredError, layers),
                .hidden(.cosine, layers), .relations(heads: 2, layers), .attention(.divergence, layers), .attention(.scores, layers),
            ]
            for kind in kinds {
                let graph = try teacher.extracting(outputs: [golden.output]).adding(DistillationLoss("loss", kind), of: golden.output, teacher: teacher, seed: 1)
                #expect(!graph.usedParameters.contains { graph[$0].name.hasPrefix(Graph.distillationPrefix) }, "equal widths need no projection")
                var inputs = try golden.inputs()
                let live = try LiveTeacher(teacher, for: graph, fingerprint: Fingerprint(bytes: []))
                inputs.floats = try live.targets(graph.teacherTargets.map(\.target.name), for: inputs, examples: [])
                var padded = graph
                _ = try PassManager([.padSequences]).run(on: &padded)
                let loss = try #require(try HostExecutor(padded).run(inputs)["loss"]).floats[0]
                #expect(abs(loss) <= 1e-6, "\(golden) \(kind)")
            }
        }
    }

    /// A recurrent model has hidden states by layer and outputs like any other, but no attention.
    @Test func aTransformerTeachesARecurrentModel() throws {
        func model(_ name: String) throws -> Graph {
            try ImportedModel.open(URL(fileURLWithPath: #filePath).deletingLastPathComponent().path + "/Fixtures/" + name).graph.extracting(outputs: ["logits"])
        }
        let teacher = try model("llama"), student = try model("lstm")
        #expect(student.layerCount == 2 && teacher.layerCount == 2)
        var graph = try student.adding(DistillationLoss("soft", .softTargets(temperature: 2, skew: 0, top: nil)), of: "logits", teacher: teacher, seed: 1)
            .adding(DistillationLoss("states", .hidden(.squaredError, .uniform(student: 2, teacher: 2))), of: "logits", teacher: teacher, seed: 1)
            .addingSum(of: [("soft", 1), ("states", 1)])
        _ = try PassManager([.padSequences]).run(on: &graph)
        let live = try LiveTeacher(teacher, for: graph, fingerprint: Fingerprint(bytes: [])), source = RandomSequences(count: 8)
        let trainer = try Trainer(graph, threads: HostThreads(2))
        trainer.targets = { try live.targets($0, for: $1, examples: $2) }
        let losses = try (0..<20).map { _ in try trainer.step([source.batch(Array(0..<8), epoch: 0)], rate: 1e-2).loss }
        #expect(losses[19] < 0.8 * losses[0], "\(losses)")
        let attention = DistillationLoss("loss", .attention(.divergence, .last(student: 2, teacher: 2)))
        #expect(throws: TrainingError.self) { try student.adding(attention, of: "logits", teacher: teacher, seed: 1) }
    }

    /// The most probable classes of a distribution by sorting it.
    @Test(arguments: [1, 2, 9, 40]) func theMostProbableClassesAreFound(_ count: Int) {
        let logits = (0..<40).map { Float(($0 * 37 + 11) % 19) / 4 }, temperature = 1.7
        var found = [Float](repeating: .nan, count: 2 * count + 1)
        logits.withUnsafeBufferPointer { TopClasses.find($0, count, temperature: Float(temperature), into: &found) }
        let order = logits.indices.sorted { (-logits[$0], $0) < (-logits[$1], $1) }
        let powers = logits.map { exp(Double($0) / temperature) }, sum = powers.reduce(0, +)
        #expect(found.prefix(count).map { Int($0) } == Array(order.prefix(count)))
        for (place, index) in order.prefix(count).enumerated() { #expect(abs(Double(found[count + place]) - log(powers[index] / sum)) <= 1e-5) }
        let others = order.dropFirst(count).reduce(0) { $0 + powers[$1] } / sum
        #expect(count == 40 ? found[2 * count] == -.infinity : abs(Double(found[2 * count]) - log(others)) <= 1e-5)
    }

    @Test func layerMapsAreReadAndRefused() throws {
        #expect(try LayerMap(parsing: "0:0,1:3,2:5").pairs == [.init(student: 0, teacher: 0), .init(student: 1, teacher: 3), .init(student: 2, teacher: 5)])
        #expect(LayerMap.uniform(student: 3, teacher: 6).description == "0:1,1:3,2:5")
        #expect(LayerMap.uniform(student: 5, teacher: 12).description == "0:1,1:3,2:6,3:8,4:11")
        #expect(LayerMap.uniform(student: 4, teacher: 2).description == "0:0,1:0,2:0,3:1")
        for text in ["", "0", "0:1,", "a:1", "0:-1", "0:1:2", "0:1,0:2"] { #expect(throws: TrainingError.self, "\(text)") { try LayerMap(parsing: text) } }
    }

    @Test func namesOfTargetsReadBack() {
        let targets: [TeacherTarget] = [
            .output("logits"), .top("masked_logits", count: 64, temperature: 2.5), .hidden(layer: 11), .attention(.query, layer: 0), .attention(.value, layer: 3),
        ]
        for target in targets { #expect(TeacherTarget(name: target.name) == target) }
        for name in ["logits", "teacher:", "teacher:hidden:-1", "teacher:hidden:x", "teacher:top:0:1.0:logits", "teacher:top:3:-1.0:logits", "teacher:bias:0"] {
            #expect(TeacherTarget(name: name) == nil, "\(name)")
        }
    }

    @Test func whatAModelDoesNotHaveIsNamed() throws {
        let golden = DistillationGolden.all[0], student = try golden.student().extracting(outputs: ["masked_logits"]), teacher = try golden.teacher()
        func message(_ kind: DistillationLoss.Kind, output: String = "masked_logits") -> String {
            do {
                _ = try student.adding(DistillationLoss("loss", kind), of: output, teacher: teacher, seed: 1)
                return "nothing"
            } catch { return "\(error)" }
        }
        #expect(message(.hidden(.cosine, try LayerMap(parsing: "2:0"))).contains("the student has the layers 0 to 1"))
        #expect(message(.hidden(.cosine, try LayerMap(parsing: "1:3"))).contains("the teacher has the layers 0 to 2"))
        #expect(message(.relations(heads: 5, LayerMap.last(student: 2, teacher: 3))).contains("5 relation heads do not divide the 12 columns of the student's query"))
        #expect(message(.output(.cosine), output: "labels").contains("no output labels"))
        let wide = try DistillationGolden.all[1].teacher()
        #expect(throws: TrainingError.self) { try student.adding(DistillationLoss("loss", .attention(.scores, .last(student: 2, teacher: 3))), of: "masked_logits", teacher: wide, seed: 1) }
    }

    /// Of a teacher with more rows than the student, those that the student lacks are no classes, on top or not.
    @Test(arguments: [3, 10, nil]) func classesThatTheStudentLacksAreLeftOut(_ top: Int?) throws {
        let golden = DistillationGolden.all[0], teacher = try golden.teacher()
        var builder = GraphBuilder(name: "student")
        let tokens = try builder.input("tokens", ValueType(.int32, [.batch, .tokens]))
        let table = try builder.parameter(
            "table", ValueType(.float32, [21, 10]),
            Parameter(storedType: "f32", storedByteCount: 840, source: FloatArraySource((0..<210).map { Float($0 * 31 % 17) / 8 })))
        try builder.output("masked_logits", try builder.add(.embedding(Embedding()), [tokens, table]))
        let graph = try builder.graph.adding(
            DistillationLoss("soft", .softTargets(temperature: 1, skew: 0, top: top)), of: "masked_logits", teacher: teacher, seed: 1)
        var inputs = try golden.inputs()
        let name = try #require(graph.teacherTargets.first?.target.name)
        inputs.floats = try LiveTeacher(teacher, for: graph, fingerprint: Fingerprint(bytes: [])).targets([name], for: inputs, examples: [0, 1, 2])
        let target = try #require(inputs.floats[name])
        if let top {
            #expect(target.width == 2 * top + 1)
            for row in 0..<target.rowCount { #expect(target.row(row).prefix(top).allSatisfy { $0 < 10 }) }
        } else {
            #expect(target.width == 10)
        }
        let loss = try #require(try HostExecutor(graph).run(inputs)["soft"]).floats[0]
        #expect(loss > 0 && loss.isFinite)
    }

    /// Rows that only fill up a table are classes of probability zero.
    @Test func aWiderTableOfTheStudentLearnsThatItsRestIsImpossible() throws {
        let logits = HostTensor([1, 2, 3, 4, 5, 6], shape: [2, 3]), threads = HostThreads(1)
        #expect(logits.columns(0..<3, width: 5, filler: TeacherTarget.impossible, threads: threads).floats == [1, 2, 3, -1e4, -1e4, 4, 5, 6, -1e4, -1e4])
        #expect(logits.columns(0..<3, width: 2, filler: 0, threads: threads).floats == [1, 2, 4, 5])
        #expect(logits.columns(1..<3, width: 2, filler: 0, threads: threads).floats == [2, 3, 5, 6])
    }
}
