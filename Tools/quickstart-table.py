"""Prints size, quality and speed of checkpoints and their artifacts; called by Tools/quickstart.

quickstart-table.py SHRINK [KIND NAME CHECKPOINT ARTIFACT TEXT CONTEXT]…, KIND language-model or encoder.
"""
import json
import os
import subprocess
import sys
import tempfile
import time

shrink, *models = sys.argv[1:]


def ask(*arguments):
    output = subprocess.run([shrink, *arguments, "--json", "--quiet"], check=True, stdout=subprocess.PIPE).stdout
    return [json.loads(line) for line in output.splitlines()]


def size(path):
    return f"{os.path.getsize(path) / 2**20:.1f} MiB"


def size_in_fp32(checkpoint):
    return f"{ask('inspect', checkpoint)[0]['parameters'] * 4 / 2**20:.1f} MiB"


def embedding_time(model, texts):
    """For one sentence, without starting the process: many against few."""
    lines = open(texts, encoding="utf-8").read().splitlines()

    def seconds(count):
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.write("\n".join(lines[:count]) + "\n")
            file.flush()
            start = time.monotonic()
            ask("embed", model, "--file", file.name)
            return time.monotonic() - start

    few, many = 20, 200
    return f"{min((seconds(many) - seconds(few)) / (many - few) for _ in range(3)) * 1000:.2f} ms a sentence"


def encoder(name, checkpoint, artifact, texts, _):
    agreement = ask("compare", artifact, checkpoint, "--texts", texts)[0]
    yield name, "in fp32", size_in_fp32(checkpoint), "the reference", embedding_time(checkpoint, texts)
    quality = f"cosine {agreement['mean_cosine']:.4f}, same neighbour {agreement['same_nearest_neighbour'] * 100:.1f} %"
    yield "", "artifact, w8a8", size(artifact), quality, embedding_time(artifact, texts)


def language_model(name, checkpoint, artifact, text, context):
    before, after = (ask("eval", model, "--perplexity", text, "--context", context)[0] for model in (checkpoint, artifact))
    prompt = " ".join(open(text, encoding="utf-8").read().split()[:int(context) // 4])
    decode = max(ask("run", artifact, "--prompt", prompt, "--max-tokens", "128")[0]["decode_tokens_per_second"] for _ in range(3))
    yield name, "in fp32", size_in_fp32(checkpoint), f"perplexity {before['perplexity']:.2f}", f"{before['tokens'] / before['seconds']:.0f} tokens/s in"
    speed = f"{after['tokens'] / after['seconds']:.0f} tokens/s in, {decode:.0f} out"
    yield "", "artifact, w8a8", size(artifact), f"perplexity {after['perplexity']:.2f}", speed


rows = [("model", "form", "size", "quality", "speed")]
for kind, *model in zip(*[iter(models)] * 6):
    rows += (encoder if kind == "encoder" else language_model)(*model)
widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
print()
for row in rows:
    print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
