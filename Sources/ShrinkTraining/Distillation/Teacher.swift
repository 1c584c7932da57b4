import ShrinkCompute
import ShrinkGraph
import ShrinkPasses

/// Gives what a student's graph asks of its teacher.
public protocol Teacher: AnyObject {
    /// Of the teacher's numbers and tokenizer.
    var fingerprint: Fingerprint { get }
    /// Values for a batch by the names of the student's inputs (see `TeacherTarget`), padded like the batch.
    ///
    /// - Parameters:
    ///   - inputs: what the student gets: tokens, lengths and the like.
    ///   - examples: the number of each sequence's example in its source.
    func targets(_ names: [String], for inputs: HostInputs, examples: [Int]) throws -> [String: HostTensor]
}

/// A teacher that runs in binary32 beside the student, only as far as its values are asked for.
public final class LiveTeacher: Teacher {
    public let fingerprint: Fingerprint
    private let executor: HostExecutor
    /// How each target is made of an output of the executor's graph.
    private let plans: [String: Plan]
    private let threads: HostThreads

    private struct Plan {
        var output: String
        var target: TeacherTarget
        var columns: Range<Int>
        /// Of the target.
        var width: Int
    }

    /// - Parameters:
    ///   - model: the teacher's graph as imported.
    ///   - student: a graph with distillation losses.
    /// - Throws: `TrainingError` when the student asks for what the model does not have.
    public init(_ model: Graph, for student: Graph, fingerprint: Fingerprint, threads: HostThreads = HostThreads()) throws {
        var builder = GraphBuilder(extending: model)
        var plans: [String: Plan] = [:], outputs: [String] = []
        for (target, type) in student.teacherTargets {
            let (value, columns) = try Self.value(of: target, in: model, for: student)
            let output = "target:\(value.index)"
            if !outputs.contains(output) {
                try builder.output(output, value)
                outputs.append(output)
            }
            plans[target.name] = Plan(output: output, target: target, columns: columns, width: type.width ?? columns.count)
        }
        var graph = builder.graph.extracting(outputs: outputs)
        _ = try PassManager([.fuseResidualNorm, .fuseGate, .padSequences]).run(on: &graph)
        self.fingerprint = fingerprint
        self.plans = plans
        self.threads = threads
        executor = try HostExecutor(graph, threads: threads)
    }

    private static func value(of target: TeacherTarget, in model: Graph, for student: Graph) throws -> (ValueID, columns: Range<Int>) {
        func missing() -> TrainingError { TrainingError(.mismatch, "", "the teacher has no \(target.name.dropFirst(TeacherTarget.prefix.count))") }
        func whole(_ value: ValueID?) throws -> (ValueID, Range<Int>) {
            guard let value, let width = model[value].type.width else { throw missing() }
            return (value, 0..<width)
        }
        switch target {
        case .output(let name): return try whole(model.output(named: name))
        case .top(let name, _, _):
            let (value, columns) = try whole(model.output(named: name))
            return (value, columns.clamped(to: 0..<(student.output(named: name).flatMap { student[$0].type.width } ?? columns.count)))
        case .hidden(let layer): return try whole(model.hiddenState(after: layer))
        case .attention(let role, let layer):
            let all = model.attentions
            guard all.indices.contains(layer), case .attention(let attention) = all[layer].operation else { throw missing() }
            let place = attention.place(of: role)
            return (all[layer].inputs[place.input], place.firstColumn..<place.firstColumn + place.heads * attention.headSize)
        }
    }

    public func targets(_ names: [String], for inputs: HostInputs, examples: [Int]) throws -> [String: HostTensor] {
        let outputs = try executor.run(inputs)
        var result: [String: HostTensor] = [:]
        for name in names {
            guard let plan = plans[name], let output = outputs[plan.output] else {
                throw TrainingError(.mismatch, "", "the teacher was not asked for \(name) when it was prepared")
            }
            result[name] = plan.target.values(of: output, columns: plan.columns, width: plan.width, threads: threads)
        }
        return result
    }

}

extension TeacherTarget {
    /// The logit of classes that a teacher does not have: rows that fill up a table.
    static let impossible: Float = -1e4

    /// The target from the rows of the teacher's value.
    ///
    /// - Parameters:
    ///   - columns: those of the value; all when not given.
    ///   - width: of the target. Of an output, classes that the student lacks are left out, and those that the teacher lacks are impossible.
    public func values(of rows: HostTensor, columns: Range<Int>? = nil, width: Int, threads: HostThreads) -> HostTensor {
        let columns = columns ?? 0..<rows.width
        if case .top(_, _, let temperature) = self {
            let classes = rows.columns(columns, width: columns.count, filler: Self.impossible, threads: threads)
            return classes.mostProbable(width / 2, temperature: temperature, threads: threads)
        }
        return rows.columns(columns, width: width, filler: Self.impossible, threads: threads)
    }
}

extension HostTensor {
    /// Some columns of every row, cut or filled up to `width`; the tensor itself when those are all.
    func columns(_ columns: Range<Int>, width: Int, filler: Float, threads: HostThreads) -> HostTensor {
        if columns == 0..<self.width, width == self.width { return self }
        let result = HostTensor(shape: shape.dropLast() + [width]), count = min(columns.count, width)
        threads.forRows(rowCount, width: width) { rows in
            for row in rows {
                let target = result.buffer.baseAddress! + row * width
                target.update(from: self.row(row).baseAddress! + columns.lowerBound, count: count)
                (target + count).update(repeating: filler, count: width - count)
            }
        }
        return result
    }

    /// The target that `Loss.Function.topTargets` reads, of rows of logits. Of equal logits the first comes first.
    func mostProbable(_ count: Int, temperature: Double, threads: HostThreads) -> HostTensor {
        let count = min(count, width), result = HostTensor(shape: shape.dropLast() + [2 * count + 1])
        threads.forRows(rowCount, width: 4 * width) { rows in
            for row in rows {
                let logits = self.row(row), target = result.buffer.baseAddress! + row * (2 * count + 1)
                TopClasses.find(logits, count, temperature: Float(temperature), into: target)
            }
        }
        return result
    }
}
