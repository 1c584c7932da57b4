"""Training: runs, recipes, interruption at any point, and what refuses to be trained on."""

import fcntl
import json
import os
import pty
import random
import resource
import shutil
import signal
import struct
import subprocess
import termios
import time

from checkpoints import write, write_byte_level_tokenizer, write_json
from harness import BAD_INPUT, INPUT_OUTPUT, INTERRUPTED, NOT_FOUND, USAGE

KEYS = {"output", "ending", "steps", "epochs", "tokens", "seconds", "loss", "best_step", "best_score", "validation", "peak_rss_bytes"}
LOOP = ["--batch-size", "4", "--learning-rate", "1e-3", "--quiet"]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def metrics(path):
    """Lines without the time, which is another in every run."""
    lines = [json.loads(line) for line in read(f"{path}/metrics.jsonl").splitlines()]
    for line in lines:
        del line["seconds"]
    return lines


def tensors(t, run):
    """What must be the same bits in every run of the same settings."""
    root = f"{t.directory}/{run}"
    newest = sorted(os.listdir(f"{root}/checkpoints"))[-1]
    names = [f"checkpoints/{newest}/{name}.safetensors" for name in ("weights", "optimizer")] + [f"{which}/model.safetensors" for which in ("best", "last")]
    return {name: read(f"{root}/{name}") for name in names}


def wait_for_lines(path, count, process, seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            if read(path).count(b"\n") >= count:
                return True
        except FileNotFoundError:
            pass
        time.sleep(0.002)
    return False


def data(t):
    source = random.Random(5)
    words = ["the", "a", "cat", "dog", "sat", "ran", "on", "mat", "red", "blue"]

    def sentence():
        return " ".join(source.choice(words) for _ in range(source.randint(3, 9)))

    write(f"{t.directory}/train.txt", "".join(sentence() + ".\n" for _ in range(3000)).encode())
    rows = [(sentence(), sentence()) for _ in range(120)]
    write(f"{t.directory}/rows.tsv", ("text\tother\tlabel\tscore\n" + "".join(
        f"{a}\t{b}\t{['bad', 'good', 'so-so'][a.count('cat') % 3]}\t{len(a) % 6}\n" for a, b in rows)).encode())
    write(f"{t.directory}/tags.jsonl", "".join(
        json.dumps({"text": a, "labels": ["B-X" if word == "cat" else "O" for word in a.split()]}) + "\n" for a, _ in rows).encode())


def objectives(t):
    cases = [("llama", "causal-lm", ["--data", "train.txt", "--max-tokens", "16"], {"loss", "perplexity"}),
             ("classify", "sequence-classification", ["--data", "rows.tsv"], {"loss", "accuracy", "f1"}),
             ("classify", "sequence-classification", ["--data", "rows.tsv", "--pair-column", "other", "--micro-batch", "2", "--recompute", "blocks"],
              {"loss", "accuracy", "f1"}),
             ("tag", "token-classification", ["--data", "tags.jsonl", "--optimizer", "sgd"], {"loss", "accuracy", "f1"}),
             ("bert", "sentence-embedding", ["--data", "rows.tsv", "--pair-column", "other", "--score-scale", "5", "--max-tokens", "16"],
              {"loss", "pearson", "spearman"})]
    write_json(f"{t.directory}/bilstm.json", {"model_type": "lstm", "vocab_size": 100, "embedding_size": 16, "hidden_size": 12, "num_layers": 1,
                                              "bidirectional": True})
    for name in ("gpt2", "bert-fresh"):
        os.makedirs(f"{t.directory}/{name}")
    write_json(f"{t.directory}/gpt2/config.json", {"model_type": "gpt2", "n_layer": 2, "n_embd": 32, "n_head": 4, "vocab_size": 264, "n_positions": 32})
    write_byte_level_tokenizer(f"{t.directory}/gpt2")
    write_json(f"{t.directory}/bert-fresh/config.json", json.loads(read(f"{t.directory}/bert/config.json")))
    cases += [(None, "sequence-classification", ["--data", "rows.tsv", "--config", "bilstm.json", "--tokenizer", "bert"], {"loss", "accuracy", "f1"}),
              (None, "causal-lm", ["--data", "train.txt", "--config", "gpt2"], {"loss", "perplexity"}),
              (None, "masked-lm", ["--data", "train.txt", "--config", "bert-fresh", "--tokenizer", "bert"], {"loss", "perplexity"}),
              ("bert", "regression", ["--data", "rows.tsv", "--freeze", "*embeddings*"], {"loss", "pearson", "spearman"}),
              ("tiny.gguf", "causal-lm", ["--data", "train.txt"], {"loss", "perplexity"})]
    for number, (model, objective, options, figures) in enumerate(cases):
        result = t.works(f"train {model or 'a fresh model'}: {' '.join([objective, *options[2:]])}", "train", *([model] if model else []), "--objective", objective, *options, *LOOP,
                         "--steps", "6", "-o", f"task-{number}", "--json")
        if result.code != 0:
            continue
        found = result.objects[0]
        t.check("one object with the documented keys, and nothing else", len(result.objects) == 1 and set(found) == KEYS and result.err == b"", result)
        t.check("its figures", set(found["validation"]) == figures and found["steps"] == 6 and found["ending"] == "finished", found)
        t.check("the run has its files", {"recipe.yaml", "metrics.jsonl", "data", "checkpoints", "best", "last"} <= set(os.listdir(f"{t.directory}/task-{number}")))
        if objective == "masked-lm":
            t.works("the trained model can be opened", "inspect", f"task-{number}/last")
        else:
            t.works("the trained model can be packed", "quantize", f"task-{number}/last", "-o", "trained.shrink", "--quiet")
    os.remove(f"{t.directory}/trained.shrink")


def recipes(t):
    first = [value for value in metrics(f"{t.directory}/task-0")]
    t.works("the recorded recipe trains again", "train", "--recipe", "task-0/recipe.yaml", "-o", "from-recipe", "--quiet")
    t.check("to the same metrics and bits", metrics(f"{t.directory}/from-recipe") == first and tensors(t, "from-recipe") == tensors(t, "task-0"))
    t.check("and records the same", read(f"{t.directory}/from-recipe/recipe.yaml") == read(f"{t.directory}/task-0/recipe.yaml"))
    shutil.rmtree(f"{t.directory}/from-recipe")
    t.works("options go before the recipe", "train", "--recipe", "task-0/recipe.yaml", "-o", "from-recipe", "--quiet", "--steps", "2")
    t.check("and are recorded", b"\nsteps: 2\n" in read(f"{t.directory}/from-recipe/recipe.yaml") and metrics(f"{t.directory}/from-recipe")[-1]["step"] == 2)
    shutil.rmtree(f"{t.directory}/from-recipe")
    write(f"{t.directory}/wrong.yaml", b"checkpoint: llama\nlearningrate: 1\n")
    t.refuses("an unknown setting", BAD_INPUT, ["wrong.yaml, line 2", "learningrate", "do you mean learning-rate"], "train", "--recipe", "wrong.yaml", "-o", "no")
    write(f"{t.directory}/wrong.yaml", b"checkpoint: llama\nsteps: soon\n")
    t.refuses("a setting of another kind", BAD_INPUT, ["wrong.yaml, line 2", "whole number"], "train", "--recipe", "wrong.yaml", "-o", "no")
    write(f"{t.directory}/wrong.yaml", b"steps: [\n")
    t.refuses("a recipe that is no YAML", BAD_INPUT, ["wrong.yaml", "YAML"], "train", "--recipe", "wrong.yaml", "-o", "no")
    t.refuses("a recipe that is not there", NOT_FOUND, ["missing.yaml"], "train", "--recipe", "missing.yaml", "-o", "no")
    os.remove(f"{t.directory}/wrong.yaml")


def notes(t):
    """What a person should know though nothing is wrong."""
    begin = ["train", "bert", "--objective", "sequence-classification", "--batch-size", "4", "--steps", "2"]
    result = t.works("numbers of columns take a row of names as data", *begin, "--data", "rows.tsv", "--text-column", "1", "--label-column", "3", "-o", "numbered")
    t.check("which the labels of the new head show", 'has no head for sequence classification yet' in result.message
            and 'for the labels "bad", "good", "label", "so-so" of the data' in result.message, result)
    write(f"{t.directory}/other.tsv", b"text\tlabel\n" + b"the cat\tx\nthe dog\ty\n" * 4)
    result = t.works("a head for other labels", "train", "classify", *begin[2:], "--data", "other.tsv", "-o", "relabelled")
    t.check("is replaced, and that is said", 'own head is for the labels "bad", "good", "so-so"; made' in result.message and 'for the labels "x", "y"' in result.message, result)
    result = t.works("too few rows to hold one back", *begin, "--data", "other.tsv", "-o", "few")
    t.check("are said not to be validated", "nothing is validated" in result.message, result)
    result = t.works("a learning rate that only harms", "train", "llama", "--objective", "causal-lm", "--data", "train.txt", "--max-tokens", "16", "--steps", "12",
                     "--batch-size", "4", "--learning-rate", "30", "-o", "harmed")
    t.check("is blamed for it", "no validation was better than that before the first step" in result.message, result)
    t.works("a model in half precision", *begin, "--data", "rows.tsv", "--dtype", "float16", "-o", "half", "--quiet")
    sizes = [os.path.getsize(f"{t.directory}/{run}/last/model.safetensors") for run in ("half", "few")]
    t.check("takes half the bytes", 0.4 < sizes[0] / sizes[1] < 0.6 and json.loads(read(f"{t.directory}/half/last/config.json"))["torch_dtype"] == "float16", sizes)
    for run in ("numbered", "relabelled", "few", "harmed", "half"):
        shutil.rmtree(f"{t.directory}/{run}")


def interruptions(t):
    settings = ["train", "llama", "--objective", "causal-lm", "--data", "train.txt", "--max-tokens", "32", *LOOP, "--micro-batch", "3", "--steps", "300",
                "--validate-every", "60", "--checkpoint-every", "20"]
    t.works("a run without interruption", *settings, "-o", "whole")
    expected, lines = tensors(t, "whole"), metrics(f"{t.directory}/whole")
    source = random.Random(time.time_ns())
    for number in (signal.SIGINT, signal.SIGKILL):
        run, stops = f"stopped-{number.name}", [source.randrange(first, first + 60) for first in (5, 110, 215)]
        for index, stop in enumerate(stops):
            process = t.start(*(settings + ["-o", run] if index == 0 else ["train", "--resume", run, "--quiet", "--threads", str(1 + index % 2)]))
            reached = wait_for_lines(f"{t.directory}/{run}/metrics.jsonl", stop, process)
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
            if number == signal.SIGINT:
                t.check(f"{number.name} near step {stop} ends the run, and says how to go on", reached and process.returncode == INTERRUPTED and out == b""
                        and err.count(b"\n") == 1 and b"interrupted after step" in err and b"--resume " + run.encode() in err, (process.returncode, err))
                last = metrics(f"{t.directory}/{run}")[-1]["step"]
                t.check("no step is lost", any(name.endswith(f"{last:09}") for name in os.listdir(f"{t.directory}/{run}/checkpoints")))
            else:
                t.check(f"{number.name} near step {stop}", reached and process.returncode == -number, (process.returncode, err))
        t.works("the run goes on to its end", "train", "--resume", run, "--quiet")
        t.check(f"after {number.name} near the steps {stops} it ends with the same bits", tensors(t, run) == expected)
        t.check("and the same metrics", metrics(f"{t.directory}/{run}") == lines)
        t.check("nothing half-done is left", not [name for name in t.files(run) if "/." in name], t.files(run))
        shutil.rmtree(f"{t.directory}/{run}")
    newest = sorted(os.listdir(f"{t.directory}/whole/checkpoints"))[-1]
    path = f"{t.directory}/whole/checkpoints/{newest}/optimizer.safetensors"
    damaged = bytearray(read(path))
    damaged[-100] ^= 4
    write(path, damaged)
    result = t.works("a run whose newest checkpoint is damaged goes on from the one before", "train", "--resume", "whole")
    t.check("and says so", f"{newest}" in result.message and "damaged" in result.message and "going on after step 280" in result.message, result)
    t.check("to the same bits", tensors(t, "whole") == expected and metrics(f"{t.directory}/whole") == lines)
    result = t.works("a run that is through", "train", "--resume", "whole", "--json", "--quiet")
    t.check("tells what it came to", result.objects[0]["steps"] == 300, result)
    changed = read(f"{t.directory}/train.txt")
    write(f"{t.directory}/train.txt", changed + b"one more line\n")
    t.works("another model in the place of the first", "train", "--config", "llama/config.json", "--tokenizer", "llama", "--objective", "causal-lm", "--data", "train.txt",
            "--max-tokens", "32", *LOOP, "--steps", "1", "--seed", "9", "-o", "other", "--quiet")
    model = read(f"{t.directory}/llama/model.safetensors")
    shutil.copy(f"{t.directory}/other/last/model.safetensors", f"{t.directory}/llama/model.safetensors")
    t.refuses("a run whose first model has changed", BAD_INPUT, ["whole", "has changed"], "train", "--resume", "whole", "--quiet")
    write(f"{t.directory}/llama/model.safetensors", model)
    shutil.rmtree(f"{t.directory}/other")
    t.refuses("a run whose data has changed", BAD_INPUT, ["training.tokens", "other data"], "train", "--resume", "whole", "--quiet")
    write(f"{t.directory}/train.txt", changed)
    shutil.rmtree(f"{t.directory}/whole")


def terminal(t):
    head, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    process = t.start("train", "llama", "--objective", "causal-lm", "--data", "train.txt", "--max-tokens", "64", "--batch-size", "8", "--steps", "400",
                      "--validate-every", "200", "-o", "shown", stderr=end)
    os.close(end)
    shown = b""
    try:
        while piece := os.read(head, 4096):
            shown += piece
    except OSError:
        pass  # how a terminal says that nobody is at the other end
    os.close(head)
    lines = [line.replace(b"\r", b"") for part in shown.split(b"\n") for line in part.split(b"\x1b[K")]
    bars = [line for line in lines if line.startswith(b"train: [")]
    t.check("a terminal shows a bar with steps and loss that fits its width", process.wait() == 0 and any(b"#." in bar and b"loss" in bar for bar in bars)
            and all(len(bar) < 70 for bar in bars), shown[-2000:])
    t.check("and in the end the result alone on its line", lines[-1] == b"" and lines[-2].startswith(b"train: 400 steps"), lines[-3:])
    process = t.start("train", "llama", "--objective", "causal-lm", "--data", "train.txt", "--max-tokens", "64", "--steps", "40", "-o", "unread", stderr=subprocess.PIPE)
    process.stderr.close()
    process.stdout.read()
    t.check("training goes on when nobody reads its progress", process.wait() == 0, process.returncode)
    for name in ("shown", "unread"):
        shutil.rmtree(f"{t.directory}/{name}")


def refusals(t):
    base = ["train", "llama", "--objective", "causal-lm", "--data", "train.txt"]
    for arguments in [["train"], ["train", "llama", "-o", "no"], base, [*base, "-o", "no", "--config", "llama"], [*base, "-o", "no", "--steps", "0"],
                      [*base, "-o", "no", "--objective", "dreams"], [*base, "-o", "no", "--steps", "3", "--epochs", "2"], ["train", "--resume", "x", "--steps", "9"],
                      [*base, "-o", "no", "--momentum", "0.5"], [*base, "-o", "no", "--freeze", "no.such.name"], [*base, "-o", "no", "--max-tokens", "4000"],
                      [*base, "-o", "no", "--next-sentence"], ["train", "llama", "--objective", "causal-lm", "-o", "no"]]:
        before = t.files()
        result = t.run(*arguments)
        t.check(f"wrong usage: shrink {' '.join(arguments)}", result.code == USAGE and result.out == b"" and t.files() == before, result)
    result = t.run(*base, "-o", "no", "--patience", "2", "--validation-share", "0")
    t.check("patience without validation is refused", result.code == USAGE and "--patience" in result.message and not os.path.exists(f"{t.directory}/no"), result)
    t.refuses("a model that is not there", NOT_FOUND, ["missing"], "train", "missing", *base[2:], "-o", "no")
    t.refuses("data that is not there", NOT_FOUND, ["missing.txt"], *base[:-1], "missing.txt", "-o", "no", "--quiet")
    t.refuses("a run that is none", BAD_INPUT, ["llama", "is no run"], "train", "--resume", "llama")
    t.refuses("a directory that is not empty", BAD_INPUT, ["llama", "not empty"], *base, "-o", "llama")
    t.refuses("a run that is there already", BAD_INPUT, ["task-0", "--resume"], *base, "-o", "task-0")
    t.refuses("a place that cannot be made", INPUT_OUTPUT, ["no/such"], *base, "-o", "no/such")
    write(f"{t.directory}/empty.txt", b"")
    t.refuses("data without text", BAD_INPUT, ["empty.txt", "no text"], *base[:-1], "empty.txt", "-o", "no", "--quiet")
    write(f"{t.directory}/short.txt", b"the cat\n")
    t.refuses("data that fills no window", BAD_INPUT, ["short.txt", "too short"], *base[:-1], "short.txt", "-o", "no", "--quiet")
    t.refuses("plain text for labels", BAD_INPUT, ["train.txt", "no labels"], "train", "classify", "--objective", "sequence-classification", "--data", "train.txt", "-o", "no")
    write(f"{t.directory}/broken.tsv", b"text\tlabel\nthe cat\tgood\nthe dog\nthe mat\tbad\n")
    t.refuses("broken rows above the share", BAD_INPUT, ["broken.tsv", "line 3"], "train", "classify", "--objective", "sequence-classification", "--data", "broken.tsv",
              "-o", "no", "--quiet", "--max-bad-rows", "0")
    t.refuses("a column that is not there", BAD_INPUT, ["rows.tsv", "\"sentence\"", "\"text\""], "train", "classify", "--objective", "sequence-classification",
              "--data", "rows.tsv", "--text-column", "sentence", "-o", "no", "--quiet")
    for name in ("empty.txt", "short.txt", "broken.tsv"):
        os.remove(f"{t.directory}/{name}")
    result = t.run(*base, "-o", "diverged", "--steps", "20", "--learning-rate", "900", "--warmup", "0", "--clip", "0", "--optimizer", "sgd", "--max-tokens", "16", "--quiet")
    t.check("a loss that is no number ends the run with its step and tensor", result.code == 1 and result.message.startswith("shrink: step ")
            and "not finite" in result.message and len(result.message.splitlines()) == 1, result)
    shutil.rmtree(f"{t.directory}/diverged", ignore_errors=True)
    # A checkpoint of the tiny model takes some 200 kB, its weights a third.
    for limit in (0, 100, 30_000, 150_000):
        t.refuses(f"files that may not grow beyond {limit} bytes", INPUT_OUTPUT, ["cannot be written"], *base, "-o", "no", "--steps", "2", "--max-tokens", "16", "--quiet",
                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))


def damaged_runs(t):
    """Whatever is in the directory of a run: it is refused, or trained on; no crash, no hang."""
    t.works("a run to damage", "train", "llama", "--objective", "causal-lm", "--data", "train.txt", "--max-tokens", "16", *LOOP, "--steps", "4",
            "--validation-share", "0.01", "-o", "victim")
    root, source = f"{t.directory}/victim", random.Random(12)
    checkpoint = f"checkpoints/{os.listdir(root + '/checkpoints')[0]}"
    cases = []
    for name, count in [("recipe.yaml", 60), (f"{checkpoint}/state.json", 40), (f"{checkpoint}/weights.safetensors", 15), (f"{checkpoint}/optimizer.safetensors", 15),
                        ("data/training.tokens", 30), ("metrics.jsonl", 5)]:
        whole = read(f"{root}/{name}")
        for _ in range(count):
            data = bytearray(whole)
            data[source.randrange(len(data))] ^= 1 << source.randrange(8)
            cases.append((f"{name}, a bit", len(cases), name, bytes(data)))
        for cut in (0, 1, len(whole) // 2, len(whole) - 1):
            cases.append((f"{name}, cut to {cut} bytes", len(cases), name, whole[:cut]))

    def attempt(case):
        _, number, name, data = case
        place = f"{root}-{number}"
        shutil.copytree(root, place)
        write(f"{place}/{name}", data)
        result = t.run("train", "--resume", place, "--quiet", "--threads", "1")
        shutil.rmtree(place)
        return result

    t.sweep("damage anywhere in a run does no harm", cases, attempt, minimum_refused=100)
    shutil.rmtree(root)


def full_disk(t):
    disk = f"{t.directory}/disk"
    os.makedirs(disk, exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2400k", "tmpfs", disk], capture_output=True).returncode != 0:
        print("note  a small disk cannot be mounted here; the limit on file sizes stands for it")
        return
    try:
        settings = ["train", "llama", "--objective", "causal-lm", "--data", "train.txt", "--max-tokens", "32", *LOOP, "--steps", "600", "--checkpoint-every", "10",
                    "--validation-share", "0", "-o", "disk/run"]
        process = t.start(*settings)
        wait_for_lines(f"{disk}/run/metrics.jsonl", 25, process)
        status = os.statvfs(disk)
        write(f"{disk}/filler", bytes(max(0, status.f_bavail * status.f_frsize - 40_000)))
        out, err = process.communicate(timeout=20)
        t.check("a disk that is full while checkpointing ends the run", process.returncode == INPUT_OUTPUT and b"No space" in err and err.count(b"\n") == 1,
                (process.returncode, err))
        left = os.listdir(f"{disk}/run/checkpoints")
        t.check("the checkpoints before it are there, and nothing else", len(left) in (1, 2) and all(name.startswith("step-") for name in left), left)
        os.remove(f"{disk}/filler")
        t.works("with room again the run goes on", "train", "--resume", "disk/run", "--quiet")
        t.works("a run on a large disk", *settings[:-1], "roomy")
        t.check("to the same bits", read(f"{disk}/run/last/model.safetensors") == read(f"{t.directory}/roomy/last/model.safetensors"))
        shutil.rmtree(f"{t.directory}/roomy")
    finally:
        subprocess.run(["umount", disk], check=True)


def check(t):
    data(t)
    objectives(t)
    recipes(t)
    notes(t)
    interruptions(t)
    terminal(t)
    refusals(t)
    damaged_runs(t)
    full_disk(t)
