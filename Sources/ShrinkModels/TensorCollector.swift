import Glibc
import ShrinkCheckpoints
import ShrinkGraph

/// Brings tensors into a graph under construction, checks their shapes, makes those that may be made, and keeps
/// count, so that no tensor is dropped in silence.
struct TensorCollector {
    /// Which tensors may be made when they are missing.
    struct Creation {
        var seed: UInt64
        /// What their names start with; nil: all.
        var prefixes: [String]?

        func allows(_ name: String) -> Bool { prefixes?.contains { name.hasPrefix($0) } ?? true }
    }

    let store: TensorStore
    let file: String
    let creation: Creation?
    /// Tensors that were made, in the order of the graph.
    private(set) var created: [String] = []
    /// Tensors that no output needs, but that belong to what the family saves.
    private(set) var carried: [ModelTensor] = []
    private var used: Set<[UInt8]> = []
    private var createdByteCount = 0

    init(_ store: TensorStore, file: String, creation: Creation? = nil) {
        self.store = store
        self.file = file
        self.creation = creation
    }

    func contains(_ name: String) -> Bool { store[name] != nil }

    /// Whether the parameter can be had.
    func offers(_ name: String) -> Bool { contains(name) || creation?.allows(name) == true }

    /// Whether all tensors are to be made.
    var isFresh: Bool { creation.map { $0.prefixes == nil } ?? false }

    /// The parameter of that name; the same one when it is asked for again.
    mutating func parameter(_ name: String, _ shape: [Int], _ initially: InitialValues, _ builder: inout GraphBuilder) throws -> ValueID {
        if let known = builder.value(named: name) { return known }
        let tensor = try tensor(name, shape, initially)
        used.insert(Array(name.utf8))
        return try builder.parameter(name, ValueType(.float32, shape.map(Dimension.fixed)), tensor.parameter)
    }

    /// Keeps a tensor that no output needs for when the model is saved, or makes it, where that is allowed.
    mutating func carry(_ name: String, _ shape: [Int], _ initially: InitialValues) throws {
        guard offers(name) else { return }
        carried.append(try tensor(name, shape, initially))
    }

    private mutating func tensor(_ name: String, _ shape: [Int], _ initially: InitialValues) throws -> ModelTensor {
        guard let entry = store[name] else {
            guard let creation, creation.allows(name) else {
                throw ModelError(.missingTensor, file, "the tensor \(name) is missing; the checkpoint is incomplete or of another architecture")
            }
            try countCreated(name, shape)
            let source = InitialWeights(initially, name: name, seed: creation.seed, columns: shape.last ?? 1)
            return ModelTensor(name: name, shape: shape, parameter: Parameter(storedType: "created", storedByteCount: 0, source: source))
        }
        guard entry.shape == shape else {
            throw ModelError(.wrongShape, file, "the tensor \(name) has the shape \(entry.shape), the configuration asks for \(shape)")
        }
        guard entry.isFloatingPoint else {
            throw ModelError(.wrongShape, file, "the tensor \(name) is of type \(entry.parameter.storedType), which is no weight")
        }
        return ModelTensor(name: name, shape: shape, parameter: entry.parameter)
    }

    /// Weights that are made are there to be trained: in memory, in binary32.
    private mutating func countCreated(_ name: String, _ shape: [Int]) throws {
        var bytes = 4
        for extent in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: extent)
            bytes = overflow ? .max : product
        }
        let (sum, overflow) = createdByteCount.addingReportingOverflow(bytes)
        guard !overflow, sum <= physicalMemory else {
            throw ModelError(
                .tooLarge, file,
                "the weights up to \(name) \(shape) alone take more than the \(physicalMemory >> 20) MiB of memory of this machine")
        }
        createdByteCount = sum
        created.append(name)
    }

    /// Checks that every tensor was used or may be left out; returns those left out, by their original names.
    func finish(mayIgnore: (String) -> Bool) throws -> [String] {
        let rest = store.names.filter { !used.contains(Array($0.utf8)) }
        if let unknown = rest.first(where: { !mayIgnore($0) }) {
            throw ModelError(
                .unknownTensor, file,
                "the tensor \(store[unknown]?.origin ?? unknown) has no place in this architecture; leaving it out could change the answers")
        }
        return rest.map { store[$0]?.origin ?? $0 }
    }
}

private let physicalMemory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))

/// A tensor that stays in its mapped file.
struct CheckpointSource: ParameterSource {
    let tensor: CheckpointTensor

    func readFloats(_ range: Range<Int>, into target: UnsafeMutableBufferPointer<Float>) throws {
        try tensor.readFloats(range, into: target)
    }

    func withFloatsInPlace<R>(_ body: (UnsafeBufferPointer<Float>) throws -> R) rethrows -> R? {
        try tensor.float32Bytes.map { try body($0.assumingMemoryBound(to: Float.self)) }
    }

    func release(_ range: Range<Int>) { tensor.releasePages(range) }
}
