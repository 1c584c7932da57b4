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
        guard let number = value.double, number > 0, number.isFinite else { throw error(key, "must be a positive number") }
        return number
    }

    /// The epsilon of a norm: a positive number below one that binary32 can hold.
    func optionalEpsilon(_ key: String) throws -> Double? {
        guard let number = try optionalPositive(key) else { return nil }
        guard ModelConfig.isEpsilon(number) else { throw error(key, "must be a small positive number, but is \(number)") }
        return number
    }

    static func isEpsilon(_ number: Double) -> Bool { number >= 1e-30 && number < 1 }

    func flag(_ key: String, default standard: Bool) throws -> Bool {
        guard let value = json[key] else { return standard }
        guard let flag = value.bool else { throw error(key, "must be true or false") }
        return flag
    }

    func optionalWord(_ key: String) throws -> String? {
        guard let value = json[key] else { return nil }
        guard let word = value.string else { throw error(key, "must be a string") }
        return word
    }

    func optionalObject(_ key: String) throws -> ModelConfig? {
        guard let value = json[key] else { return nil }
        guard value.object != nil else { throw error(key, "must be an object") }
        return ModelConfig(json: value, file: file)
    }

    /// `initializer_range`: the deviation of fresh weights, 0.02 unless said otherwise.
    func initialDeviation() throws -> Double { try optionalPositive("initializer_range") ?? 0.02 }

    /// `pad_token_id`, if it is a row of the embedding; `null` says that there is none.
    func paddingToken(default standard: Int?, below count: Int) throws -> Int? {
        guard json.object?["pad_token_id"] != nil else { return standard.flatMap { $0 < count ? $0 : nil } }
        guard let value = json["pad_token_id"] else { return nil }
        guard let token = value.int else { throw error("pad_token_id", "must be an integer or null") }
        return 0..<count ~= token ? token : nil
    }

    /// The first of `architectures`.
    var architecture: String? { json["architectures"]?.array?.first?.string }
}
