import Foundation
import ShrinkCompute
import ShrinkGraph
import ShrinkPasses
import Testing

@testable import ShrinkTraining

/// A teacher's values in a file, and what becomes of files that do not belong.
@Suite struct TeacherCacheTests {
    static let golden = DistillationGolden.all[0]
    let scratch = Scratch()
    var path: String { scratch.path + "/teacher.cache" }
    let source = RandomSequences(count: 11, vocabulary: 21, length: 8)
    let data = Fingerprint(bytes: [UInt8](repeating: 7, count: 32))

    func student(top: Int? = 5) throws -> Graph {
        let student = try Self.golden.student().extracting(outputs: ["masked_logits", "embedding"]), teacher = try Self.golden.teacher()
        let map = LayerMap.last(student: 2, teacher: 3)
        return try [
            DistillationLoss("soft", .softTargets(temperature: 2, skew: 0, top: top)), DistillationLoss("hidden", .hidden(.squaredError, map)),
            DistillationLoss("relations", .relations(heads: 2, map)),
        ].reduce(student) { try $0.adding($1, of: "masked_logits", teacher: teacher, seed: 1) }
            .adding(DistillationLoss("vectors", .output(.cosine)), of: "embedding", teacher: teacher, seed: 1)
    }

    func live(_ student: Graph) throws -> LiveTeacher {
        try LiveTeacher(try Self.golden.teacher(), for: student, fingerprint: Fingerprint(bytes: [UInt8](repeating: 1, count: 32)))
    }

    func write(_ student: Graph, _ numbers: CachedTeacher.Numbers = .float32) throws {
        try CachedTeacher.write(to: path, try live(student), source: source, data: data, for: student, numbers: numbers, batchSize: 4)
    }

    func open(_ student: Graph, teacher: UInt8 = 1, data: Fingerprint? = nil, count: Int = 11) throws -> CachedTeacher {
        try CachedTeacher(
            path: path, teacher: Fingerprint(bytes: [UInt8](repeating: teacher, count: 32)), data: data ?? self.data, for: student, count: count)
    }

    func message(_ body: () throws -> Void) -> String {
        do { try body() } catch { return "\(error)" }
        return "nothing was thrown"
    }

    /// In whatever batches examples come; what stands in the rows of padding does not matter.
    @Test(arguments: CachedTeacher.Numbers.allCases, [5, nil]) func valuesAreThoseOfTheLiveTeacher(_ numbers: CachedTeacher.Numbers, _ top: Int?) throws {
        let student = try student(top: top), live = try live(student), names = student.teacherTargets.map(\.target.name)
        #expect(names.count == 6)
        try write(student, numbers)
        let cached = try open(student)
        for examples in [[3], [10, 0, 7], Array(0..<11)] {
            let inputs = source.batch(examples, epoch: 2).inputs
            let expected = try live.targets(names, for: inputs, examples: examples), found = try cached.targets(names, for: inputs, examples: examples)
            for name in names {
                let a = try #require(expected[name]), b = try #require(found[name])
                #expect(a.shape == b.shape)
                let isByToken = a.shape.count == 3, scale = a.floats.filter(\.isFinite).map(abs).max() ?? 0
                for row in 0..<a.rowCount {
                    if isByToken, row % inputs.tokens >= source.size(examples[row / inputs.tokens]) { continue }
                    // Batches of other sizes sum in another order.
                    let bound = 1e-5 * scale + (numbers == .float16 ? scale / 2048 : 0)
                    #expect(zip(a.row(row), b.row(row)).allSatisfy { abs($0 - $1) <= bound || $0 == $1 }, "\(name), row \(row) of \(examples)")
                }
            }
        }
    }

    /// Training from the file is training from the teacher.
    @Test func lossesAreThoseOfTheLiveTeacher() throws {
        var student = try student()
        student = try student.addingSum(of: ["soft", "hidden", "relations", "vectors"].map { ($0, 1) })
        try write(student)
        let live = try live(student), cached = try open(student)
        func losses(_ teacher: any Teacher) throws -> [Double] {
            let trainer = try Trainer(student.extracting(outputs: ["loss"]), threads: HostThreads(1))
            trainer.targets = { try teacher.targets($0, for: $1, examples: $2) }
            return try (0..<5).map { step in try trainer.step([source.batch([step, 10 - step, 5], epoch: step)], rate: 1e-3).loss }
        }
        let expected = try losses(live), found = try losses(cached)
        #expect(zip(expected, found).allSatisfy { abs($0 - $1) <= 1e-5 * $0 })
        #expect(expected[4] != expected[0])
    }

    @Test func anotherTeachersCacheIsRefusedWithTheReason() throws {
        let student = try student()
        try write(student)
        #expect(message { _ = try open(student, teacher: 2) }.contains("another teacher"))
        #expect(message { _ = try open(student, data: Fingerprint(bytes: [UInt8](repeating: 8, count: 32))) }.contains("other data"))
        #expect(message { _ = try open(student, count: 12) }.contains("11 examples"))
        let more = try student.adding(
            DistillationLoss("more", .hidden(.cosine, LayerMap(parsing: "0:0"))), of: "masked_logits", teacher: try Self.golden.teacher(), seed: 1)
        #expect(message { _ = try open(more) }.contains("has no hidden:0"))
        #expect(message { _ = try open(try self.student(top: 6)) }.contains("has no top:6:2.0:masked_logits"))
        let cached = try open(student), other = RandomSequences(count: 11, vocabulary: 21, length: 8, seed: 2)
        #expect(throws: TrainingError.self) { try cached.targets(["teacher:hidden:2"], for: other.batch([1, 2, 3], epoch: 0).inputs, examples: [1, 2, 3]) }
        #expect(throws: TrainingError.self) { try cached.targets(["teacher:hidden:2"], for: source.batch([1], epoch: 0).inputs, examples: [11]) }
    }

    @Test func everyDamagedByteAndEveryCutIsFound() throws {
        let student = try student()
        try write(student, .float16)
        let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
        for place in [0, 1, whole.count / 2] + Array(whole.count - 400..<whole.count - 32) {
            var bytes = whole
            bytes[place] ^= 0x10
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            // Bytes behind the checksum are zeros that nobody reads; four more are not used yet.
            if whole.count - place <= 32 || (whole.count - 148..<whole.count - 144).contains(place) { continue }
            #expect(throws: DataError.self, "byte \(place) of \(whole.count)") { try open(student) }
        }
        for count in [0, 1, 100, 159, 160, whole.count / 2, whole.count - 1] {
            try Data(whole.prefix(count)).write(to: URL(fileURLWithPath: path))
            #expect(throws: (any Error).self, "\(count) bytes") { try open(student) }
        }
        try Data(whole).write(to: URL(fileURLWithPath: path))
        _ = try open(student)
    }

    @Test func anInterruptedTeacherLeavesNothing() throws {
        struct Stop: Error {}
        let student = try student()
        #expect(throws: Stop.self) {
            try CachedTeacher.write(to: path, try live(student), source: source, data: data, for: student, batchSize: 2) { done, _ in if done >= 6 { throw Stop() } }
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
    }

    final class Stub: Teacher {
        let fingerprint = Fingerprint(bytes: [UInt8](repeating: 1, count: 32))
        let value: Float
        init(_ value: Float) { self.value = value }
        func targets(_ names: [String], for inputs: HostInputs, examples: [Int]) -> [String: HostTensor] {
            Dictionary(uniqueKeysWithValues: names.map { name in
                let tensor = HostTensor(shape: [inputs.batch, inputs.tokens, 18])
                tensor.buffer.initialize(repeating: value)
                return (name, tensor)
            })
        }
    }

    @Test func numbersThatTheFileCannotHoldAreRefused() throws {
        let graph = try Self.golden.student().extracting(outputs: ["masked_logits"]).adding(
            DistillationLoss("hidden", .hidden(.squaredError, .last(student: 2, teacher: 3))), of: "masked_logits", teacher: try Self.golden.teacher(), seed: 1)
        func write(_ value: Float, _ numbers: CachedTeacher.Numbers) throws {
            try CachedTeacher.write(to: path, Stub(value), source: source, data: data, for: graph, numbers: numbers)
        }
        #expect(message { try write(70_000, .float16) }.contains("too large for float16"))
        try write(70_000, .float32)
        #expect(message { try write(.nan, .float32) }.contains("the teacher itself is broken"))
    }

    /// The parts of a step count by their rows, for each loss by its own.
    @Test func aStepInPartsIsTheStepAsAWhole() throws {
        var student = try student()
        student = try student.addingSum(of: ["soft", "hidden", "relations", "vectors"].map { ($0, 1) }).extracting(outputs: ["loss"])
        _ = try PassManager([.padSequences]).run(on: &student)
        let live = try live(student), examples = [0, 1, 2, 3, 4, 5, 6]
        func step(_ parts: [[Int]]) throws -> (Trainer.Result, Trainer) {
            let trainer = try Trainer(student, optimizer: .sgd(momentum: 0), threads: HostThreads(1))
            trainer.targets = { try live.targets($0, for: $1, examples: $2) }
            return (try trainer.step(parts.map { source.batch($0, epoch: 0) }, rate: 0.1), trainer)
        }
        let (whole, a) = try step([examples]), (parts, b) = try step([[0, 1], [2], [3, 4, 5, 6]])
        #expect(abs(whole.loss - parts.loss) <= 1e-6 * whole.loss && abs(whole.gradientNorm - parts.gradientNorm) <= 1e-5 * whole.gradientNorm)
        for name in a.parameters.names {
            let difference = zip(a.parameters[name]!.floats, b.parameters[name]!.floats).map { abs($0 - $1) }.max() ?? .infinity
            #expect(difference <= 1e-5, "\(name)")
        }
    }
}
