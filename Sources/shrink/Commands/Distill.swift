import ArgumentParser
import Glibc
import ShrinkCompute
import ShrinkGraph
import ShrinkModels
import ShrinkTokenizers
import ShrinkTraining

extension DistillationSettings.Runtime: ExpressibleByArgument {}
extension CachedTeacher.Numbers: ExpressibleByArgument {}

struct Distill: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a small model from a large one.",
        discussion: """
            The student is made of layers of TEACHER (--student-layers), fresh of the same or another family \
            (--student-config), or a checkpoint (--student). Both must have the same tokenizer.

            --losses names losses with weights, such as soft=0.5,hard=0.5:
            hard           the objective's own loss, from labels
            soft           divergence from the teacher's distribution: --temperature, --skew, --top
            cosine         1 - cosine of both outputs, such as embeddings
            output         squared error of both outputs
            hidden, hidden-cosine   squared error or cosine of hidden states, by a trained projection where widths differ
            attention      divergence of attention, head by head; -probabilities, -scores: squared errors
            relations      MiniLMv2: divergence of the relations of queries, keys and values; --relation-heads
            Default: soft=0.5,hard=0.5; for regression output=0.5,hard=0.5; for sentence-embedding cosine=1. Layers are mapped evenly, \
            for relations the last alone; --layer-map 0:0,1:3,2:5 says otherwise (student:teacher, from 0).

            sentence-embedding learns from texts alone (lines of .txt, or --text-column); --unlabelled lets classifiers do so.

            --teacher-runtime: fp32; int8, packed as by `shrink quantize` (outputs only); cache, run once in fp32 into a file that serves \
            every epoch and, with --cache DIR, other runs. A cache of another teacher, data or losses is refused.

            --qat w8a8 computes as the packed model will, to finish a student that is trained: --student RUN/best --qat w8a8.

            The run is a directory as of `shrink train`; without the loss hard the best student is that of the lowest loss. Ctrl-C saves a checkpoint, --resume RUN goes on. Recipes hold teacher and the \
            options by their names.

            Examples: shrink distill TEACHER --student-layers 3 --objective sentence-embedding --data texts.txt -o run
            shrink distill TEACHER --student-config lstm.json --objective causal-lm --data book.txt --teacher-runtime cache -o run

            --json prints what `shrink train` does.
            """)

    @Argument(help: "The teacher's checkpoint.") var teacher: String?
    @Option(help: "A student of so many layers of the teacher, or of these: 3, or 0,2,5.") var studentLayers: String?
    @Option(help: "Which of them: spread, from first to last, or block-ends (default: spread).") var layerChoice: String?
    @Option(help: "A fresh student: a config.json, or a directory with one.") var studentConfig: String?
    @Option(help: "A student's checkpoint.") var student: String?
    @Option(help: "Losses with weights.") var losses: String?
    @Option(help: "soft: the temperature (default: 2).") var temperature: Double?
    @Option(help: "soft: the share of the teacher in what it is compared with, below 1 (default: 0).") var skew: Double?
    @Option(help: "soft: only so many of the most probable classes, the others as one (default: all; of a cache 64).") var top: Int?
    @Option(help: "Which layers learn from which: student:teacher,…, from 0.") var layerMap: String?
    @Option(help: "relations: into how many heads rows are cut (default: the teacher's or the student's heads).") var relationHeads: Int?
    @Option(help: "fp32, int8 or cache (default: fp32).") var teacherRuntime: DistillationSettings.Runtime?
    @Option(help: "cache: a directory for the file (default: the run's data/).") var cache: String?
    @Option(help: "cache: float16 or float32 (default: float16).") var cacheNumbers: CachedTeacher.Numbers?
    @Flag(help: "Learn from texts alone.") var unlabelled = false
    @Option(name: [.short, .long], help: "The directory of the run; it must be new or empty.") var output: String?
    @Option(help: "A YAML file with settings.") var recipe: String?
    @Option(help: "The directory of a run to go on with.") var resume: String?
    @OptionGroup var training: TrainingOptions
    @OptionGroup var options: RunOptions

    func validate() throws {
        try TrainingRun.validate(output: output, recipe: recipe, resume: resume, keys: DistillationSettings.keys, apply: apply)
    }

    private func apply(to recipe: inout Recipe) {
        let texts: [(String, String?)] = [
            ("teacher", teacher), ("student-layers", studentLayers), ("layer-choice", layerChoice), ("student-config", studentConfig), ("student", student),
            ("losses", losses), ("layer-map", layerMap), ("teacher-runtime", teacherRuntime?.rawValue), ("cache", cache), ("cache-numbers", cacheNumbers?.rawValue),
        ]
        for case (let name, let text?) in texts { recipe[name] = .text(text) }
        for case (let name, let number?) in [("temperature", temperature), ("skew", skew)] { recipe[name] = .number(number) }
        for case (let name, let number?) in [("top", top), ("relation-heads", relationHeads)] { recipe[name] = .integer(number) }
        if unlabelled { recipe["unlabelled"] = .flag(true) }
        training.apply(to: &recipe)
    }

    func run() throws {
        try Processes.together { group in
            let run = try TrainingRun.open(
                "distill", output: output, recipe: recipe, resume: resume, keys: DistillationSettings.keys, options: options, group: group, apply: apply,
                complete: { try DistillationSettings($0).recipe })
            let loop = try run.preparing { try prepare(run, DistillationSettings(run.recipe)) }
            try run.run(loop, restored: loop.state.step > 0)
        }
    }

    private func prepare(_ run: TrainingRun, _ settings: DistillationSettings) throws -> TrainingLoop {
        let training = settings.training, objective = training.objective
        let (teacher, tokenizer, source) = try run.group.agree {
            let teacher = try ImportedModel.open(settings.teacher), tokenizer = try TokenizerFiles.load(settings.teacher)
            guard teacher.graph.output(named: objective.output) != nil else {
                throw CommandFailure("\(settings.teacher): the teacher has no output \(objective.output), which the objective \(objective.rawValue) is about")
            }
            if objective == .regression, teacher.task != .regression {
                throw CommandFailure("\(settings.teacher): the teacher does \(teacher.task.name), not regression; it has no number to teach")
            }
            if case .sequenceClassification(_, areIndependent: true) = teacher.task {
                throw CommandFailure("\(settings.teacher): the teacher's labels are independent (multi_label_classification), which no loss compares")
            }
            let source = try TrainedModel(settings, teacher: teacher, tokenizer: tokenizer)
            try run.bind(to: [teacher, source.model])
            return (teacher, tokenizer, source)
        }
        var data = try training.data(maximumTokens: min(source.maximumTokens, teacher.maximumInputTokens))
        data.isUnlabelled = settings.isUnlabelled
        let task = try run.task(data, tokenizer: tokenizer, labels: teacher.labels, badRowShare: training.badRowShare)
        let threads = HostThreads(run.threads)
        let (model, graph) = try run.group.agree {
            if objective.hasLabels, task.labels != teacher.labels {
                throw CommandFailure(
                    "\(settings.teacher): the teacher tells \(teacher.labels.joined(separator: ", ")) apart, but the labels of the data are \(task.labels.joined(separator: ", "))")
            }
            let model = try source.prepared(for: task, seed: training.seed, quiet: run.isQuiet || run.isResumed)
            let distillation = try settings.distillation(student: model.graph, teacher: teacher.graph)
            let graph = try task.trainingGraph(model.graph, distillation: distillation)
            if !run.isQuiet, graph.trainableParameters.contains(where: { graph[$0].name == Graph.projectionName(of: objective.output) }) {
                Output.message(
                    "note: the student's output is not as wide as the teacher's; what learns the teacher's is a projection of it, which is not exported. The losses hidden and relations do without")
            }
            return (model, graph)
        }
        let teachers = try run.group.firstThenOthers {
            try Teachers(
                settings, teacher, tokenizer, task, graph, run, threads: threads,
                batchSize: training.options(exampleCount: task.training.examples.count).microBatchSize)
        }
        return try run.loop(
            over: graph, model, task, training, measure: task.studentMeasure, score: task.studentScore(learnsLabels: settings.learnsLabels), threads: threads,
            targets: ({ try teachers.training.targets($0, for: $1, examples: $2) }, { try teachers.validation.targets($0, for: $1, examples: $2) }))
    }
}

/// The teacher of a run, for the examples to train on and those to validate with.
private struct Teachers {
    let training: any Teacher
    let validation: any Teacher

    init(
        _ settings: DistillationSettings, _ teacher: ImportedModel, _ tokenizer: TokenizerDefinition, _ task: TrainingTask, _ student: Graph,
        _ run: TrainingRun, threads: HostThreads, batchSize: Int
    ) throws {
        let isInt8 = settings.runtime == .int8
        let fingerprint = try Fingerprint(
            files: teacher.files.map(\.path), tokenizer: try tokenizer.encodedTables(),
            settings: [
                "teacher", isInt8 ? "int8" : "fp32", teacher.configuration.serialized, teacher.poolingDescription,
                // Classes that the student lacks are left out.
                "\(student.output(named: settings.training.objective.output).flatMap { student[$0].type.width } ?? 0)",
            ])
        func live() throws -> LiveTeacher { try LiveTeacher(teacher.graph, for: student, fingerprint: fingerprint, threads: threads) }
        // Labels alone need no teacher, and none is asked.
        switch student.teacherTargets.isEmpty ? .fp32 : settings.runtime {
        case .fp32:
            training = try live()
            validation = training
        case .int8:
            training = try RuntimeTeacher(
                teacher, tokenizer: tokenizer, for: student, fingerprint: fingerprint, path: run.directory.dataPath + "/teacher.shrink", threads: run.threads,
                quiet: run.isQuiet)
            validation = training
        case .cache:
            let directory = settings.cache ?? run.directory.dataPath
            // What is wrong with it shows when the file is written.
            mkdir(directory, 0o777)
            func cached(_ name: String, _ source: any BatchSource) throws -> any Teacher {
                guard let data = source.fingerprint else {
                    throw TrainingError(
                        .badRecipe, "", "the inputs of the objective \(settings.training.objective.rawValue) are others in every epoch, so the teacher cannot run in advance; take teacher-runtime fp32")
                }
                let path = "\(directory)/teacher-\(name).cache"
                func open() throws -> any Teacher { try CachedTeacher(path: path, teacher: fingerprint, data: data, for: student, count: source.count, numbers: settings.cacheNumbers) }
                if access(path, F_OK) == 0 { return try open() }
                let progress = Progress("ask the teacher about \(source.count) examples", quiet: run.isQuiet)
                defer { progress.clear() }
                try CachedTeacher.write(
                    to: path, try live(), source: source, data: data, for: student, numbers: settings.cacheNumbers, batchSize: batchSize, progress: progress.update)
                return try open()
            }
            training = try cached("training", task.training.source)
            if let set = task.validation, set.source.fingerprint != task.training.source.fingerprint {
                validation = try cached("validation", set.source)
            } else {
                validation = training
            }
        }
    }
}
