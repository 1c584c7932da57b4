/// Pairs for next-sentence prediction (Devlin et al.: BERT, 2019, section 3.1, task 2 and appendix A.2).
extension ExampleEncoder {
    /// The label of a pair whose second text comes from elsewhere; 0 where it follows the first.
    public static let isRandomNext: UInt32 = 1

    /// Makes pairs from sentences (`encodeSentences`), as BERT's own data preparation does.
    ///
    /// Sentences of a document are gathered until they fill the room for text, or in one case of ten a random smaller room of 2
    /// or more tokens. They are cut between two of them, at random, into the first text and the second; in half of the cases, and where there
    /// is only one sentence, the second is instead taken from a random place of another document, and the sentences that it
    /// replaces are used again. What is too long loses tokens one by one from the longer text (the second when equal), from
    /// its start or its end at random.
    ///
    /// - Parameters:
    ///   - copies: passes over the sentences, each with other random choices.
    ///   - limit: tokens of a pair with the special ones.
    /// - Throws: `DataError` `noData` when there are fewer than two documents; `CheckpointError` when the file cannot be written.
    public func encodePairs(
        of sentences: ExampleStore, copies: Int = 1, limit: Int, seed: UInt64, into writer: ExampleWriter, progress: (Int, Int) throws -> Void = { _, _ in }
    ) throws {
        let room = limit - overhead(isPair: true)
        guard room >= 2 else { throw DataError(.badTable, file: "sentences", "\(limit) tokens leave no room for two texts") }
        var documents: [Range<Int>] = []
        for i in 0..<sentences.count {
            if i > 0, sentences.label(i) == sentences.label(i - 1), let last = documents.last {
                documents[documents.count - 1] = last.lowerBound..<i + 1
            } else {
                documents.append(i..<i + 1)
            }
        }
        guard documents.count > 1 else {
            throw DataError(.noData, file: "sentences", "next-sentence prediction needs two documents or more, with empty lines between them")
        }
        for copy in 0..<copies {
            for document in documents.indices {
                if document & 63 == 0 { try progress(copy * documents.count + document, copies * documents.count) }
                var random = Random(seed: seed, Random.Purpose.sentencePairs, copy, document)
                try encodePairs(document, of: documents, sentences, room: room, limit: limit, &random, into: writer)
            }
        }
    }

    private func encodePairs(
        _ document: Int, of documents: [Range<Int>], _ sentences: ExampleStore, room: Int, limit: Int, _ random: inout Random, into writer: ExampleWriter
    ) throws {
        let goal = random.nextUnit() < 0.1 ? 2 + random.next(below: room - 1) : room
        let end = documents[document].upperBound
        var next = documents[document].lowerBound
        while next < end {
            let start = next
            var length = 0
            while next < end, length < goal {
                length += sentences.length(next)
                next += 1
            }
            let middle = next - start > 1 ? start + 1 + random.next(below: next - start - 1) : next
            var first = (start..<middle).flatMap { sentences[$0].tokens }
            var second: [Int32] = []
            let isRandom = next - start == 1 || random.nextUnit() < 0.5
            if isRandom {
                var other = random.next(below: documents.count - 1)
                if other >= document { other += 1 }
                let source = documents[other]
                var sentence = source.lowerBound + random.next(below: source.count)
                repeat {
                    second += sentences[sentence].tokens
                    sentence += 1
                } while second.count < goal - first.count && sentence < source.upperBound
                next = middle
            } else {
                second = (middle..<next).flatMap { sentences[$0].tokens }
            }
            Self.cut(&first, &second, room: room, &random)
            var pair = pair(first, second, limit: limit)
            pair.label = isRandom ? Self.isRandomNext : 0
            try writer.append(pair)
        }
    }

    private static func cut(_ first: inout [Int32], _ second: inout [Int32], room: Int, _ random: inout Random) {
        // What goes is counted first: taking single tokens from the front of an array is slow.
        var (a, b) = (0..<first.count, 0..<second.count)
        while a.count + b.count > room {
            let fromStart = random.nextUnit() < 0.5
            if a.count > b.count {
                a = fromStart ? a.lowerBound + 1..<a.upperBound : a.lowerBound..<a.upperBound - 1
            } else {
                b = fromStart ? b.lowerBound + 1..<b.upperBound : b.lowerBound..<b.upperBound - 1
            }
        }
        first = Array(first[a])
        second = Array(second[b])
    }
}
