import ArgumentParser
import ShrinkCompute
import ShrinkModels
import ShrinkTokenizers
import ShrinkTraining

struct Train: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Train a model on text, from a checkpoint or from nothing.",
        discussion: """
            Fine-tunes CHECKPOINT, or with --config trains a fresh model of a configuration (and with --tokenizer its \
            tokenizer's directory). The run is a directory:

            recipe.yaml    every setting; the same run again: --recipe FILE -o OTHER
            metrics.jsonl  {"step", "epoch", "loss", "losses", "learning_rate", "gradient_norm", "tokens", "seconds"} of \
            each step; {"step", "validation": {…}, "seconds"}
            data/          encoded examples
            checkpoints/   the last two; weights, moments, position
            best/, last/   Hugging Face directories; the best is told by the validation's accuracy or Spearman correlation, else by its loss

            Ctrl-C saves a checkpoint and ends; --resume RUN goes on from the last one, to the same bits as without \
            interruption. Of a damaged checkpoint it takes the one before. Options with --resume are --threads, --json and --quiet; \
            relative paths are still those of the directory where it began.

            A recipe is YAML: each option is a key by its name without dashes, and checkpoint is the first argument. Options \
            override it. Data is .txt, .jsonl, .tsv or .csv, perhaps compressed (gzip, zstd, xz, bzip2).

            Built with the trait MPI, mpirun -n N shrink train … trains by N processes, which share each step's examples; \
            --threads is for each of them.

            Examples: shrink train MODEL --objective causal-lm --data book.txt -o run
            shrink train MODEL --objective sequence-classification --data train.tsv --text-column sentence -o run

            With --json: {"output": …, "ending": "finished" or "stopped_early", "steps": …, "epochs": …, "tokens": …, \
            "seconds": …, "loss": …, "best_step": …, "best_score": …, "validation": {…}, "peak_rss_bytes": …}. A loss or \
            gradient that is not finite ends the run with exit code 1.
            """)

    @Argument(help: "The checkpoint to start from: a Hugging Face directory or a .gguf file.") var checkpoint: String?
    @Option(help: "Train a fresh model: a config.json, or a directory with one.") var config: String?
    @Option(help: "The directory with the tokenizer (default: that of the checkpoint or configuration).") var tokenizer: String?
    @Option(name: [.short, .long], help: "The directory of the run; it must be new or empty.") var output: String?
    @Option(help: "A YAML file with settings.") var recipe: String?
    @Option(help: "The directory of a run to go on with.") var resume: String?
    @OptionGroup var training: TrainingOptions
    @OptionGroup var options: RunOptions

    func validate() throws {
        try TrainingRun.validate(output: output, recipe: recipe, resume: resume, keys: TrainingSettings.keys, apply: apply)
    }

    private func apply(to recipe: inout Recipe) {
        if let checkpoint { recipe["checkpoint"] = .text(checkpoint) }
        if let config { recipe["config"] = .text(config) }
        if let tokenizer { recipe["tokenizer"] = .text(tokenizer) }
        training.apply(to: &recipe)
    }

    func run() throws {
        try Processes.together { group in
            let run = try TrainingRun.open(
                "train", output: output, recipe: recipe, resume: resume, keys: TrainingSettings.keys, options: options, group: group, apply: apply,
                complete: { try TrainingSettings($0).recipe })
            let loop = try run.preparing { try prepare(run, TrainingSettings(run.recipe)) }
            try run.run(loop, restored: loop.state.step > 0)
        }
    }

    private func prepare(_ run: TrainingRun, _ settings: TrainingSettings) throws -> TrainingLoop {
        let source = try run.group.agree {
            let source = try TrainedModel(settings)
            try run.bind(to: [source.model])
            return source
        }
        let task = try run.task(
            try settings.data(maximumTokens: source.maximumTokens), tokenizer: source.tokenizer, labels: source.labels(for: settings.objective),
            badRowShare: settings.badRowShare)
        let (model, graph) = try run.group.agree {
            let model = try source.prepared(for: task, seed: settings.seed, quiet: run.isQuiet || run.isResumed)
            return (model, try task.trainingGraph(model.graph))
        }
        return try run.loop(over: graph, model, task, settings, measure: task.measure, score: task.score, threads: HostThreads(run.threads))
    }
}
