import Glibc
import ShrinkCheckpoints
import ShrinkCompute
import ShrinkEvaluation
import ShrinkFormat
import ShrinkGraph
import ShrinkJSON
import ShrinkModels
import ShrinkPacking
import ShrinkRuntime
import ShrinkTokenizers
import ShrinkTraining

/// An error as a user sees it: one line and an exit code from sysexits.h.
struct CommandFailure: Error, CustomStringConvertible {
    var description: String
    var exitCode: Int32

    static let badInput: Int32 = 65, notFound: Int32 = 66, unavailable: Int32 = 69, inputOutput: Int32 = 74
    static let negative: Int32 = 1, usage: Int32 = 64, interrupted: Int32 = 130

    init(_ description: String, exitCode: Int32 = CommandFailure.badInput) {
        self.description = description
        self.exitCode = exitCode
    }

    /// Nil for errors of the argument parser, which prints them itself.
    init?(_ error: any Error) {
        switch error {
        case let error as CommandFailure: self = error
        case is Interrupt.Interrupted: self.init("interrupted", exitCode: CommandFailure.interrupted)
        case let error as CheckpointError:
            switch error.code {
            case .notFound, .weightsNotFound, .shardNotFound: self.init("\(error)", exitCode: CommandFailure.notFound)
            case .cannotOpen, .cannotCreate, .diskFull, .writeFailed: self.init("\(error)", exitCode: CommandFailure.inputOutput)
            default: self.init("\(error)")
            }
        case let error as ModelError:
            self.init("\(error)", exitCode: error.code == .missingFile ? CommandFailure.notFound : CommandFailure.badInput)
        case let error as PackingError:
            self.init("\(error)", exitCode: error.code == .output ? CommandFailure.inputOutput : CommandFailure.badInput)
        case let error as GraphError: self.init("the model's graph is wrong: \(error)")
        case let error as DataError:
            switch error.code {
            case .notFound: self.init("\(error)", exitCode: CommandFailure.notFound)
            case .cannotRead, .cannotWrite: self.init("\(error)", exitCode: CommandFailure.inputOutput)
            default: self.init("\(error)")
            }
        case let error as TrainingError:
            switch error.code {
            case .badRecipe: self.init("\(error)", exitCode: error.place.isEmpty ? CommandFailure.usage : CommandFailure.badInput)
            case .inputOutput: self.init("\(error)", exitCode: CommandFailure.inputOutput)
            case .group: self.init("\(error)", exitCode: CommandFailure.unavailable)
            case .diverged: self.init("\(error)", exitCode: CommandFailure.negative)
            case .badRun, .mismatch: self.init("\(error)")
            }
        case let error as TokenizerTrainingError: self.init("\(error)")
        case let error as TokenizerError: self.init("\(error)")
        case let error as JSONError: self.init("\(error)")
        case let error as EvaluationError: self.init("\(error)")
        case let error as ComputeError: self.init("\(error)", exitCode: CommandFailure.unavailable)
        case let error as RuntimeError: self.init(error, about: nil)
        default: return nil
        }
    }

    /// `about` is the file that the runtime was working on.
    init(_ error: RuntimeError, about file: String?) {
        let place = file.map { "\($0): " } ?? ""
        switch error.code {
        case .inputOutput:
            let code = Int32(truncatingIfNeeded: error.detail)
            self.init(
                "\(place)\(error.message): \(String(cString: strerror(code)))",
                exitCode: code == ENOENT ? CommandFailure.notFound : CommandFailure.inputOutput)
        case .invalidArtifact:
            self.init("\(place)not a sound artifact: \(error.message) (at \(error.detail)); copy it again, or pack it again with `shrink quantize`")
        case .unsupportedVersion:
            self.init("\(place)\(error.message); this version reads format \(Program.majorVersion).\(Program.minorVersion)")
        case .unsupportedISA: self.init("\(error.message); `shrink cpu` lists what runs here", exitCode: CommandFailure.unavailable)
        case .outOfMemory: self.init("\(place)\(error.message) (\(error.detail) bytes)", exitCode: CommandFailure.unavailable)
        case .limitExceeded, .invalidArgument: self.init("\(place)\(error.message) (\(error.detail))")
        case .selfTestFailed, .invalidState: self.init("\(place)\(error.message)", exitCode: CommandFailure.unavailable)
        case .cancelled: self.init("interrupted", exitCode: CommandFailure.interrupted)
        }
    }
}
