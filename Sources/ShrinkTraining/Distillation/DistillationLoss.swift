import ShrinkGraph

/// A loss of a student against its teacher. Padding has no part in any.
public struct DistillationLoss: Hashable, Sendable {
    public enum Metric: Hashable, Sendable { case squaredError, cosine }

    public enum Kind: Hashable, Sendable {
        /// The divergence of the student's distribution from the teacher's; with `top`, of that over the teacher's most
        /// probable classes and all others as one (see `Loss.Function`).
        case softTargets(temperature: Double, skew: Double, top: Int?)
        /// The output itself, such as a vector of each sequence.
        case output(Metric)
        /// Hidden states of mapped layers, at each token: `squaredError` as Jiao et al. 2020, eq. 8; `cosine` as Sanh et al. 2019, §3.
        case hidden(Metric, LayerMap)
        /// What each token of mapped layers attends to, head by head: needs equally many heads.
        case attention(RelationLoss.Function, LayerMap)
        /// Queries with queries, keys with keys and values with values of mapped layers, their rows cut into `heads` relation heads
        /// whatever heads the models have (Wang et al. 2020, MiniLMv2, §3.2).
        case relations(heads: Int, LayerMap)
    }

    /// Of the graph's output.
    public var name: String
    public var kind: Kind

    public init(_ name: String, _ kind: Kind) {
        self.name = name
        self.kind = kind
    }
}

extension Graph {
    /// Parameters that only training knows; no export holds them.
    public static let distillationPrefix = "distillation:"

    /// The matrix that brings an output, or a pair of layers, to the teacher's width.
    public static func projectionName(of value: String) -> String { distillationPrefix + "projection:" + value }

    /// This graph, a student, with a distillation loss as a further output: the mean over all layers and relations that it
    /// compares. The teacher's values become inputs, see `TeacherTarget`. Where widths differ, the student's rows pass through
    /// a matrix that is trained with the student, `distillation:projection:…`, one for each pair of layers.
    ///
    /// - Parameters:
    ///   - output: that soft targets and `Kind.output` are about.
    ///   - teacher: its graph as imported, for the shapes of its values.
    ///   - seed: what projections are drawn from.
    /// - Throws: `TrainingError` for what a model lacks or where shapes do not fit; `GraphError`.
    public func adding(_ loss: DistillationLoss, of output: String, teacher: Graph, seed: UInt64) throws -> Graph {
        var writer = DistillationWriter(student: self, teacher: teacher, seed: seed)
        try writer.add(loss, of: output)
        return writer.builder.graph
    }
}

private struct DistillationWriter {
    let student: Graph
    let teacher: Graph
    let seed: UInt64
    var builder: GraphBuilder

    init(student: Graph, teacher: Graph, seed: UInt64) {
        self.student = student
        self.teacher = teacher
        self.seed = seed
        builder = GraphBuilder(extending: student)
    }

    mutating func add(_ loss: DistillationLoss, of output: String) throws {
        var terms: [ValueID] = []
        switch loss.kind {
        case .softTargets(let temperature, let skew, let top):
            let (logits, known) = try outputs(output), classes = student[logits].type.width ?? 0
            let function: Loss.Function = top == nil ? .softTargets : .topTargets
            // Neither model may have fewer.
            let top = top.map { min($0, classes, known) }
            let target: TeacherTarget = top.map { .top(output, count: $0, temperature: temperature) } ?? .output(output)
            terms = [try rows(Loss(function, temperature: temperature, skew: skew), logits, target, width: top.map { 2 * $0 + 1 } ?? classes, loss.name)]
        case .output(let metric):
            let (value, width) = try outputs(output)
            terms = [try compare(value, .output(output), width: width, metric, loss.name, projection: output)]
        case .hidden(let metric, let map):
            for pair in map.pairs {
                let value = try hidden(student, pair.student, of: "student"), wanted = try hidden(teacher, pair.teacher, of: "teacher")
                terms.append(
                    try compare(
                        value, .hidden(layer: pair.teacher), width: teacher[wanted].type.width ?? 0, metric, loss.name, projection: "\(pair.student)-\(pair.teacher)"))
            }
        case .attention(let function, let map):
            for pair in map.pairs { terms.append(try attention(function, pair, loss.name)) }
        case .relations(let heads, let map):
            for pair in map.pairs {
                for role in Attention.Role.allCases { terms.append(try relation(role, heads: heads, pair, loss.name)) }
            }
        }
        var sum = terms[0]
        for term in terms.dropFirst() { sum = try builder.add(.binary(Binary(.add)), [sum, term], origin: loss.name) }
        if terms.count > 1 { sum = try builder.add(.scale(Scale(1 / Double(terms.count))), [sum], origin: loss.name) }
        try builder.output(loss.name, sum)
    }

    private func mismatch(_ message: String) -> TrainingError { TrainingError(.mismatch, "", message) }

    // MARK: Rows

    /// The output of the student, and the width of the teacher's.
    private func outputs(_ name: String) throws -> (student: ValueID, width: Int) {
        guard let own = student.output(named: name) else { throw mismatch("the student has no output \(name) to distil") }
        guard let other = teacher.output(named: name), let width = teacher[other].type.width else {
            throw mismatch("the teacher has no output \(name) to learn from")
        }
        return (own, width)
    }

    private func hidden(_ graph: Graph, _ layer: Int, of model: String) throws -> ValueID {
        guard let value = graph.hiddenState(after: layer) else {
            throw mismatch("the \(model) has the layers 0 to \(graph.layerCount - 1); the layer map names its layer \(layer)")
        }
        return value
    }

    private mutating func compare(
        _ value: ValueID, _ target: TeacherTarget, width: Int, _ metric: DistillationLoss.Metric, _ name: String, projection: String
    ) throws -> ValueID {
        var value = value
        let own = builder.graph[value].type.width ?? 0
        if own != width {
            let matrix = try parameter(Graph.projectionName(of: projection), rows: width, columns: own)
            value = try builder.add(.linear(Linear()), [value, matrix], origin: name)
        }
        return try rows(Loss(metric == .cosine ? .cosine : .squaredError), value, target, width: width, name)
    }

    /// A loss of rows, of which those behind the ends of sequences do not count.
    private mutating func rows(_ loss: Loss, _ value: ValueID, _ target: TeacherTarget, width: Int, _ name: String) throws -> ValueID {
        let type = builder.graph[value].type
        var inputs = [value, try input(target.name, type.withWidth(width))]
        if type.shape.count == 3 { inputs.append(try input("marks", ValueType(.int32, Array(type.shape.dropLast())))) }
        return try builder.add(.loss(loss), inputs, origin: name)
    }

    private mutating func input(_ name: String, _ type: ValueType) throws -> ValueID {
        if let known = builder.value(named: name) { return known }
        return try builder.input(name, type)
    }

    /// Numbers of mean 0 and variance 1 / columns: uniform between ±√(3 / columns).
    private mutating func parameter(_ name: String, rows: Int, columns: Int) throws -> ValueID {
        if let known = builder.value(named: name) { return known }
        var random = Random(seed: seed, name.utf8.reduce(0) { $0 &* 31 &+ Int($1) }), bound = 3 / Double(columns)
        bound = bound.squareRoot()
        let values = (0..<rows * columns).map { _ in Float((2 * random.nextUnit() - 1) * bound) }
        return try builder.parameter(
            name, ValueType(.float32, [.fixed(rows), .fixed(columns)]),
            Parameter(storedType: "f32", storedByteCount: 4 * values.count, source: FloatArraySource(values)))
    }

    // MARK: Relations

    /// The attention of a layer, and the value that holds a role's heads.
    private func attention(_ graph: Graph, _ layer: Int, of model: String) throws -> (payload: Attention, inputs: [ValueID]) {
        let all = graph.attentions
        guard all.indices.contains(layer), case .attention(let payload) = all[layer].operation else {
            throw mismatch(
                all.isEmpty
                    ? "the \(model) has no attention to compare; hidden states and outputs can be"
                    : "the \(model) has attention in the layers 0 to \(all.count - 1); the layer map names its layer \(layer)")
        }
        return (payload, all[layer].inputs)
    }

    private mutating func lengths() throws -> ValueID { try input("lengths", ValueType(.int32, [.batch])) }

    private mutating func relate(
        _ loss: RelationLoss, _ student: (ValueID, ValueID), _ roles: (Attention.Role, Attention.Role), _ teacher: Attention, layer: Int, _ name: String
    ) throws -> ValueID {
        let type = builder.graph[student.0].type
        func target(_ role: Attention.Role) throws -> ValueID {
            try input(TeacherTarget.attention(role, layer: layer).name, type.withWidth(teacher.place(of: role).heads * teacher.headSize))
        }
        return try builder.add(
            .relationLoss(loss), [student.0, student.1, try target(roles.0), try target(roles.1), try lengths()], origin: name)
    }

    private mutating func attention(_ function: RelationLoss.Function, _ pair: LayerMap.Pair, _ name: String) throws -> ValueID {
        let (own, values) = try attention(student, pair.student, of: "student"), (other, _) = try attention(teacher, pair.teacher, of: "teacher")
        guard own.heads == other.heads else {
            throw mismatch(
                "attention maps can only be compared head by head, but the student has \(own.heads) heads and the teacher \(other.heads); relations have heads of their own")
        }
        guard own.isCausal == other.isCausal else { throw mismatch("one of student and teacher sees tokens to come and the other does not: their attention cannot be compared") }
        let query = own.place(of: .query), key = own.place(of: .key)
        let loss = RelationLoss(
            function, heads: own.heads, isCausal: own.isCausal,
            student: .init(headSize: own.headSize, sharedHeads: own.keyValueHeads, columns: [query.firstColumn, key.firstColumn], scale: own.scale),
            teacher: .init(headSize: other.headSize, sharedHeads: other.keyValueHeads, scale: other.scale))
        return try relate(loss, (values[query.input], values[key.input]), (.query, .key), other, layer: pair.teacher, name)
    }

    private mutating func relation(_ role: Attention.Role, heads: Int, _ pair: LayerMap.Pair, _ name: String) throws -> ValueID {
        let (own, values) = try attention(student, pair.student, of: "student"), (other, _) = try attention(teacher, pair.teacher, of: "teacher")
        let place = own.place(of: role)
        func side(_ attention: Attention, _ model: String, column: Int) throws -> RelationLoss.Side {
            let width = attention.place(of: role).heads * attention.headSize
            guard heads > 0, width.isMultiple(of: heads) else {
                throw mismatch("\(heads) relation heads do not divide the \(width) columns of the \(model)'s \(role.rawValue) rows")
            }
            return .init(headSize: width / heads, sharedHeads: heads, columns: [column, column], scale: 1 / (Double(width) / Double(heads)).squareRoot())
        }
        let loss = RelationLoss(
            .divergence, heads: heads, isCausal: own.isCausal, student: try side(own, "student", column: place.firstColumn),
            teacher: try side(other, "teacher", column: 0))
        return try relate(loss, (values[place.input], values[place.input]), (role, role), other, layer: pair.teacher, name)
    }
}
