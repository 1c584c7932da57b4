import ShrinkTokenizers

/// Whether what a teacher says about tokens means the same to a student.
public enum VocabularyCheck {
    /// A model's tokenizer, and how many rows its tables have.
    public struct Side {
        public var name: String
        public var tokenizer: TokenizerDefinition
        public var rows: Int

        public init(name: String, tokenizer: TokenizerDefinition, rows: Int) {
            self.name = name
            self.tokenizer = tokenizer
            self.rows = rows
        }
    }

    /// Both tokenizers must make the same tokens of every text, and both models must have a row for each token. Rows behind the
    /// last token only fill tables up, so their number may differ: of those that the teacher lacks the student learns that they
    /// are impossible (`TeacherTarget.values`), and those that the student lacks are left out.
    /// - Throws: `TrainingError` `mismatch` that names the first difference; `TokenizerError`.
    public static func run(teacher: Side, student: Side) throws {
        if let difference = try student.tokenizer.difference(from: teacher.tokenizer) {
            throw TrainingError(
                .mismatch, student.name,
                "the student's tokenizer is not that of the teacher \(teacher.name): \(difference). A student can only learn what the teacher says about the same tokens")
        }
        for side in [student, teacher] where side.rows < side.tokenizer.vocabularySize {
            throw TrainingError(
                .mismatch, side.name, "the tokenizer has \(side.tokenizer.vocabularySize) tokens, the model only \(side.rows); they do not belong together")
        }
    }
}
