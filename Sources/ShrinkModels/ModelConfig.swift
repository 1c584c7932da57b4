import ShrinkJSON

/// Typed access to a configuration with errors that name the key.
struct ModelConfig {
    let json: JSON
    let file: String

    func error(_ key: String, _ reason: String) -> ModelError {
        ModelError(.invalidConfig, file, "\"\(key)\" \(reason)")
    }

    /// A positive integer below 2³¹.
    func size(_ key: String) throws -> Int {
        guard let value = try optionalSize(key) else { throw error(key, "is missing") }
        return value
    }

    func optionalSize(_ key: String) throws -> Int? {
        guard let value = json[key] else { return nil }
        guard let size = value.int, size > 0, size < 1 << 31 else { throw error(key, "must be a positive integer") }
        return size
    }

    func positive(_ key: String) throws -> Double {
        guard let value = try optionalPositive(key) else { throw error(key, "is missing") }
        return value
    }

    func optionalPositive(_ key: String) throws -> Double? {
        guard let value = json[key] else { return nil }
        guard let number = value.double, number > 0 else { throw error(key, "must be a positive number") }
        return number
    }

    func flag(_ key: String, default standard: Bool) throws -> Bool {
        guard let value = json[key] else { return standard }
        guard let flag = value.bool else { throw error(key, "must be true or false") }
        return flag
    }

    func object(_ key: String) -> ModelConfig? {
        guard let value = json[key], value.object != nil else { return nil }
        return ModelConfig(json: value, file: file)
    }
}
