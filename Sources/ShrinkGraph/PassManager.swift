/// A named rewriting of a graph.
public struct Pass: Sendable {
    public var name: String
    public var summary: String
    public var run: @Sendable (inout Graph, inout PassReport) throws -> Void

    public init(name: String, summary: String, run: @escaping @Sendable (inout Graph, inout PassReport) throws -> Void) {
        self.name = name
        self.summary = summary
        self.run = run
    }
}

/// What a pass did and what it left, with the reason.
public struct PassReport: Sendable {
    /// Why a rewrite did not apply where it might have been expected to.
    public enum Refusal: Hashable, Sendable {
        /// The value is read elsewhere, so it has to exist by itself.
        case otherReaders(Int)
        /// The producer of the value cannot do the work itself.
        case producer(String)
        /// The value is a graph input, a parameter or an output.
        case notComputed
        case unsupported(String)
    }

    public var pass: String
    public var rewrites = 0
    public var refusals: [(node: String, reason: Refusal)] = []

    public init(pass: String) { self.pass = pass }

    public mutating func refuse(_ node: Graph.Node, _ reason: Refusal) {
        refusals.append(("\(node.operation.mnemonic) of \(node.origin.isEmpty ? "the graph" : node.origin)", reason))
    }
}

extension PassReport.Refusal: CustomStringConvertible {
    public var description: String {
        switch self {
        case .otherReaders(let count): "its input is read by \(count) other\(count == 1 ? "" : "s")"
        case .producer(let name): "\(name) cannot take it over"
        case .notComputed: "its input is not computed by a node"
        case .unsupported(let reason): reason
        }
    }
}

/// Runs passes in order and verifies the graph after each, naming the culprit.
public struct PassManager: Sendable {
    public var passes: [Pass]

    public init(_ passes: [Pass]) { self.passes = passes }

    public func run(on graph: inout Graph) throws -> [PassReport] {
        try passes.map { pass in
            var report = PassReport(pass: pass.name)
            try pass.run(&graph, &report)
            do throws(GraphError) {
                try graph.verify()
            } catch {
                var error = error
                error.pass = pass.name
                throw error
            }
            return report
        }
    }
}
