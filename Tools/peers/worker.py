"""One process that runs one peer, for Tools/compare-peers.

    worker.py serve ENGINE MODEL THREADS             answers requests, one JSON object a line, until its input ends
    worker.py first ENGINE MODEL TEXT TOKENIZER      goes from a text to the first embedding or token
    worker.py embed ENGINE MODEL FILE TOKENIZER      writes the embeddings of a file's lines

Requests: {"read": TOKENS, "seconds": LIMIT, "most": RUNS} is answered by {"milliseconds": median, "runs": …};
{"decode": DEPTH, "count": TOKENS} by {"milliseconds": of one token, "runs": …}.
"""
import importlib
import json
import statistics
import sys
import time

import engines


def made_up(count, vocabulary):
    return [i * 2654435761 % 2**32 % vocabulary for i in range(count)]


def say(**members):
    print(json.dumps(members), flush=True)


def peak_rss():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))


def read(engine, tokens, limit, most):
    """Runs once for nothing, then until the time is up."""
    run, seconds = engine.prepare(made_up(tokens, engine.vocabulary)), []
    run()
    while not seconds or (sum(seconds) < limit and len(seconds) < most):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    say(milliseconds=statistics.median(seconds) * 1e3, runs=len(seconds))


def serve(engine):
    say(ready=True)
    for line in sys.stdin:
        request = json.loads(line)
        if "read" in request:
            read(engine, request["read"], request["seconds"], request["most"])
        else:
            depth, count = request["decode"], request["count"]
            seconds = engine.decode(made_up(depth + count, engine.vocabulary), depth, count)
            say(milliseconds=seconds * 1e3, runs=count)


def first(kind, model, text, tokenizer):
    importlib.import_module(kind.module)
    if tokenizer:
        importlib.import_module("tokenizers")
    say(imported_at=time.monotonic(), imported_rss_bytes=peak_rss())
    engine = kind(model, 1)
    ids = engine.tokenize(text, tokenizer)
    engine.prepare(ids)()
    say(tokens=len(ids))


def embed(engine, path, tokenizer):
    tokenizer = engines.load_tokenizer(tokenizer)
    for line in open(path):
        say(embedding=[float(x) for x in engine.prepare(tokenizer.encode(line.strip()).ids)()])


action, engine, model, *rest = sys.argv[1:]
kind = engines.ENGINES[engine]
if action == "serve":
    serve(kind(model, int(rest[0])))
elif action == "first":
    first(kind, model, *rest)
else:
    embed(kind(model, 1), *rest)
