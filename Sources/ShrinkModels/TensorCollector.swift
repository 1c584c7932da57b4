import ShrinkCheckpoints
import ShrinkGraph

/// Brings tensors of a checkpoint into a graph under construction, checks their shapes, and keeps
/// count, so that no tensor is dropped in silence.
struct TensorCollector {
    let checkpoint: Checkpoint
    let file: String
    private(set) var used: Set<String> = []

    init(_ checkpoint: Checkpoint, file: String) {
        self.checkpoint = checkpoint
        self.file = file
    }

    func contains(_ name: String) -> Bool { checkpoint[name] != nil }

    /// The parameter of that name; the same one when it is asked for again.
    mutating func parameter(_ name: String, _ shape: [Int], _ builder: inout GraphBuilder) throws -> ValueID {
        guard let tensor = checkpoint[name] else {
            throw ModelError(.missingTensor, file, "the tensor \(name) is missing; the checkpoint is incomplete or of another architecture")
        }
        guard tensor.shape == shape else {
            throw ModelError(.wrongShape, file, "the tensor \(name) has the shape \(tensor.shape), the configuration asks for \(shape)")
        }
        guard tensor.type.isFloatingPoint else {
            throw ModelError(.wrongShape, file, "the tensor \(name) is of type \(tensor.type.name), which is no weight")
        }
        if used.insert(name).inserted {
            return try builder.parameter(
                name, ValueType(.float32, shape.map(Dimension.fixed)),
                Parameter(storedType: tensor.type.name, storedByteCount: tensor.byteCount, source: CheckpointSource(tensor: tensor)))
        }
        return builder.value(named: name)!
    }

    /// Checks that every tensor was used or may be left out; returns those left out.
    func finish(mayIgnore: (String) -> Bool) throws -> [String] {
        let rest = checkpoint.tensors.map(\.name).filter { !used.contains($0) }
        if let unknown = rest.first(where: { !mayIgnore($0) }) {
            throw ModelError(
                .unknownTensor, file,
                "the tensor \(unknown) has no place in this architecture; leaving it out could change the answers")
        }
        return rest
    }
}

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
