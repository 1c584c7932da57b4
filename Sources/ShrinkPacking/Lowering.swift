import ShrinkFormat
import ShrinkGraph

/// Turns the graph of one entry point into instructions and plans its memory.
///
/// Values of shape [batch, tokens, width] become rows of `tokens` storage, values of shape
/// [batch, width] one `fixed` row; keys and values of causal attention go to `state`. A batch is one.
struct Lowering {
    let graph: Graph
    let output: ValueID
    private let kind: EntryRecord.Kind
    private let maximumPositions: Int?
    private let uses: [Int]
    private let lastUse: [Int]
    private var groups: [Int: Int] = [:]
    private var tensors: [ValueID: Int] = [:]
    private var stateCount: [String: Int] = [:]

    /// Arena tensors of this entry point, before they have offsets.
    private var arena: [(record: TensorRecord, life: ClosedRange<Int>)] = []
    private var arenaIndices: [Int] = []
    private(set) var instructions: [InstructionRecord] = []

    /// Fills `program` and `weights` with one more entry point.
    static func lower(
        _ entry: PackedModel.EntryPoint, output: ValueID, maximumPositions: Int?, program: inout ProgramImage,
        weights: inout WeightTable
    ) throws {
        let graph = entry.graph
        var lowering = Lowering(graph, entry.kind, output: output, maximumPositions: maximumPositions, program.states)
        for id in graph.order {
            do {
                try lowering.lower(id, &weights)
            } catch var error as PackingError {
                let node = graph[id]
                error.reason = "\(node.operation.mnemonic)\(node.origin.isEmpty ? "" : " of \(node.origin)"): \(error.reason)"
                throw error
            }
        }
        program.add(try lowering.finished(entry))
        program.states = lowering.states
    }

    /// Tensors of `state` storage by the name of the parameter-free value they keep; entry points share them.
    var states: StateTable

    private init(_ graph: Graph, _ kind: EntryRecord.Kind, output: ValueID, maximumPositions: Int?, _ states: StateTable) {
        self.graph = graph
        self.kind = kind
        self.output = output
        self.maximumPositions = maximumPositions
        self.states = states
        uses = graph.useCounts()
        var last = [Int](repeating: -1, count: graph.values.count)
        for (position, id) in graph.order.enumerated() { for input in graph[id].inputs { last[input.index] = position } }
        for result in graph.outputs { last[result.value.index] = Int.max }
        lastUse = last
        // Heads show where a row is made of them: in attention, and back through what made its inputs.
        for id in graph.order.reversed() {
            let node = graph[id]
            switch node.operation {
            case .attention(let attention):
                for (value, count) in zip(node.inputs, [attention.heads, attention.keyValueHeads, attention.keyValueHeads]) {
                    groups[value.index] = count
                }
            case .rotary(let rotary):
                let heads = (graph[node.inputs[0]].type.width ?? 0) / rotary.headSize
                groups[node.inputs[0].index] = heads
                groups[node.results[0].index] = heads
            case .quantize(let quantize):
                groups[node.results[0].index] = quantize.groups
                if quantize.groups > 1 { groups[node.inputs[0].index] = quantize.groups }
            default: continue
            }
        }
    }

    // MARK: Tensors

    /// Operand numbers below `arenaBase` are weights; arena and state tensors are numbered from there
    /// until `ProgramImage` knows how many weights there are.
    static let arenaBase: UInt32 = 1 << 30
    static let stateBase: UInt32 = 1 << 29

    private func record(for value: ValueID) throws -> TensorRecord {
        let type = graph[value].type
        guard let width = type.width else { throw PackingError(.unsupported, "\(graph[value].name) has no fixed width") }
        let storage: TensorStorage
        switch type.shape.dropLast() {
        case [.batch, .tokens]: storage = .tokens
        case [.batch]: storage = .fixed
        default: throw PackingError(.unsupported, "the runtime has no place for \(type)")
        }
        let count = groups[value.index] ?? 1
        return TensorRecord(
            type: type.element == .quantized8 ? .quantizedRow : .float32, storage: storage,
            rows: storage == .fixed ? 1 : 0, groups: UInt32(count), columns: UInt32(width / count), offset: 0)
    }

    private var now: Int { instructions.count }

    /// Life is counted in instructions; a value that nothing reads lives for its own.
    private mutating func define(_ value: ValueID) throws -> UInt32 {
        arena.append((try record(for: value), now...now))
        tensors[value] = arena.count - 1
        return Self.arenaBase + UInt32(arena.count - 1)
    }

    private mutating func temporary(like value: ValueID) throws -> UInt32 {
        arena.append((try record(for: value), now...now))
        return Self.arenaBase + UInt32(arena.count - 1)
    }

    private mutating func read(_ value: ValueID) throws -> UInt32 {
        guard let index = tensors[value] else { throw PackingError(.unsupported, "\(graph[value].name) cannot be an operand here") }
        return Self.arenaBase + UInt32(index)
    }

    private mutating func emit(
        _ opcode: Opcode, _ operands: [UInt32?], integers: [Int32] = [], floats: [Float] = []
    ) {
        var instruction = InstructionRecord(opcode)
        for (position, operand) in operands.enumerated() {
            guard let operand else { continue }
            instruction.operands[position] = operand
            if operand >= Self.arenaBase {
                let index = Int(operand - Self.arenaBase)
                arena[index].life = arena[index].life.lowerBound...now
            }
        }
        for (position, value) in integers.enumerated() { instruction.integers[position] = value }
        for (position, value) in floats.enumerated() { instruction.floats[position] = value }
        instructions.append(instruction)
    }

    private func isRead(_ value: ValueID) -> Bool { uses[value.index] > 0 }

    /// The tensor of a result, or nothing when nobody reads it.
    private mutating func defineIfRead(_ value: ValueID) throws -> UInt32? { isRead(value) ? try define(value) : nil }

    // MARK: Operations

    private mutating func lower(_ id: NodeID, _ weights: inout WeightTable) throws {
        let node = graph[id]
        switch node.operation {
        case .embedding(let embedding): try lower(embedding, node, &weights)
        case .linear(let linear):
            guard !linear.isInputMajor else {
                throw PackingError(.unsupported, "its weight is stored input by input; run the pass orient-weights first")
            }
            try lowerLinear(node, &weights)
        case .layerNorm(let norm):
            let vectors = [try weights.vector(graph[node.inputs[1]]), try weights.vector(graph[node.inputs[2]])]
            try lowerNorm(
                node, id, .layer, epsilon: norm.epsilon, vectors, residual: node.inputs.count == 4 ? node.inputs[3] : nil,
                keepsSum: norm.keepsSum, alsoQuantized: norm.alsoQuantized)
        case .rmsNorm(let norm):
            try lowerNorm(
                node, id, .rms, epsilon: norm.epsilon, [try weights.vector(graph[node.inputs[1]]), nil],
                residual: node.inputs.count == 3 ? node.inputs[2] : nil,
                keepsSum: norm.keepsSum, alsoQuantized: norm.alsoQuantized)
        case .attention(let attention): try lower(attention, node)
        case .rotary(let rotary): try lower(rotary, node, id, &weights)
        case .unary(let unary):
            try lowerActivation(node, unary.function.activation, [node.inputs[0]], alsoQuantized: unary.alsoQuantized)
        case .gate(let gate):
            guard gate.function == .silu else { throw PackingError(.unsupported, "the runtime has no gate of \(gate.function.rawValue)") }
            try lowerActivation(node, .siluMultiply, node.inputs, alsoQuantized: gate.alsoQuantized)
        case .binary(let binary):
            let a = try read(node.inputs[0]), b = try read(node.inputs[1])
            let kind: BinaryKind = switch binary.function { case .add: .add; case .multiply: .multiply }
            emit(.binary, [a, b, try define(node.results[0])], integers: [kind.rawValue])
        case .quantize:
            // What causal attention keeps is written by the attention's own lowering.
            if isOnlyKeptInState(node.results[0]) { return }
            let x = try read(node.inputs[0])
            emit(.quantize, [x, try define(node.results[0])])
        case .selectToken(let select):
            try refuseLengths(node, after: 1)
            let x = try read(node.inputs[0])
            emit(.selectRow, [x, try define(node.results[0])], integers: [select.position == .last ? 1 : 0])
        case .meanTokens:
            try refuseLengths(node, after: 1)
            let x = try read(node.inputs[0])
            emit(.meanRows, [x, try define(node.results[0])])
        case .l2Normalize(let norm):
            let x = try read(node.inputs[0])
            emit(.l2Normalize, [x, try define(node.results[0])], floats: [Float(norm.epsilon)])
        case .scale: throw PackingError(.unsupported, "the runtime does not scale values; fold the factor into a weight")
        case .recurrent(let recurrent): try lower(recurrent, node, &weights)
        case .concatenate(let concatenate): try lower(concatenate, node)
        case .columns: throw PackingError(.unsupported, "the runtime has no \(node.operation.mnemonic)")
        case .loss, .lossGradient, .relationLoss, .relationLossGradient, .outerProduct, .sumRows, .embeddingGradient, .normGradient, .unaryGradient, .gateGradient,
            .attentionGradient, .recurrentGradient, .l2NormalizeGradient, .poolGradient:
            throw PackingError(.unsupported, "this operation is for training; pack the graph without losses and gradients")
        }
    }

    private mutating func lower(_ embedding: Embedding, _ node: Graph.Node, _ weights: inout WeightTable) throws {
        let index: EmbedIndex
        switch graph[node.inputs[0]].name {
        case "tokens": index = .tokens
        case "positions": index = .positions
        case "segments": index = .segments
        case let name: throw PackingError(.unsupported, "the runtime has no input \(name)")
        }
        let table = graph[node.inputs[1]]
        let operands: [UInt32?]
        if case .parameter(let parameter) = table.definition, parameter.quantization == .int8PerChannel {
            let int8 = try weights.int8(table)
            operands = [try define(node.results[0]), int8.codes, int8.scale]
        } else {
            operands = [try define(node.results[0]), try weights.float32(table)]
        }
        emit(.embed, operands, integers: [index.rawValue, 0, Int32(embedding.indexOffset)])
    }

    private mutating func lowerLinear(_ node: Graph.Node, _ weights: inout WeightTable) throws {
        let x = try read(node.inputs[0])
        let weight = graph[node.inputs[1]]
        let bias = node.inputs.count == 3 ? try weights.vector(graph[node.inputs[2]]) : nil
        let isQuantized = graph[node.inputs[0]].type.element == .quantized8
        guard case .parameter(let parameter) = weight.definition, (parameter.quantization != nil) == isQuantized else {
            throw PackingError(.unsupported, "the runtime needs x and weight both quantized or both float")
        }
        let out = try define(node.results[0])
        if isQuantized {
            let int8 = try weights.int8(weight)
            emit(.linear, [x, int8.codes, int8.scale, int8.sum, bias, out])
        } else {
            emit(.linear, [x, try weights.float32(weight), nil, nil, bias, out])
        }
    }

    private mutating func lowerNorm(
        _ node: Graph.Node, _ id: NodeID, _ kind: NormKind, epsilon: Double, _ vectors: [UInt32?], residual: ValueID?,
        keepsSum: Bool, alsoQuantized: Bool
    ) throws {
        let x = try read(node.inputs[0])
        let added = try residual.map { try read($0) }
        var sum: UInt32?
        if keepsSum, let result = node.results.last {
            // The running sum of a residual stream stays in one buffer.
            if let residual, let reusable = [residual, node.inputs[0]].first(where: { isLastUse($0, by: id) }), let index = tensors[reusable] {
                tensors[result] = index
                sum = Self.arenaBase + UInt32(index)
            } else {
                sum = try define(result)
            }
        }
        let out = try defineIfRead(node.results[0])
        let quantized = alsoQuantized ? try defineIfRead(node.results[1]) : nil
        emit(.norm, [x, added, sum, vectors[0], vectors[1], out, quantized], integers: [kind.rawValue], floats: [Float(epsilon)])
    }

    private mutating func lowerActivation(
        _ node: Graph.Node, _ kind: ActivationKind, _ inputs: [ValueID], alsoQuantized: Bool
    ) throws {
        let a = try read(inputs[0])
        let b = inputs.count > 1 ? try read(inputs[1]) : nil
        let out = try defineIfRead(node.results[0])
        let quantized = alsoQuantized ? try defineIfRead(node.results[1]) : nil
        emit(.activate, [a, b, out, quantized], integers: [kind.rawValue])
    }

    private mutating func lower(_ rotary: Rotary, _ node: Graph.Node, _ id: NodeID, _ weights: inout WeightTable) throws {
        guard !rotary.isInverse else { throw PackingError(.unsupported, "only gradients turn back; pack the graph without them") }
        var x = try read(node.inputs[0])
        if isLastUse(node.inputs[0], by: id) {
            tensors[node.results[0]] = tensors[node.inputs[0]]
        } else {
            let copy = try define(node.results[0])
            emit(.quantize, [x, copy])
            x = copy
        }
        let kind: RotaryKind = switch rotary.layout { case .half: .half; case .pairs: .pairs }
        let angles = try node.inputs.dropFirst().map { try weights.vector(graph[$0], maximumRows: maximumPositions ?? .max) }
        emit(.rotary, [x] + angles, integers: [kind.rawValue])
    }

    /// The runtime runs one sequence at a time, without padding.
    private func refuseLengths(_ node: Graph.Node, after count: Int) throws {
        guard node.inputs.count == count else {
            throw PackingError(.unsupported, "the runtime pads no sequences; pack the graph without lengths")
        }
    }

    private mutating func lower(_ attention: Attention, _ node: Graph.Node) throws {
        guard !attention.isPacked, !attention.savesLogSumExp else {
            throw PackingError(.unsupported, "the runtime wants q, k and v apart and saves no sums; run the pass split-packed-attention first")
        }
        try refuseLengths(node, after: 3)
        let q = try read(node.inputs[0])
        let name = nameOfState(node)
        var kept: [UInt32] = []
        for (value, role) in [(node.inputs[1], "k"), (node.inputs[2], "v")] {
            guard attention.isCausal else {
                kept.append(try read(value))
                continue
            }
            var record = try record(for: value)
            record.storage = .state
            let state = Self.stateBase + (try states.index(of: "\(name).\(role)", record))
            emit(.quantize, [try read(try sourceOfState(value)), state])
            kept.append(state)
        }
        let out = try defineIfRead(node.results[0])
        let quantized = attention.alsoQuantized ? try defineIfRead(node.results[1]) : nil
        emit(
            .attention, [q, kept[0], kept[1], out, quantized], integers: [attention.isCausal ? 1 : 0],
            floats: [Float(attention.scale)])
    }

    /// Nodes of one origin are told apart by their order, which all entry points of a model share.
    private mutating func nameOfState(_ node: Graph.Node) -> String {
        let ordinal = stateCount[node.origin, default: 0]
        stateCount[node.origin] = ordinal + 1
        return "\(node.origin)#\(ordinal)"
    }

    private mutating func lower(_ recurrent: Recurrent, _ node: Graph.Node, _ weights: inout WeightTable) throws {
        guard !recurrent.savesStates else { throw PackingError(.unsupported, "only gradients need its states; pack the graph without them") }
        let hasBias = recurrent.hasBias(node.inputs.map { graph[$0].type })
        try refuseLengths(node, after: hasBias ? 3 : 2)
        guard !(recurrent.isReversed && kind.isIncremental) else {
            throw PackingError(.unsupported, "a layer that runs from the last token to the first cannot take them one by one")
        }
        let x = try read(node.inputs[0])
        let weight = graph[node.inputs[1]]
        guard case .parameter(let parameter) = weight.definition, (parameter.quantization != nil) == recurrent.quantizesState else {
            throw PackingError(.unsupported, "the runtime needs h and weight both quantized or both float")
        }
        var operands: [UInt32?]
        if recurrent.quantizesState {
            let int8 = try weights.int8(weight)
            operands = [x, int8.codes, int8.scale, int8.sum]
        } else {
            operands = [x, try weights.float32(weight), nil, nil]
        }
        operands.append(hasBias ? try weights.vector(graph[node.inputs[2]]) : nil)
        let cell: RecurrentCell = switch recurrent.cell { case .rnn: .tanh; case .gru: .gru; case .lstm: .lstm }
        operands.append(try carry(cell, width: graph[node.results[0]].type.width ?? 0, nameOfState(node)))
        operands.append(try defineIfRead(node.results[0]))
        if recurrent.alsoQuantized { operands.append(try defineIfRead(node.results[1])) }
        emit(.recurrent, operands, integers: [cell.rawValue, recurrent.isReversed ? 1 : 0])
    }

    /// What a recurrent layer keeps: between steps, or while it runs over a whole input.
    private mutating func carry(_ cell: RecurrentCell, width: Int, _ name: String) throws -> UInt32 {
        let record = TensorRecord(
            type: .float32, storage: kind.isIncremental ? .carry : .fixed, rows: UInt32(cell.carriedRowCount), columns: UInt32(width), offset: 0)
        if kind.isIncremental { return Self.stateBase + (try states.index(of: name, record)) }
        arena.append((record, now...now))
        return Self.arenaBase + UInt32(arena.count - 1)
    }

    /// More than two rows side by side are put together one by one.
    private mutating func lower(_ concatenate: Concatenate, _ node: Graph.Node) throws {
        var joined = try read(node.inputs[0])
        var record = try record(for: node.inputs[0])
        for input in node.inputs[1...].dropLast() {
            record.columns = UInt32(record.rowElements + (graph[input].type.width ?? 0))
            record.groups = 1
            let longer = try read(input)
            arena.append((record, now...now))
            let result = Self.arenaBase + UInt32(arena.count - 1)
            emit(.concatenate, [joined, longer, result])
            joined = result
        }
        let last = try read(node.inputs[node.inputs.count - 1])
        let out = try defineIfRead(node.results[0])
        emit(.concatenate, [joined, last, out, concatenate.alsoQuantized ? try defineIfRead(node.results[1]) : nil])
    }

    /// Whether `value` is a key or value of causal attention and nothing else.
    private func isOnlyKeptInState(_ value: ValueID) -> Bool {
        let readers = graph.order.filter { graph[$0].inputs.contains(value) }
        return !readers.isEmpty && value != output && readers.allSatisfy { reader in
            if case .attention(let attention) = graph[reader].operation { attention.isCausal && graph[reader].inputs[0] != value } else { false }
        }
    }

    /// The float rows that the key or value `value` is made of, which go to the state directly.
    private func sourceOfState(_ value: ValueID) throws -> ValueID {
        guard graph[value].type.element == .quantized8 else { return value }
        guard let producer = graph.producer(of: value), case .quantize = graph[producer].operation else {
            throw PackingError(.unsupported, "\(graph[value].name) is kept in state, so a quantize operation must make it")
        }
        return graph[producer].inputs[0]
    }

    private func isLastUse(_ value: ValueID, by id: NodeID) -> Bool {
        uses[value.index] == 1 || (lastUse[value.index] != Int.max && graph.order[lastUse[value.index]] == id)
    }

    // MARK: Memory

    struct Result {
        var entry: PackedModel.EntryPoint
        var tensors: [TensorRecord]
        var instructions: [InstructionRecord]
        /// Into `tensors`.
        var output: Int
        var arenaBytesPerToken: Int
        var arenaFixedBytes: Int
    }

    private func finished(_ entry: PackedModel.EntryPoint) throws -> Result {
        guard let outputIndex = tensors[output] else { throw PackingError(.unsupported, "the output is not computed") }
        var records = arena.map(\.record)
        var sizes: [TensorStorage: Int] = [.tokens: 0, .fixed: 0]
        for storage in [TensorStorage.tokens, .fixed] {
            let members = arena.indices.filter { arena[$0].record.storage == storage }
            let buffers = members.map { index in
                let life = arena[index].life
                return MemoryPlanner.Buffer(
                    // Rows that share no cache line: they are read fastest, and by any thread.
                    byteCount: (Int(arena[index].record.rowByteCount) * max(1, Int(arena[index].record.rows)) + 63) / 64 * 64,
                    life: index == outputIndex ? life.lowerBound...max(instructions.count, life.upperBound) : life)
            }
            let plan = MemoryPlanner.plan(buffers)
            for (member, offset) in zip(members, plan.offsets) { records[member].offset = UInt64(offset) }
            sizes[storage] = plan.byteCount
        }
        return Result(
            entry: entry, tensors: records, instructions: instructions, output: outputIndex,
            arenaBytesPerToken: sizes[.tokens]!, arenaFixedBytes: sizes[.fixed]!)
    }
}

/// The tensors that outlive a step, shared by the entry points that keep state.
struct StateTable {
    private(set) var records: [TensorRecord] = []
    private(set) var bytesPerPosition = 0
    private(set) var carryByteCount = 0
    private var known: [String: UInt32] = [:]

    mutating func index(of name: String, _ record: TensorRecord) throws -> UInt32 {
        var record = record
        if let index = known[name] {
            record.offset = records[Int(index)].offset
            guard record == records[Int(index)] else {
                throw PackingError(.unsupported, "two entry points keep \(name) in different forms")
            }
            return index
        }
        if record.storage == .carry {
            record.offset = UInt64(carryByteCount)
            carryByteCount += Int(record.rowByteCount) * Int(record.rows)
        } else {
            record.offset = UInt64(bytesPerPosition)
            bytesPerPosition += Int(record.rowByteCount)
        }
        records.append(record)
        let index = UInt32(records.count - 1)
        known[name] = index
        return index
    }
}

extension Unary.Function {
    fileprivate var activation: ActivationKind {
        switch self {
        case .relu: .relu
        case .silu: .silu
        case .tanh: .tanh
        case .sigmoid: .sigmoid
        case .geluErf: .geluErf
        case .geluTanh: .geluTanh
        }
    }
}
