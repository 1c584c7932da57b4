"""Runs shrink and its peers in turns and prints what they reach; started by Tools/compare-peers.

Every figure is the median over the rounds; in a round each engine runs once in a process of its own
(loaded, warmed up, its median taken), one after the other: A B C A B C … With one thread the process is
pinned to a core. Percent of the limit is against what Tools/bench/limits.c measures between the rounds:
for prefill and embedding int8 operations (two for a product of the linear layers and of attention), for
decode the bytes of weights and of the int8 key-value rows that a token must read.
"""
import argparse
import collections
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import prepare

ROOT = prepare.ROOT
WORKER = ROOT / "Tools/peers/worker.py"
SENTENCES = ROOT / "Samples/text/sentences.txt"
PROMPT = "The capital of France is"
DECODE = 32

parser = argparse.ArgumentParser(prog="Tools/compare-peers", description="Measure shrink beside its peers.")
parser.add_argument("--json", action="store_true", help="one JSON object a line instead of the tables")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--skip", action="append", default=[], choices=["minilm", "smollm2", "start", "quality"])
options = parser.parse_args()
medians = lambda lists: {key: statistics.median(values) for key, values in lists.items()}  # noqa: E731


def note(text):
    print(text, file=sys.stderr, flush=True)


def say(text):
    if not options.json:
        print(text, flush=True)


def record(**members):
    if options.json:
        print(json.dumps(members), flush=True)


def lines(command, threads=None):
    """The JSON lines that a command prints; pinned when it has one thread."""
    pinned = ["taskset", "-c", str(max(os.sched_getaffinity(0)))] if threads == 1 else []
    done = subprocess.run([*pinned, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"compare-peers: {command[0]} failed: {done.stderr.strip()[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def worker(action, engine, model, *rest):
    return [sys.executable, WORKER, action, engine, model, *rest]


# -- What there is --

def peers():
    missing = [name for name in ("onnxruntime", "onnx", "torch", "transformers", "llama_cpp") if importlib.util.find_spec(name) is None]
    if missing:
        note(f"missing: {', '.join(missing)}; going on without (Tools/setup --peers installs them)")
    return not set(missing) - {"llama_cpp"}, "llama_cpp" not in missing


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    isa = next(row["isa"] for row in lines([prepare.SHRINK, "cpu", "--json"]) if row["selected"])
    installed = {package.metadata["Name"].replace("_", "-"): package.version for package in importlib.metadata.distributions()}
    versions = {name: installed[name] for name in ("onnxruntime", "llama-cpp-python", "transformers", "torch") if name in installed}
    say(f"{cpu}, {os.cpu_count()} cores, {isa}")
    say(", ".join(f"{name} {version}" for name, version in versions.items()))
    record(cpu=cpu, cores=os.cpu_count(), isa=isa, versions=versions)
    return isa


class Limits:
    """int8 operations and memory reads a second, measured again in every round."""

    def __init__(self, isa):
        self.isa, self.gops, self.read = isa, collections.defaultdict(list), collections.defaultdict(list)

    def measure(self, threads):
        for row in lines([ROOT / ".build/bench-kernels/limits", threads], threads):
            if row.get("isa") == self.isa:
                self.gops[threads].append(row["gops"])
            if "read_gb_per_second" in row:
                self.read[threads].append(row["read_gb_per_second"])

    def show(self):
        self.gops, self.read = medians(self.gops), medians(self.read)
        for threads, read in self.read.items():
            gops = self.gops.get(threads)
            say(f"limits with {threads} thread{'s' * (threads > 1)}: {f'{gops:.0f} GOPS of int8, ' if gops else ''}{read:.1f} GB/s read")
            record(limit=True, threads=threads, isa=self.isa, gops=gops, read_gb_per_second=read)


class Disturbance:
    """Processor time that everything else took meanwhile, in percent of the machine."""

    def __init__(self):
        self.begin = self.now()

    @staticmethod
    def now():
        user, nice, system, idle, wait, *rest = map(int, open("/proc/stat").readline().split()[1:])
        return (user + nice + system + sum(rest[:3])) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4]), time.monotonic()

    def show(self):
        (busy, begin), (others, end) = self.begin, self.now()
        percent = max(0, 100 * (others - busy) / (end - begin) / os.cpu_count())
        say(f"other processes took {percent:.0f} % of the machine meanwhile" + ("; do not trust these figures" if percent > 5 else ""))
        record(disturbance_percent=percent)


# -- Speed --

def measure(engines, limits, threads_list):
    """Medians in milliseconds by (engine, threads, task, tokens), and the peak memory by engine."""
    times, memory = collections.defaultdict(list), collections.defaultdict(list)
    for round_index in range(options.rounds):
        for threads in threads_list:
            limits.measure(threads)
            for name, command in engines.items():
                for row in lines([*command, "--threads", threads], threads):
                    times[name, threads, row["task"], row["tokens"]].append(row["milliseconds"])
                    memory[name].append(row["peak_rss_bytes"])
        note(f"round {round_index + 1} of {options.rounds}")
    return medians(times), {name: max(values) for name, values in memory.items()}


def minilm_products(tokens, config):
    d, f = config["hidden_size"], config["intermediate_size"]
    return config["num_hidden_layers"] * (tokens * (4 * d * d + 2 * d * f) + 2 * d * tokens * tokens)


SMOLLM2 = {"layers": 30, "d": 576, "kv": 192, "f": 1536, "vocabulary": 49152, "head": 64}


def smollm2_weights():
    m = SMOLLM2
    return m["layers"] * (2 * m["d"] ** 2 + 2 * m["d"] * m["kv"] + 3 * m["d"] * m["f"])


def smollm2_products(tokens):
    """Of a prefill: the head for the last token only, attention to the positions before."""
    m = SMOLLM2
    return tokens * smollm2_weights() + m["layers"] * m["d"] * tokens * (tokens + 1) + m["d"] * m["vocabulary"]


def smollm2_bytes(position):
    """That a decoded token reads at least: int8 weights with the head, keys and values in rows of head + 16 bytes."""
    m = SMOLLM2
    row = m["head"] + 16
    return smollm2_weights() + m["d"] * m["vocabulary"] + m["layers"] * 2 * m["kv"] // m["head"] * row * position


def percent_of_limit(model, task, tokens, threads, milliseconds, limits, config):
    if task == "decode":
        return 100 * smollm2_bytes(tokens + DECODE / 2) / (milliseconds * 1e6) / limits.read[threads]
    products = minilm_products(tokens, config) if model == "MiniLM-L6" else smollm2_products(tokens)
    return 100 * 2 * products / (milliseconds * 1e6) / limits.gops[threads] if threads in limits.gops else None


def table(model, engines, times, memory, limits, config=None):
    """A row for each measurement; shrink first, the others with shrink's speed as a multiple of theirs."""
    unit = "ms" if model == "MiniLM-L6" else "tokens/s"
    say(f"\n{model}, {unit}; (×) how many times as fast shrink is")
    say(f"  {'':24}{'shrink w8a8':>12}{'of limit':>9}" + "".join(f"{name:>28}" for name in list(engines)[1:]))
    for _, threads, task, tokens in [key for key in times if key[0] == "shrink"]:
        mine = times["shrink", threads, task, tokens]
        each = 1 if task == "decode" else tokens
        shown = lambda ms: f"{ms:.2f}" if unit == "ms" else f"{each / ms * 1e3:.0f}"  # noqa: E731
        percent = percent_of_limit(model, task, tokens, threads, mine, limits, config)
        text = f"  {task} {'behind ' if task == 'decode' else ''}{tokens}".ljust(20) + f"T{threads}".ljust(6)
        text += f"{shown(mine):>12}" + (f"{percent:8.0f}%" if percent else f"{'':9}")
        for name in list(engines)[1:]:
            theirs = times[name, threads, task, tokens]
            text += f"{shown(theirs):>20} ({theirs / mine:.2f}×)".rjust(28)
            record(model=model, engine=name, task=task, tokens=tokens, threads=threads, milliseconds=theirs,
                   tokens_per_second=each / theirs * 1e3, shrink_times_as_fast=theirs / mine)
        say(text)
        record(model=model, engine="shrink", task=task, tokens=tokens, threads=threads, milliseconds=mine,
               tokens_per_second=each / mine * 1e3, percent_of_limit=percent)
    say("  peak memory, MiB".ljust(26) + f"{memory['shrink'] / 2**20:12.0f}{'':9}"
        + "".join(f"{memory[name] / 2**20:28.0f}" for name in list(engines)[1:]))
    for name, peak in memory.items():
        record(model=model, engine=name, peak_rss_bytes=peak)


# -- Start --

def start(commands):
    """From the start of a process to its end, with one embedding or token made; warm page cache."""
    rows = collections.defaultdict(lambda: collections.defaultdict(list))
    for round_index in range(options.rounds + 1):
        for name, command in commands.items():
            begin = time.monotonic()
            process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            output = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            end = time.monotonic()
            if process.returncode != 0:
                sys.exit(f"compare-peers: {name} failed")
            if round_index == 0:
                continue
            rows[name]["milliseconds"].append((end - begin) * 1e3)
            rows[name]["rss_bytes"].append(usage.ru_maxrss * 1024)
            imported = next((json.loads(line) for line in output.splitlines() if "imported_at" in line), None)
            if imported:
                rows[name]["imports_milliseconds"].append((imported["imported_at"] - begin) * 1e3)
                rows[name]["imports_rss_bytes"].append(imported["imported_rss_bytes"])
    say("\nWhole process to the first result, 1 thread, warm page cache (of it Python and its imports)")
    for name, values in rows.items():
        row = medians(values)
        text = f"  {name:40}{row['milliseconds']:6.0f} ms {row['rss_bytes'] / 2**20:6.0f} MiB"
        if "imports_milliseconds" in row:
            text += f"   ({row['imports_milliseconds']:.0f} ms, {row['imports_rss_bytes'] / 2**20:.0f} MiB)"
        say(text)
        record(start=name, **row)


# -- Quality --

def quality(candidates, directory):
    """Cosines to transformers in fp32, and how often the nearest other sentence is the same one."""
    import numpy
    import torch
    import transformers
    from tokenizers import Tokenizer
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    model = prepare.reference()
    with torch.no_grad():
        ids = [torch.tensor([tokenizer.encode(line.strip()).ids]) for line in open(SENTENCES)]
        exact = numpy.array([model(one, torch.ones_like(one))[0].numpy() for one in ids], dtype=numpy.float64)

    def nearest(vectors):
        similarity = vectors @ vectors.T
        numpy.fill_diagonal(similarity, -2)
        return similarity.argmax(axis=1)

    say(f"\nMiniLM-L6 embeddings of {len(ids)} sentences against transformers in fp32")
    for name, command in candidates.items():
        vectors = numpy.array([row["embedding"] for row in lines(command)], dtype=numpy.float64)
        cosines = (vectors * exact).sum(axis=1) / numpy.linalg.norm(vectors, axis=1) / numpy.linalg.norm(exact, axis=1)
        same = float((nearest(vectors) == nearest(exact)).mean())
        say(f"  {name:28} cosine mean {cosines.mean():.5f}, minimum {cosines.min():.4f}; same nearest neighbour {same:.3f}")
        record(quality=name, mean_cosine=cosines.mean(), minimum_cosine=cosines.min(), same_nearest_neighbour=same)


def main():
    has_onnx, has_llama = peers()
    limits, disturbance = Limits(machine()), Disturbance()
    bench = lambda model, *rest: [prepare.SHRINK, "bench", model, "--json", *rest]  # noqa: E731
    threads_list = [1, 2] if len(os.sched_getaffinity(0)) > 1 else [1]
    starts, candidates, tables = {}, {}, []

    if not {"minilm", "start", "quality"} <= set(options.skip):
        directory = prepare.minilm()
        packed = prepare.artifact("minilm", directory)
        sizes = ["--tokens", 16, 64, 128]
        sentence = open(SENTENCES).readline().strip()
        engines = {"shrink": bench(packed, *(part for n in sizes[1:] for part in ("--tokens", n)), "--rounds", 30)}
        starts["shrink embed"] = [prepare.SHRINK, "embed", packed, "--text", sentence, "--threads", 1, "--json"]
        starts["shrink embed --no-verify"] = [*starts["shrink embed"], "--no-verify"]
        candidates["shrink w8a8"] = [prepare.SHRINK, "embed", packed, "--file", SENTENCES, "--json", "--quiet"]
        if has_onnx:
            for name, model in (("onnxruntime int8", prepare.peer_model("minilm-int8.onnx")), ("onnxruntime fp32", prepare.peer_model("minilm.onnx"))):
                engines[name] = worker("bench", "onnx", model, *sizes, "--rounds", 30)
                starts[name] = worker("first", "onnx", model, "--text", sentence, "--tokenizer", directory / "tokenizer.json")
                candidates[name] = worker("embed", "onnx", model, "--file", SENTENCES, "--tokenizer", directory / "tokenizer.json")
        if "minilm" not in options.skip:
            tables.append(("MiniLM-L6", engines, *measure(engines, limits, threads_list), json.load(open(directory / "config.json"))))

    if not {"smollm2", "start"} <= set(options.skip):
        packed = prepare.artifact("smollm2", prepare.smollm2())
        sizes = ["--tokens", 128, 512]
        engines = {"shrink": bench(packed, "--tokens", 128, "--tokens", 512, "--decode", DECODE, "--rounds", 3)}
        starts["shrink run"] = [prepare.SHRINK, "run", packed, "--prompt", PROMPT, "--max-tokens", 1, "--threads", 1, "--json"]
        starts["shrink run --no-verify"] = [*starts["shrink run"], "--no-verify"]
        if has_llama:
            for name, model in (("llama.cpp Q8_0", prepare.peer_model("smollm2-q8_0.gguf")), ("llama.cpp Q4_1 (the file)", prepare.smollm2())):
                engines[name] = worker("bench", "llama", model, *sizes, "--decode", DECODE, "--rounds", 3)
                starts[name] = worker("first", "llama", model, "--text", PROMPT)
        if "smollm2" not in options.skip:
            tables.append(("SmolLM2-135M", engines, *measure(engines, limits, threads_list)))

    limits.show()
    for model, engines, times, memory, *config in tables:
        table(model, engines, times, memory, limits, *config)
    if "start" not in options.skip:
        start(starts)
    if "quality" not in options.skip and has_onnx:
        quality(candidates, directory)
    disturbance.show()


main()
