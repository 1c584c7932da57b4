/// Why a training run cannot begin, or not go on.
public struct TrainingError: Error, Equatable, CustomStringConvertible {
    public enum Code: Sendable {
        /// A recipe or an option that cannot be used.
        case badRecipe
        /// A directory that is no run, or a damaged one.
        case badRun
        /// The directory cannot be read or written.
        case inputOutput
        /// Model, data and tokenizer do not fit each other or the objective.
        case mismatch
        /// Processes that were to train together cannot.
        case group
        /// Loss or gradients became infinite or no numbers.
        case diverged
    }

    public var code: Code
    /// The file or directory it is about, perhaps with a line.
    public var place: String
    public var message: String

    public init(_ code: Code, _ place: String = "", _ message: String) {
        self.code = code
        self.place = place
        self.message = message
    }

    public var description: String { place.isEmpty ? message : "\(place): \(message)" }
}
