/// What is wrong with a checkpoint, where, and what to do about it.
public struct CheckpointError: Error, Equatable, CustomStringConvertible {
    public var code: Code
    /// The path as the caller gave it, or of the shard that an index names.
    public var file: String
    /// A tensor name, a metadata key or a byte offset; empty when the whole file is meant.
    public var place: String
    public var message: String

    public init(_ code: Code, file: String, place: String = "", message: String) {
        self.code = code
        self.file = file
        self.place = place
        self.message = message
    }

    public var remedy: String { code.remedy }

    /// One line: file, place, message, remedy.
    ///
    /// Names come from the file and may hold anything: control characters are written as escapes, so
    /// that they cannot steer a terminal, and what is too long to read is cut.
    public var description: String {
        let parts = place.isEmpty ? [file, message] : [file, place, message]
        return parts.map(Self.printable).joined(separator: ": ") + "; " + remedy
    }

    private static func printable(_ text: String) -> String {
        let limit = 300
        var result = ""
        for scalar in text.unicodeScalars.prefix(limit) {
            switch scalar.properties.generalCategory {
            case .control, .format, .lineSeparator, .paragraphSeparator: result += scalar.escaped(asASCII: true)
            default: result.unicodeScalars.append(scalar)
            }
        }
        return text.unicodeScalars.count > limit ? result + "…" : result
    }
}

extension CheckpointError {
    /// One case for each way in which a file can be wrong.
    public enum Code: String, Sendable, CaseIterable {
        // Reaching the file.
        case notFound, cannotOpen, notARegularFile, weightsNotFound

        // Any format.
        case truncated, unsupportedType, invalidShape, sizeOverflow, dataBeyondFile, dataOverlap
        case duplicateKey, duplicateTensor

        // Safetensors.
        case headerTooLarge, headerBeyondFile, headerNotAnObject, headerNotJSON, metadataNotStrings
        case malformedTensorEntry, offsetsReversed, sizeMismatch, dataHole, dataUncovered

        // The index of a sharded checkpoint.
        case malformedIndex, invalidShardName, shardNotFound, tensorNotInShard, tensorNotInIndex

        // GGUF.
        case notGGUF, unsupportedVersion, bigEndian, countTooLarge, stringTooLong, invalidUTF8
        case unknownValueType, nestedTooDeep, invalidBool, invalidAlignment, tooManyDimensions
        case partialBlock, misalignedTensor

        // Use of a checkpoint that is sound.
        case tensorNotFound, notFloatingPoint, rangeOutOfBounds

        // Writing.
        case cannotCreate, diskFull, writeFailed, wrongTensorData, foreignContents

        var remedy: String {
            switch self {
            case .notFound, .weightsNotFound, .shardNotFound:
                "check the path, and that the download is complete"
            case .cannotOpen:
                "check the permissions of the file"
            case .notARegularFile:
                "give the path of a file that can be mapped, not of a directory, pipe or device"
            case .unsupportedType:
                "convert the checkpoint to one of \(TensorType.supportedNames)"
            case .unsupportedVersion, .bigEndian:
                "write the file again as little-endian GGUF version 3 with a current converter"
            case .notGGUF:
                "give a file that starts with the letters GGUF"
            case .tensorNotFound:
                "check that the checkpoint is of the model family that its configuration names"
            case .notFloatingPoint:
                "read integer tensors through their bytes"
            case .rangeOutOfBounds:
                "ask for elements that the tensor has and give room for all of them"
            case .cannotCreate:
                "check that the directory exists and may be written"
            case .diskFull:
                "free some space or choose another file system; nothing was left behind"
            case .writeFailed:
                "check the file system; nothing was left behind"
            case .wrongTensorData:
                "write the declared tensors in the declared order, each with all of its bytes"
            case .foreignContents:
                "give a directory that is new, empty, or holds a model to be replaced"
            case .invalidShardName:
                "name shards by their file name alone, beside the index"
            case .malformedIndex, .tensorNotInShard, .tensorNotInIndex:
                "download the index and all shards again, from one revision"
            case .truncated, .headerBeyondFile, .dataBeyondFile, .countTooLarge, .stringTooLong, .dataUncovered:
                "the file is cut short or damaged: download it again"
            case .invalidShape, .sizeOverflow, .dataOverlap, .duplicateKey, .duplicateTensor, .headerTooLarge,
                .headerNotAnObject, .headerNotJSON, .metadataNotStrings, .malformedTensorEntry, .offsetsReversed,
                .sizeMismatch, .dataHole, .invalidUTF8, .unknownValueType, .nestedTooDeep, .invalidBool,
                .invalidAlignment, .tooManyDimensions, .partialBlock, .misalignedTensor:
                "the file is damaged or not written by the format's rules: download or export it again"
            }
        }
    }
}
