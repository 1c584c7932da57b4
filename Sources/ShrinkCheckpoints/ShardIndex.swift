import ShrinkJSON

/// `model.safetensors.index.json`: which shard holds which tensor.
struct ShardIndex {
    let path: String
    /// Shards in the order in which the map first names them, each with its tensors.
    let shards: [(file: String, tensors: [String])]

    init(path: String) throws(CheckpointError) {
        let file = try MappedFile(path: path)
        func malformed(_ place: String, _ message: String) -> CheckpointError {
            CheckpointError(.malformedIndex, file: path, place: place, message: message)
        }
        guard file.bytes.count <= SafetensorsFile.maximumHeaderByteCount else {
            throw malformed("", "has \(file.bytes.count) bytes, which no index needs")
        }
        let json: JSON
        do throws(JSONError) {
            json = try JSON(parsing: file.bytes, maximumValueCount: SafetensorsFile.maximumHeaderValueCount)
        } catch {
            throw malformed("byte \(error.byteOffset)", "the JSON cannot be read: \(error.reason)")
        }
        guard let map = json["weight_map"]?.object else { throw malformed("", "has no object \"weight_map\"") }

        var shards: [(file: String, tensors: [String])] = []
        var positions: [[UInt8]: Int] = [:]
        for (tensor, value) in map.members {
            guard let shard = value.string else {
                throw malformed("tensor \(tensor)", "its shard is not a string")
            }
            guard Self.isFileName(shard) else {
                throw CheckpointError(.invalidShardName, file: path, place: "tensor \(tensor)",
                    message: "the shard \"\(shard)\" is not the name of a .safetensors file beside the index")
            }
            if let position = positions[Array(shard.utf8)] {
                shards[position].tensors.append(tensor)
            } else {
                positions[Array(shard.utf8)] = shards.count
                shards.append((shard, [tensor]))
            }
        }
        self.path = path
        self.shards = shards
    }

    /// Nothing that could leave the directory or cut the path short.
    private static func isFileName(_ name: String) -> Bool {
        name.hasSuffix(".safetensors") && !name.utf8.contains { $0 == UInt8(ascii: "/") || $0 == 0 }
    }

    func open(in directory: String) throws(CheckpointError) -> Checkpoint {
        var tensors: [CheckpointTensor] = []
        var files: [MappedFile] = []
        for (name, expected) in shards {
            let file: MappedFile
            do throws(CheckpointError) {
                file = try MappedFile(path: directory + "/" + name)
            } catch {
                guard error.code == .notFound else { throw error }
                throw CheckpointError(.shardNotFound, file: path, place: name,
                    message: "the shard is missing, \(expected.count) tensors with it")
            }
            let shard = try SafetensorsFile(file).checkpoint
            for tensor in expected where shard[tensor] == nil {
                throw CheckpointError(.tensorNotInShard, file: file.path, place: "tensor \(tensor)",
                    message: "the index says that it is in this shard, but it is not")
            }
            if shard.tensors.count > expected.count {
                let known = Set(expected.map { Array($0.utf8) })
                let extra = shard.tensors.first { !known.contains(Array($0.name.utf8)) }
                throw CheckpointError(.tensorNotInIndex, file: file.path, place: "tensor \(extra?.name ?? "")",
                    message: "the index does not place it in this shard")
            }
            tensors += shard.tensors
            files.append(file)
        }
        return try Checkpoint(tensors: tensors, files: files)
    }
}
