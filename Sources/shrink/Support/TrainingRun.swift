import ArgumentParser
import CShrinkMachine
import Glibc
import ShrinkCheckpoints
import ShrinkCompute
import ShrinkGraph
import ShrinkJSON
import ShrinkModels
import ShrinkPasses
import ShrinkTokenizers
import ShrinkTraining

/// A run of `train` or `distill`: its directory, its recipe, and what they come to.
struct TrainingRun {
    let directory: RunDirectory
    let recipe: Recipe
    let isResumed: Bool
    let options: RunOptions
    /// `train` or `distill`.
    let title: String
    /// The processes that train together. The first one has the directory, and speaks.
    let group: any TrainingGroup

    var threads: Int { options.threads ?? group.threadCount(cores: RunOptions.cores, usable: Int(shrink_machine_cpu_count())) }
    var isQuiet: Bool { options.quiet || !group.isFirst }

    /// Either a new run with its directory, or one to go on with, whose settings stand.
    static func validate(output: String?, recipe: String?, resume: String?, keys: [RecipeKey], apply: (inout Recipe) -> Void) throws {
        if resume != nil {
            var given = Recipe(keys: keys)
            apply(&given)
            let isGiven = keys.contains { given[$0.name] != nil } || output != nil || recipe != nil
            if isGiven { throw ValidationError("With --resume, all settings are those of the run; give --threads, --json and --quiet only.") }
        } else if output == nil {
            throw ValidationError("Give a directory for the run with --output, or one to go on with with --resume.")
        }
    }

    /// Begins a run, or opens one to go on with.
    ///
    /// - Parameters:
    ///   - keys: the settings of the command.
    ///   - apply: puts the options of the command line into the recipe.
    ///   - complete: checks a recipe and fills in defaults.
    static func open(
        _ title: String, output: String?, recipe path: String?, resume: String?, keys: [RecipeKey], options: RunOptions,
        group: any TrainingGroup = SingleProcess(), apply: (inout Recipe) -> Void, complete: (Recipe) throws -> Recipe
    ) throws -> TrainingRun {
        if let resume {
            return try group.firstThenOthers {
                let directory = group.isFirst ? try RunDirectory(resume) : RunDirectory(openedByFirst: resume)
                do {
                    return TrainingRun(
                        directory: directory, recipe: try complete(Recipe(path: directory.recipePath, keys: keys)), isResumed: true, options: options,
                        title: title, group: group)
                } catch var error as TrainingError {
                    // No option is to blame.
                    if error.place.isEmpty { error.place = directory.recipePath }
                    throw error
                }
            }
        }
        guard let output else { throw CommandFailure("give a directory for the run with --output, or one to go on with with --resume", exitCode: CommandFailure.usage) }
        return try group.firstThenOthers {
            var recipe = try path.map { try Recipe(path: $0, keys: keys) } ?? Recipe(keys: keys)
            apply(&recipe)
            recipe = try complete(recipe)
            let heading = "The settings of this run, made by shrink \(Shrink.configuration.version).\nThe same again: shrink \(title) --recipe THIS_FILE -o DIRECTORY"
            let directory = group.isFirst ? try RunDirectory.create(output, recipe: try recipe.yaml(heading: heading)) : RunDirectory(openedByFirst: output)
            return TrainingRun(directory: directory, recipe: recipe, isResumed: false, options: options, title: title, group: group)
        }
    }

    /// Does `body`; when it fails before anything has been trained, a new directory is taken away again.
    func preparing<R>(_ body: () throws -> R) throws -> R {
        do { return try body() } catch {
            if !isResumed { directory.discard() }
            throw error
        }
    }

    /// Reads and encodes the data of a task; in the first process of a group, and the others read what that wrote.
    func task(_ data: TaskData, tokenizer: TokenizerDefinition, labels: [String], badRowShare: Double) throws -> TrainingTask {
        let progress = Progress("encode", quiet: isQuiet)
        defer { progress.clear() }
        return try group.firstThenOthers {
            try TrainingTask(
                data, tokenizer: try tokenizer.encodedTables(), labels: labels, directory: directory.dataPath,
                badRows: {
                    BadRows(maximumShare: badRowShare) { error in
                        progress.clear()
                        if !isQuiet { Output.message("note: \("\(error)".onOneLine); left out") }
                    }
                }, progress: progress.update)
        }
    }

    /// Makes sure that a run goes on with the models that it began with: what is frozen, and what a teacher says, is read from them.
    func bind(to models: [ImportedModel]) throws {
        guard group.isFirst else { return }
        let print = try Fingerprint(
            files: models.flatMap(\.files).map(\.path), tokenizer: [],
            settings: models.map { $0.configuration.serialized + $0.poolingDescription }).description
        let path = directory.dataPath + "/models.sha256"
        guard isResumed, access(path, F_OK) == 0 else { return try ReplacementFile.write(Array((print + "\n").utf8), to: path) }
        let file = try MappedFile(path: path)
        guard withExtendedLifetime(file, { file.bytes.elementsEqual((print + "\n").utf8) }) else {
            throw CommandFailure(
                "\(directory.path): the model that it started from or its teacher has changed since; bring it back, or start a new run")
        }
    }

    /// The loop that trains what the graph's `loss` depends on, as it goes on or begins.
    ///
    /// - Parameters:
    ///   - graph: of `model`, with losses.
    ///   - targets: a teacher's values for the graph's inputs named `teacher:…`, in training and in validation.
    func loop(
        over graph: Graph, _ model: TrainedModel, _ task: TrainingTask, _ settings: TrainingSettings, measure: any Measure, score: Score,
        threads: HostThreads, targets: (training: BatchTargets, validation: BatchTargets)? = nil
    ) throws -> TrainingLoop {
        let loop = try group.agree {
            let options = settings.options(exampleCount: task.training.examples.count)
            if task.validation == nil, !isQuiet, settings.recipe.number("validation-share") != 0 {
                Output.message("note: there are too few examples to hold one back, so that nothing is validated; see --validation-data")
            }
            if options.patience != nil, task.validation == nil {
                throw CommandFailure("--patience needs a validation; give --validation-data, or a larger --validation-share", exitCode: CommandFailure.usage)
            }
            var graph = graph
            _ = try PassManager.imitate(settings.scheme).run(on: &graph)
            let learnt = graph.extracting(outputs: ["loss"])
            let parameters = try ParameterTable(reading: learnt.parameters(freezing: settings.frozen), of: learnt)
            if !isResumed, let name = parameters.firstNotFinite {
                throw CommandFailure("\(model.place): the tensor \(name) holds numbers that are not finite; the checkpoint is damaged")
            }
            let trainer = try Trainer(
                graph, parameters: parameters, optimizer: settings.optimizer, weightDecay: Float(settings.weightDecay), recompute: settings.recomputation,
                threads: threads, group: group)
            trainer.targets = targets?.training
            let evaluator = try task.validation.map {
                try Evaluator(graph, parameters: parameters, set: $0, batchSize: options.microBatchSize, measure: measure, threads: threads)
            }
            evaluator?.targets = targets?.validation
            let loop = TrainingLoop(
                trainer, training: task.training, evaluator: evaluator, score: score, options: options, directory: group.isFirst ? directory : nil)
            loop.export = { try model.write(parameters, as: settings.numbers, to: $0) }
            loop.observer = { if case .note(let text) = $0 { Output.message("note: \(text.onOneLine)") } }
            return loop
        }
        if isResumed, try !loop.restore(), !isQuiet { Output.message("note: \(directory.path) has no checkpoint yet; it starts at the beginning") }
        return loop
    }

    /// Trains to the end and tells how it went.
    func run(_ loop: TrainingLoop, restored: Bool) throws {
        let progress = TrainingProgress(title, steps: loop.options.rate.steps, quiet: isQuiet)
        var validation: [(name: String, value: Double)] = [], loss: Double?
        loop.isCancelled = { Interrupt.flag.pointee != 0 }
        loop.observer = { event in
            if case .validated(_, let figures, _) = event { validation = figures }
            if case .step(_, _, let result, _) = event { loss = result.loss }
            progress.show(event)
        }
        defer { progress.clear() }
        if restored, !isQuiet { Output.message("\(title): going on after step \(loop.state.step) of \(loop.options.rate.steps)") }
        let ending = try loop.run()
        let state = loop.state
        group.hasEnded = true
        guard group.isFirst else { return }
        if ending == .interrupted {
            throw CommandFailure(
                "interrupted after step \(state.step) of \(loop.options.rate.steps), which is saved; go on with: shrink \(title) --resume \(directory.path)",
                exitCode: CommandFailure.interrupted)
        }
        let best = state.best.map { "; the best model is that of step \($0.step), in \(directory.bestPath)" } ?? ""
        if state.best?.step == 0, !isQuiet {
            progress.clear()
            Output.message("note: no validation was better than that before the first step; the learning rate may be too high, or there is nothing more to learn")
        }
        progress.finish(
            "\(state.step) steps\(ending == .stoppedEarly ? " (stopped early)" : ""), \(Format.decimal(loop.epoch, 2)) epochs, \(state.tokens) tokens\(best), peak memory \(Format.bytes(ProcessMemory.peak)),")
        guard options.json else { return }
        var figures = JSON.Object()
        for (name, value) in validation { figures.append(name, .number(value)) }
        Output.json([
            ("output", .string(directory.path)), ("ending", .string(ending.rawValue)), ("steps", .integer(state.step)), ("epochs", .number(loop.epoch)),
            ("tokens", .integer(state.tokens)), ("seconds", .number(state.seconds)), ("loss", loss.map(JSON.number) ?? .null),
            ("best_step", state.best.map { .integer($0.step) } ?? .null), ("best_score", state.best.map { .number($0.score) } ?? .null),
            ("validation", .object(figures)), ("peak_rss_bytes", .integer(ProcessMemory.peak)),
        ])
    }
}
