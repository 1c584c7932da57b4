/// Why a checkpoint is not a model that shrink knows.
public struct ModelError: Error, Equatable, CustomStringConvertible {
    public enum Code: String, Sendable {
        case unsupportedArchitecture, missingFile, invalidConfig, missingTensor, wrongShape, unknownTensor
        case unsupportedTask, invalidLayers, tooLarge, notExpressible
    }

    public var code: Code
    /// The file or tensor it is about.
    public var place: String
    public var reason: String

    public init(_ code: Code, _ place: String, _ reason: String) {
        self.code = code
        self.place = place
        self.reason = reason
    }

    public var description: String { "\(place): \(reason)" }
}
