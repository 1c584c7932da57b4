/// Which layer of a teacher each layer of a student learns from, both counted from 0.
public struct LayerMap: Hashable, Sendable, CustomStringConvertible {
    public struct Pair: Hashable, Sendable {
        public var student: Int
        public var teacher: Int
    }

    /// At least one.
    public let pairs: [Pair]

    /// - Throws: `TrainingError` unless `text` is like `0:0,1:3,2:5` and names no student layer twice.
    public init(parsing text: String) throws(TrainingError) {
        var pairs: [Pair] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let numbers = part.split(separator: ":", omittingEmptySubsequences: false).map { Int($0) }
            guard numbers.count == 2, let student = numbers[0], let teacher = numbers[1], student >= 0, teacher >= 0 else {
                throw TrainingError(.badRecipe, "", "\"\(text)\" is no layer map; give pairs of a student's and a teacher's layer from 0 on, as in 0:0,1:3,2:5")
            }
            guard !pairs.contains(where: { $0.student == student }) else {
                throw TrainingError(.badRecipe, "", "the layer map \"\(text)\" names the student's layer \(student) twice")
            }
            pairs.append(Pair(student: student, teacher: teacher))
        }
        self.pairs = pairs
    }

    public init(_ pairs: [Pair]) {
        precondition(!pairs.isEmpty)
        self.pairs = pairs
    }

    /// The last layer of each of as many equal parts of the teacher as the student has layers (Jiao et al. 2020, §3.1): the last
    /// learns from the last.
    public static func uniform(student: Int, teacher: Int) -> LayerMap {
        LayerMap((0..<student).map { Pair(student: $0, teacher: max(0, ($0 + 1) * teacher / student - 1)) })
    }

    /// The last layers alone.
    public static func last(student: Int, teacher: Int) -> LayerMap { LayerMap([Pair(student: student - 1, teacher: teacher - 1)]) }

    public var description: String { pairs.map { "\($0.student):\($0.teacher)" }.joined(separator: ",") }
}
