import Testing

@testable import ShrinkGraph

/// Builder, patch, verifier, and what graphs do to themselves.
@Suite struct GraphEditingTests {
    static let text = """
        graph "g" {
          input %x: f32[batch, tokens, 4]
          parameter %w: f32[4, 4] stored(f32, 64)
          parameter %v: f32[4, 4] stored(f32, 64)
          %a = linear(%x, %w) : f32[batch, tokens, 4] @ "first"
          %b = unary(%a) {function = silu} : f32[batch, tokens, 4]
          %c = linear(%b, %v) : f32[batch, tokens, 4] @ "second"
          output "a" = %a
          output "c" = %c
        }

        """

    func graph() throws -> Graph { try Graph(parsing: Self.text) }

    func id(_ name: String, in graph: Graph) throws -> ValueID {
        ValueID(index: try #require(graph.values.firstIndex { $0.name == name }))
    }

    // MARK: Patches

    @Test func aPatchInsertsReplacesAndRemoves() throws {
        let graph = try graph()
        var patch = GraphPatch(graph)
        let gelu = try patch.insert(.unary(Unary(.geluErf)), [id("a", in: graph)], before: graph.order[1], origin: "new")
        patch.replace(try id("b", in: graph), with: gelu[0])
        patch.remove(graph.order[1])
        let result = try patch.commit()
        #expect(result.order.map { result[$0].operation.mnemonic } == ["linear", "unary", "linear"])
        #expect(result[result.order[1]].operation == .unary(Unary(.geluErf)))
        #expect(result[result.order[2]].inputs[0] == result[result.order[1]].results[0])
        #expect(result.values.allSatisfy { $0.name != "b" })
    }

    @Test func thePatchedGraphStaysAsItWas() throws {
        let graph = try graph()
        var patch = GraphPatch(graph)
        patch.setInputs(of: graph.order[2], to: [try id("a", in: graph), try id("w", in: graph)])
        patch.setQuantization(.int8PerChannel, of: try id("w", in: graph))
        _ = try patch.commit()
        #expect(graph.text == Self.text)
    }

    @Test func anOutputFollowsAReplacement() throws {
        let graph = try graph()
        var patch = GraphPatch(graph)
        patch.replace(try id("c", in: graph), with: try id("a", in: graph))
        let result = try patch.commit()
        #expect(result.output(named: "c") == result.output(named: "a"))
        #expect(result.order.count == 1)
    }

    @Test func aReplacementOfAReplacementIsFollowedToItsEnd() throws {
        let graph = try graph()
        var patch = GraphPatch(graph)
        patch.replace(try id("c", in: graph), with: try id("b", in: graph))
        patch.replace(try id("b", in: graph), with: try id("x", in: graph))
        let result = try patch.commit()
        #expect(result.output(named: "c") == result.input(named: "x"))
    }

    @Test func removingANodeThatIsNeededIsRefused() throws {
        let graph = try graph()
        var patch = GraphPatch(graph)
        patch.remove(graph.order[0])
        let error = #expect(throws: GraphError.self) { try patch.commit() }
        #expect(error?.code == .order)
        #expect(error?.description.contains("a") == true)
    }

    @Test func readingALaterValueIsRefused() throws {
        let graph = try graph()
        var patch = GraphPatch(graph)
        patch.setInputs(of: graph.order[0], to: [try id("b", in: graph), try id("w", in: graph)])
        let error = #expect(throws: GraphError.self) { try patch.commit() }
        #expect(error?.code == .order)
        #expect(error?.node == "linear of first")
    }

    @Test func anInsertedNodeMustTakeItsInputs() throws {
        let graph = try graph()
        var patch = GraphPatch(graph)
        let error = #expect(throws: GraphError.self) {
            try patch.insert(.linear(Linear()), [id("w", in: graph), id("x", in: graph)], before: graph.order[0], origin: "here")
        }
        #expect(error?.node == "linear of here")
    }

    @Test func aReplacementOfAnotherTypeIsRefused() throws {
        let graph = try graph()
        var patch = GraphPatch(graph)
        patch.replace(try id("b", in: graph), with: try id("w", in: graph))
        let error = #expect(throws: GraphError.self) { try patch.commit() }
        #expect(error?.code == .resultType)
    }

    // MARK: The verifier

    @Test func theVerifierNamesEachKindOfMistake() throws {
        func expect(_ code: GraphError.Code, _ change: (inout Graph) throws -> Void, sourceLocation: SourceLocation = #_sourceLocation) throws {
            var graph = try graph()
            try change(&graph)
            let error = #expect(throws: GraphError.self, sourceLocation: sourceLocation) { try graph.verify() }
            #expect(error?.code == code, sourceLocation: sourceLocation)
        }
        try expect(.duplicateName) { $0.values[0].name = $0.values[1].name }
        try expect(.order) { $0.order.reverse() }
        try expect(.order) { $0.order.append($0.order[0]) }
        try expect(.undefinedValue) { $0.order.append(NodeID(index: 99)) }
        try expect(.undefinedValue) { $0.nodes[0].inputs[0] = ValueID(index: 99) }
        try expect(.undefinedValue) { $0.nodes[0].inputs[0] = ValueID(index: -1) }
        try expect(.undefinedValue) { $0.nodes[0].results[0] = $0.inputs[0] }
        try expect(.undefinedValue) { $0.outputs[0].value = ValueID(index: 99) }
        try expect(.undefinedValue) { $0.order.removeLast() }
        try expect(.arity) { $0.nodes[0].results = [] }
        try expect(.arity) { $0.nodes[0].inputs = [] }
        try expect(.shape) { $0.nodes[0].inputs.swapAt(0, 1) }
        try expect(.resultType) { $0.values[$0.nodes[2].results[0].index].type = ValueType(.float32, [4]) }
        try expect(.elementType) { $0.values[$0.inputs[0].index].type = ValueType(.int32, [.batch, .tokens, 4]) }
        try expect(.attribute) { $0.nodes[1].operation = .l2Normalize(L2Normalize(epsilon: 0)) }
    }

    @Test func theVerifierNamesThePassThatBrokeTheGraph() throws {
        let pass = Pass(name: "breaker", summary: "") { graph, _ in graph.order.reverse() }
        var graph = try graph()
        let error = #expect(throws: GraphError.self) { _ = try PassManager([pass]).run(on: &graph) }
        #expect(error?.pass == "breaker")
        #expect(error?.description.hasPrefix("after pass breaker: ") == true)
    }

    // MARK: The builder

    @Test func namesAreUnique() throws {
        var builder = GraphBuilder(extending: try graph())
        #expect(throws: GraphError.self) { try builder.input("w", ValueType(.int32, [.batch])) }
        let a = try #require(builder.value(named: "a"))
        #expect(throws: GraphError.self) { try builder.output("a", a) }
        let fresh = try builder.add(.unary(Unary(.relu)), [a])
        #expect(builder.graph.values.filter { $0.name == builder.graph[fresh].name }.count == 1)
    }

    @Test func anOperationWithSeveralResultsNeedsTheMethodForThem() throws {
        var builder = GraphBuilder(extending: try graph())
        var operation = Unary(.relu)
        operation.alsoQuantized = true
        let a = try #require(builder.value(named: "a"))
        let error = #expect(throws: GraphError.self) { try builder.add(.unary(operation), [a]) }
        #expect(error?.code == .arity)
        #expect(try builder.addMultiple(.unary(operation), [a]).count == 2)
    }

    // MARK: Parts

    @Test func extractingKeepsWhatAnOutputNeeds() throws {
        let part = try graph().extracting(outputs: ["a"])
        try part.verify()
        #expect(part.order.count == 1)
        #expect(part.outputs.map(\.name) == ["a"])
        #expect(part.values.map(\.name).sorted() == ["a", "w", "x"])
    }

    @Test func compactingDropsWhatNothingNeedsAndChangesNothingElse() throws {
        let before = try graph()
        var builder = GraphBuilder(extending: before)
        let unused = try builder.parameter("unused", ValueType(.float32, [4, 4]), Parameter(storedType: "f32", storedByteCount: 64))
        _ = try builder.add(.linear(Linear()), [builder.graph.inputs[0], unused])
        var graph = builder.graph
        #expect(graph.text != before.text)
        graph.compact()
        #expect(graph.text == before.text)
        let inputs = try Graph(parsing: "graph \"g\" {\n  input %x: f32[4]\n  input %y: f32[4]\n  output \"x\" = %x\n}\n").extracting(outputs: [])
        #expect(inputs.inputs.count == 2, "inputs stay")
    }

    @Test func useCountsAreThoseOfLiveReadersAndOutputs() throws {
        let graph = try graph()
        let counts = graph.useCounts()
        #expect(counts[try id("a", in: graph).index] == 2)
        #expect(counts[try id("b", in: graph).index] == 1)
        #expect(counts[try id("c", in: graph).index] == 1)
        #expect(graph.usedParameters.map { graph[$0].name } == ["w", "v"])
    }
}
