"""Prints size, quality and speed of two checkpoints and their artifacts; called by Tools/quickstart."""
import json
import os
import subprocess
import sys
import tempfile
import time

shrink, minilm, minilm_artifact, smollm, smollm_artifact = sys.argv[1:]
samples = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Samples", "text")
sentences = os.path.join(samples, "sentences.txt")


def ask(*arguments):
    quiet = [] if arguments[0] == "inspect" else ["--quiet"]
    output = subprocess.run([shrink, *arguments, "--json", *quiet], check=True, stdout=subprocess.PIPE).stdout
    return [json.loads(line) for line in output.splitlines()]


def size(path):
    return os.path.getsize(path) / 2**20


def embedding_time(model):
    """Milliseconds for one sentence, without starting the process: many against few."""
    lines = open(sentences, encoding="utf-8").read().splitlines()

    def seconds(count):
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            file.write("\n".join(lines[:count]) + "\n")
            file.flush()
            start = time.monotonic()
            ask("embed", model, "--file", file.name)
            return time.monotonic() - start

    few, many = 20, 200
    return min((seconds(many) - seconds(few)) / (many - few) for _ in range(3)) * 1000


text = os.path.join(samples, "prose.txt")
agreement = ask("compare", minilm_artifact, minilm, "--texts", sentences)[0]
before = ask("eval", smollm, "--perplexity", text, "--context", "512")[0]
after = ask("eval", smollm_artifact, "--perplexity", text, "--context", "512")[0]
decode = ask("run", smollm_artifact, "--prompt", " ".join(open(text, encoding="utf-8").read().split()[:400]), "--max-tokens", "128")[0]



def in_fp32(model):
    return f"{ask('inspect', model)[0]['parameters'] * 4 / 2**20:.1f} MiB"


rows = [
    ("model", "form", "size", "quality", "speed"),
    ("all-MiniLM-L6-v2", "checkpoint in fp32", in_fp32(minilm), "the reference", f"{embedding_time(minilm):.2f} ms a sentence"),
    ("", "artifact, w8a8", f"{size(minilm_artifact):.1f} MiB",
     f"cosine {agreement['mean_cosine']:.4f}, same neighbour {agreement['same_nearest_neighbour'] * 100:.1f} %",
     f"{embedding_time(minilm_artifact):.2f} ms a sentence"),
    ("SmolLM2-135M-Instruct", "checkpoint in fp32", in_fp32(smollm), f"perplexity {before['perplexity']:.2f}",
     f"{before['tokens'] / before['seconds']:.0f} tokens/s in"),
    ("", "its GGUF file", f"{size(smollm):.1f} MiB", "the same", ""),
    ("", "artifact, w8a8", f"{size(smollm_artifact):.1f} MiB", f"perplexity {after['perplexity']:.2f}",
     f"{after['tokens'] / after['seconds']:.0f} tokens/s in, {decode['decode_tokens_per_second']:.0f} out"),
]
widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
print()
for row in rows:
    print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
