"""Runs shrink and its peers in turns and prints what they reach; started by Tools/compare-peers.

Every engine is a process of its own for each number of threads, with its model loaded. In a round each
measurement is made by all engines, one after the other, before the next one is made: A B C A B C …, every
round beginning with another engine. A measurement is one run that does not count and then the median of a few; figures are
medians over the rounds. With one thread a process is pinned to a core. Percent of the limit: of int8 operations
for prefill and embedding, of bytes read from memory for decode, of what the model in int8 must do at least, against
what `shrink bench` measures in the same rounds with as many threads. An engine that fails is left out and named.
"""
import argparse
import collections
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import engines
import prepare
from processes import Failed, Peer, Shrink, lines, worker

PROMPT = "The capital of France is"
DECODE = 32

parser = argparse.ArgumentParser(prog="Tools/compare-peers", description="Measure shrink beside its peers.")
parser.add_argument("--json", action="store_true", help="one JSON object a line instead of the tables")
parser.add_argument("--rounds", type=int, help="default: 9, with --quick 3")
parser.add_argument("--quick", action="store_true", help="few rounds and no quality: under three minutes once the models are made")
parser.add_argument("--skip", action="append", default=[], choices=["minilm", "smollm2", "start", "quality"])
options = parser.parse_args()
rounds = options.rounds or (3 if options.quick else 9)
if rounds < 1:
    parser.error("--rounds must be positive")
if options.quick:
    options.skip.append("quality")


def note(text):
    print(text, file=sys.stderr, flush=True)


def say(text):
    if not options.json:
        print(text, flush=True)


def record(**members):
    if options.json:
        print(json.dumps(members), flush=True)


def complain(name, error):
    note(f"compare-peers: {name} is left out: {error}")
    record(failed=name, reason=str(error))


class Disturbance:
    """Processor time that everything else took meanwhile, in percent of the machine."""

    def __init__(self):
        self.begin = self.now()

    @staticmethod
    def now():
        user, nice, system, idle, wait, *rest = map(int, open("/proc/stat").readline().split()[1:])
        return (user + nice + system + sum(rest[:3])) / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4]), time.monotonic()

    def show(self):
        """After the processes of the comparison have ended: theirs is known then."""
        (busy, begin), (others, end) = self.begin, self.now()
        percent = max(0, 100 * (others - busy) / (end - begin) / os.cpu_count())
        say(f"\nother processes took {percent:.0f} % of the machine meanwhile" + ("; do not trust these figures" if percent > 5 else ""))
        record(disturbance_percent=percent)


def machine():
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    isa = next(row["isa"] for row in lines([prepare.SHRINK, "cpu", "--json"]) if row["selected"])
    installed = {package.metadata["Name"].replace("_", "-").lower(): package.version for package in importlib.metadata.distributions()}
    names = ["ai-edge-litert", "openvino", "nncf", "onnxruntime", "ctranslate2", "llama-cpp-python", "transformers", "torch"]
    versions = {name: installed[name] for name in names if name in installed}
    say(f"{cpu}, {os.cpu_count()} cores, {isa}")
    say(", ".join(f"{name} {version}" for name, version in versions.items()))
    record(cpu=cpu, cores=os.cpu_count(), isa=isa, versions=versions)


class Comparison:
    """One model in shrink's form and in those of its peers: {name: (engine, file)}."""

    def __init__(self, title, artifact, task, requests, candidates, best_of=()):
        self.title, self.artifact, self.task, self.requests, self.best_of = title, artifact, task, requests, best_of
        self.unit = "tokens/s" if task == "prefill" else "ms"
        self.peers = {}
        for name, (engine, model) in candidates.items():
            try:
                self.peers[name] = engine, prepare.peer_model(model)
            except prepare.Unavailable as error:
                complain(name, error)
        self.times, self.limits, self.shrink = collections.defaultdict(list), collections.defaultdict(list), {}

    def measure(self, threads_list):
        running = {}
        for threads in threads_list:
            self.shrink[threads] = running["shrink", threads] = Shrink(self.artifact, threads, self.task)
            for name, (engine, model) in list(self.peers.items()):
                try:
                    running[name, threads] = Peer(engine, model, threads)
                except Failed as error:
                    self.drop(name, error, running)
        try:
            for index in range(rounds):
                for threads in threads_list:
                    self.limits[threads].append(self.shrink[threads].limits())
                    for request in self.requests:
                        names = ["shrink", *self.peers]
                        turn = index % len(names)
                        for name in names[turn:] + names[:turn]:
                            self.ask(name, threads, request, running)
                note(f"{self.title}: round {index + 1} of {rounds}")
        finally:
            for process in running.values():
                process.end()

    def ask(self, name, threads, request, running):
        try:
            milliseconds = running[name, threads].measure(request)
            self.times[name, threads, self.key(request)].append(milliseconds)
        except Failed as error:
            if name == "shrink":
                raise
            self.drop(name, error, running)

    def drop(self, name, error, running):
        complain(name, error)
        self.peers.pop(name, None)
        for key in [key for key in running if key[0] == name]:
            running.pop(key).end()

    def key(self, request):
        return (self.task, request["read"]) if "read" in request else ("decode", request["decode"])

    def percent(self, threads, key, milliseconds):
        """Of the limit: the best that was seen of it in this run."""
        operations, bytes_read = self.shrink[threads].work[key]
        int8, read = (max((each[i] or 0 for each in self.limits[threads])) for i in (0, 1))
        work, limit = (bytes_read, read) if key[0] == "decode" else (operations, int8)
        return 100 * work / (milliseconds * 1e-3) / limit if limit else None

    def show(self):
        for threads, values in self.limits.items():
            int8, read = (max((each[i] or 0 for each in values)) for i in (0, 1))
            say(f"\n{self.title}, limits with {threads} thread{'s' * (threads > 1)}: {int8 * 1e-9:.0f} GOPS of int8, {read * 1e-9:.1f} GB/s read")
            record(model=self.title, threads=threads, int8_operations_per_second=int8, read_bytes_per_second=read)
        say(f"{self.title}, {self.unit}, percent of the limit; (×) how many times as fast shrink is")
        best = bool(set(self.best_of) & set(self.peers))
        columns = ["shrink", *self.peers]
        say("".ljust(26) + "".join(f"{name:>22}" for name in columns) + ("   to the best of the first two" if best else ""))
        for threads in self.limits:
            for key in dict.fromkeys(key for _, each, key in self.times if each == threads):
                self.show_row(threads, key, columns, best)

    def show_row(self, threads, key, columns, best):
        task, tokens = key
        found = {name: statistics.median(self.times[name, threads, key]) for name in columns}
        each = 1 if task == "decode" else tokens
        text = f"  {task} {'at depth ' if task == 'decode' else ''}{tokens}".ljust(23) + f"T{threads} "
        for name, milliseconds in found.items():
            shown = f"{milliseconds:.2f}" if self.unit == "ms" else f"{each / milliseconds * 1e3:.0f}"
            percent, ratio = self.percent(threads, key, milliseconds), milliseconds / found["shrink"]
            cell = f"{shown}{f' {percent:3.0f}%' if percent else ''}" + (f" ({ratio:.2f}×)" if name != "shrink" else "")
            text += f"{cell:>22}"
            record(model=self.title, engine=name, task=task, tokens=tokens, threads=threads, milliseconds=milliseconds,
                   rounds=len(self.times[name, threads, key]), tokens_per_second=each / milliseconds * 1e3, percent_of_limit=percent,
                   shrink_times_as_fast=ratio)
        if best:
            ratio = min(found[name] for name in self.best_of if name in found) / found["shrink"]
            text += f"{f'({ratio:.2f}×)':>31}"
            record(model=self.title, best_of=self.best_of, task=task, tokens=tokens, threads=threads, shrink_times_as_fast=ratio)
        say(text)


def minilm():
    reads = [{"read": length, "seconds": 0.1 if options.quick else 0.2, "most": 100} for length in engines.SHAPES]
    return Comparison("MiniLM-L6", prepare.artifact("minilm", prepare.minilm()), "embed", reads, {
        "LiteRT int8": ("litert", "minilm-litert"), "OpenVINO int8": ("openvino", "minilm-openvino"),
        "onnxruntime int8": ("onnxruntime", "minilm-int8.onnx"), "CTranslate2 int8": ("ctranslate2-encoder", "minilm-ctranslate2"),
    }, ("LiteRT int8", "OpenVINO int8"))


def smollm2():
    requests = [{"read": 128, "seconds": 9, "most": 3}, {"read": 512, "seconds": 9, "most": 1 if options.quick else 2},
                {"decode": 16, "count": DECODE}, {"decode": 512, "count": DECODE}]
    return Comparison("SmolLM2-135M", prepare.artifact("smollm2", prepare.smollm2()), "prefill", requests, {
        "CTranslate2 int8": ("ctranslate2", "smollm2-ctranslate2"), "llama.cpp Q8_0": ("llama.cpp", "smollm2-q8_0.gguf")})


# -- Start --

def once(command):
    """Milliseconds and peak memory of a process from its start to its end, and what it says of its imports."""
    begin = time.monotonic()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise Failed(f"exit code {process.returncode}")
    row = {"milliseconds": (time.monotonic() - begin) * 1e3, "rss_bytes": usage.ru_maxrss * 1024}
    imported = next((json.loads(line) for line in output.splitlines() if "imported_at" in line), None)
    if imported:
        row |= {"imports_milliseconds": (imported["imported_at"] - begin) * 1e3, "imports_rss_bytes": imported["imported_rss_bytes"]}
    return row


def start(commands):
    """From the start of a process to its end, with one embedding or token made; warm page cache."""
    rows = collections.defaultdict(list)
    for index in range(rounds + 1):
        for name, command in list(commands.items()):
            try:
                row = once(command)
            except Failed as error:
                complain(f"the start of {name}", error)
                commands.pop(name)
                continue
            if index > 0:
                rows[name].append(row)
    say("\nWhole process to the first result, 1 thread, warm page cache (of it Python and its imports)")
    for name in commands:
        row = {key: statistics.median(each[key] for each in rows[name]) for key in rows[name][0]}
        text = f"  {name:34}{row['milliseconds']:6.0f} ms {row['rss_bytes'] / 2**20:6.0f} MiB"
        if "imports_milliseconds" in row:
            text += f"   ({row['imports_milliseconds']:.0f} ms, {row['imports_rss_bytes'] / 2**20:.0f} MiB)"
        say(text)
        record(start=name, **row)


def starts(comparisons):
    commands = {}
    sentence = open(prepare.SENTENCES).readline().strip()
    for each in comparisons:
        if each.task == "embed":
            ours, text, tokenizer = ["embed", each.artifact, "--text", sentence], sentence, prepare.minilm() / "tokenizer.json"
        else:
            ours, text = ["run", each.artifact, "--prompt", PROMPT, "--max-tokens", 1], PROMPT
            tokenizer = prepare.smollm2_tokenizer() if any(engine == "ctranslate2" for engine, _ in each.peers.values()) else ""
        commands[f"shrink {ours[0]}"] = [prepare.SHRINK, *ours, "--threads", 1, "--json"]
        commands[f"shrink {ours[0]} --no-verify"] = [*commands[f"shrink {ours[0]}"], "--no-verify"]
        for name, (engine, model) in each.peers.items():
            commands[f"{name}, {each.title}"] = worker("first", engine, model, text, tokenizer if engine != "llama.cpp" else "")
    start(commands)


# -- Quality --

def quality(comparison):
    """Cosines to transformers in fp32, and how often the nearest other sentence is the same one."""
    import numpy
    import torch
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    path = prepare.minilm() / "tokenizer.json"
    tokenizer, model = engines.load_tokenizer(str(path)), prepare.reference()
    with torch.no_grad():
        ids = [torch.tensor([tokenizer.encode(line.strip()).ids]) for line in open(prepare.SENTENCES)]
        exact = numpy.array([model(one, torch.ones_like(one))[0].numpy() for one in ids], dtype=numpy.float64)

    def nearest(vectors):
        similarity = vectors @ vectors.T
        numpy.fill_diagonal(similarity, -2)
        return similarity.argmax(axis=1)

    say(f"\nMiniLM-L6 embeddings of {len(ids)} sentences against transformers in fp32")
    candidates = {"shrink w8a8": [prepare.SHRINK, "embed", comparison.artifact, "--file", prepare.SENTENCES, "--json", "--quiet"]}
    candidates |= {name: worker("embed", engine, model, prepare.SENTENCES, path) for name, (engine, model) in comparison.peers.items()}
    for name, command in candidates.items():
        try:
            vectors = numpy.array([row["embedding"] for row in lines(command)], dtype=numpy.float64)
        except Failed as error:
            complain(f"the quality of {name}", error)
            continue
        norms = numpy.linalg.norm(vectors, axis=1) * numpy.linalg.norm(exact, axis=1)
        cosines = (vectors * exact).sum(axis=1) / norms
        same = float((nearest(vectors / numpy.linalg.norm(vectors, axis=1)[:, None]) == nearest(exact)).mean())
        say(f"  {name:28} cosine mean {cosines.mean():.5f}, minimum {cosines.min():.4f}; same nearest neighbour {same:.3f}")
        record(quality=name, mean_cosine=cosines.mean(), minimum_cosine=cosines.min(), same_nearest_neighbour=same)


def main():
    machine()
    threads = [1, 2] if len(os.sched_getaffinity(0)) > 1 else [1]
    comparisons = [make() for name, make in (("minilm", minilm), ("smollm2", smollm2)) if name not in options.skip]
    disturbance = Disturbance()
    for comparison in comparisons:
        comparison.measure(threads)
        comparison.show()
    if "start" not in options.skip:
        starts(comparisons)
    if "quality" not in options.skip:
        for comparison in comparisons:
            if comparison.task == "embed":
                try:
                    quality(comparison)
                except ImportError as error:
                    complain("the quality", error)
    disturbance.show()


try:
    main()
except (Failed, prepare.Unavailable) as error:
    sys.exit(f"compare-peers: {error}")
except subprocess.TimeoutExpired as error:
    sys.exit(f"compare-peers: no answer from {error.cmd[0]} in {error.timeout:.0f} seconds")
