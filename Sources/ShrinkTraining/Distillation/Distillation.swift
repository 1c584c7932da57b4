import ShrinkGraph

/// What a student learns: losses against its teacher and perhaps the objective's own, each with a weight.
public struct Distillation {
    /// The name of the objective's own loss.
    public static let hard = "hard"

    public var losses: [(loss: DistillationLoss, weight: Double)]
    /// Of the objective's own loss; 0 to look at it only.
    public var hardWeight: Double
    /// As imported.
    public var teacher: Graph
    public var seed: UInt64

    public init(_ losses: [(loss: DistillationLoss, weight: Double)], hardWeight: Double, teacher: Graph, seed: UInt64) {
        self.losses = losses
        self.hardWeight = hardWeight
        self.teacher = teacher
        self.seed = seed
    }

    func adding(to student: Graph, output: String) throws -> Graph {
        var graph = student
        for (loss, _) in losses { graph = try graph.adding(loss, of: output, teacher: teacher, seed: seed) }
        return graph
    }

    /// The weighed sum as the output `loss`.
    func addingSum(to graph: Graph) throws -> Graph {
        var terms = losses.map { ($0.loss.name, $0.weight) }
        if hardWeight > 0 { terms.append((Self.hard, hardWeight)) }
        guard !terms.isEmpty else { throw TrainingError(.badRecipe, "", "there is no loss to learn from") }
        return try graph.addingSum(of: terms)
    }
}
