import ShrinkCompute
import ShrinkFormat
import ShrinkGraph
import ShrinkModels
import ShrinkPacking
import ShrinkPasses
import ShrinkTokenizers
import ShrinkTraining

/// A teacher packed to int8 that runs beside its student: the outputs of the artifact, one sequence after the other.
final class RuntimeTeacher: Teacher {
    let fingerprint: Fingerprint
    private let model: ArtifactTextModel
    private let plans: [String: Plan]
    private let threads: HostThreads

    private struct Plan {
        var target: TeacherTarget
        var kind: EntryRecord.Kind
        var width: Int
        /// Of the student's output.
        var classes: Int
    }

    /// - Parameter path: where the artifact is written.
    init(
        _ teacher: ImportedModel, tokenizer: TokenizerDefinition, for student: Graph, fingerprint: Fingerprint, path: String, threads: Int, quiet: Bool
    ) throws {
        var plans: [String: Plan] = [:]
        for (target, type) in student.teacherTargets {
            guard let output = target.output, let kind = [EntryRecord.Kind.score, .embed, .classify, .tag].first(where: { $0.graphOutput == output }) else {
                throw CommandFailure(
                    "the int8 runtime gives outputs alone, and no \(target.name.dropFirst(TeacherTarget.prefix.count)); take --teacher-runtime fp32\(target.output == Objective.maskedLanguageModel.output ? "" : " or cache") for this loss")
            }
            plans[target.name] = Plan(
                target: target, kind: kind, width: type.width ?? 0, classes: student.output(named: output).flatMap { student[$0].type.width } ?? 0)
        }
        let progress = Progress("pack the teacher", quiet: quiet)
        defer { progress.clear() }
        try Compilation(teacher, scheme: .w8a8, context: nil).packed.write(
            to: path, PackedModel.Attachments(manifest: .null, tokenizer: try tokenizer.encodedTables()), selfTest: { _, _ in nil },
            progress: { try progress.update($0, $1) })
        model = try ArtifactTextModel(path, threads: threads, verify: false)
        self.plans = plans
        self.fingerprint = fingerprint
        self.threads = HostThreads(threads)
    }

    func targets(_ names: [String], for inputs: HostInputs, examples: [Int]) throws -> [String: HostTensor] {
        let tokens = inputs.integers["tokens"] ?? [], segments = inputs.integers["segments"]
        var outputs: [String: HostTensor] = [:], result: [String: HostTensor] = [:]
        for name in names {
            guard let plan = plans[name], let output = plan.target.output else { throw CommandFailure("the teacher was not asked for \(name) when it was prepared") }
            if outputs[output] == nil {
                for sequence in 0..<inputs.batch {
                    let length = inputs.integers["lengths"].map { Int($0[sequence]) } ?? inputs.tokens
                    let places = sequence * inputs.tokens..<sequence * inputs.tokens + length
                    try tokens[places].map { UInt32(bitPattern: $0) }.withUnsafeBufferPointer { tokens in
                        try model.run(plan.kind, tokens, segments: segments.map { $0[places].map { UInt32(bitPattern: $0) } }) { rows in
                            guard rows.count > 0 else { return }
                            let width = rows.row(0).count, isByToken = plan.kind == .score || plan.kind == .tag
                            let tensor = outputs[output] ?? HostTensor(zeros: isByToken ? [inputs.batch, inputs.tokens, width] : [inputs.batch, width])
                            outputs[output] = tensor
                            for row in 0..<rows.count {
                                let place = isByToken ? places.lowerBound + rows.firstToken + row : sequence
                                _ = UnsafeMutableBufferPointer(rebasing: tensor.buffer[place * width..<(place + 1) * width]).update(fromContentsOf: rows.row(row))
                            }
                        }
                    }
                }
            }
            guard let rows = outputs[output] else { throw CommandFailure("the teacher gave no \(output)") }
            result[name] = plan.target.values(of: rows, columns: 0..<min(rows.width, plan.classes), width: plan.width, threads: threads)
        }
        return result
    }
}

extension TeacherTarget {
    /// The graph output that it is of.
    fileprivate var output: String? {
        switch self {
        case .output(let name), .top(let name, _, _): name
        case .hidden, .attention: nil
        }
    }
}

extension HostTensor {
    fileprivate convenience init(zeros shape: [Int]) {
        self.init(shape: shape)
        buffer.initialize(repeating: 0)
    }
}
