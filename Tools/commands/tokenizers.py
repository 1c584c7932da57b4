"""Training tokenizers."""

import gzip
import json
import os
import random
import resource
import signal
import time

from checkpoints import write
from harness import BAD_INPUT, INPUT_OUTPUT, INTERRUPTED, NOT_FOUND, USAGE

KEYS = {"output", "kind", "vocabulary", "merges", "words", "distinct_words", "lines", "bad_lines", "seconds", "peak_rss_bytes"}
TRAIN = ["tokenizer", "train"]


def content(t, directory):
    names = sorted(os.listdir(f"{t.directory}/{directory}"))
    return {name: open(f"{t.directory}/{directory}/{name}", "rb").read() for name in names}


def check(t):
    source = random.Random(3)
    words = ["".join(source.choice("abcdefgh") for _ in range(source.randint(1, 9))) for _ in range(40_000)]
    text = "\n".join(" ".join(source.choice(words) for _ in range(12)) for _ in range(20_000)).encode() + b"\n"
    write(f"{t.directory}/text.txt", text[:100_000].rsplit(b"\n", 1)[0] + b"\n")
    write(f"{t.directory}/long-text.txt", text)
    write(f"{t.directory}/text.gz", gzip.compress(open(f"{t.directory}/text.txt", "rb").read()))

    result = t.run(*TRAIN, "--help")
    t.check("shrink tokenizer train --help is readable: fits 80 columns", result.code == 0 and result.text.startswith("OVERVIEW: ")
            and all(len(line) <= 80 for line in result.text.splitlines() if not line.startswith("USAGE")), result)
    for kind, files in [("bpe", ["tokenizer.json", "tokenizer_config.json"]), ("wordpiece", ["tokenizer.json", "tokenizer_config.json", "vocab.txt"])]:
        result = t.works(f"train a {kind} tokenizer", *TRAIN, "text.txt", "-o", kind, "--kind", kind, "--vocabulary-size", 500, "--json", "--quiet")
        t.check("one object with the documented keys, and nothing else",
                len(result.objects) == 1 and set(result.objects[0]) == KEYS and result.objects[0]["vocabulary"] == 500 and result.err == b"", result)
        t.check("its files and no others", list(content(t, kind)) == files, content(t, kind).keys())
        t.check("they are JSON with 500 tokens", len(json.loads(content(t, kind)["tokenizer.json"])["model"]["vocab"]) == 500)
        t.works("train on the same text, compressed", *TRAIN, "text.gz", "-o", "same-text", "--kind", kind, "--vocabulary-size", 500, "--quiet")
        t.check("the same bytes", {name: content(t, "same-text")[name] for name in files} == content(t, kind))
    result = t.works("a vocabulary that the text does not fill", *TRAIN, "text.txt", "-o", "full", "--kind", "bpe", "--vocabulary-size", 100_000)
    t.check("it says so", "note: the text gives only" in result.message, result)

    base = [*TRAIN, "text.txt", "-o", "refused", "--vocabulary-size"]
    for arguments in [TRAIN, [*TRAIN, "text.txt"], [*base, "500"], [*base, "0", "--kind", "bpe"], [*base, "500", "--kind", "unigram"],
                      [*base, "500", "--kind", "bpe", "--limit-alphabet", "9"], [*base, "500", "--kind", "bpe", "--min-frequency", "0"]]:
        t.check(f"wrong usage: shrink {' '.join(arguments)}", t.run(*arguments).code == USAGE)
    kind = ["--kind", "bpe"]
    t.refuses("a vocabulary below the alphabet", BAD_INPUT, ["200 is too small", "257"], *base, "200", *kind)
    t.refuses("a special token given twice", BAD_INPUT, ["<x>", "twice"], *base, "500", *kind, "--special-tokens", "<x>,<x>")
    hostile = {"empty": b"", "blank": b" \n\t\n", "binary": bytes(source.randrange(256) for _ in range(100_000)), "zeros": bytes(100_000),
               "utf16": "text\n".encode("utf-16") * 1000, "word": b"a" * 2_000_000, "cut.gz": gzip.compress(text)[:-9],
               "bomb.gz": gzip.compress(bytes([97]) * (300 << 20))}
    words = {"empty": "no text", "blank": "no text", "binary": "binary, line", "zeros": "zero byte", "utf16": "utf16, line 1", "word": "65536",
             "cut.gz": "gzip", "bomb.gz": "256 times"}
    for name, data in hostile.items():
        write(f"{t.directory}/{name}", data)
        t.refuses(f"text that is none: {name}", BAD_INPUT, [words[name]], *TRAIN, name, "-o", "refused", "--kind", "wordpiece", "--vocabulary-size", "500", "--quiet")
        os.remove(f"{t.directory}/{name}")
    t.refuses("a file that is not there", NOT_FOUND, ["missing.txt"], *TRAIN, "text.txt", "missing.txt", "-o", "refused", *kind, "--vocabulary-size", "500")
    t.refuses("a directory with another tokenizer's vocabulary", INPUT_OUTPUT, ["wordpiece has vocab.txt of another"], *TRAIN, "text.txt", "-o", "wordpiece", *kind,
              "--vocabulary-size", "500", "--quiet")
    t.refuses("a directory as text", INPUT_OUTPUT, ["not a regular file"], *TRAIN, "bpe", "-o", "refused", *kind, "--vocabulary-size", "500")
    for target in ["text.txt", "no/such/place"]:
        t.refuses(f"{target} as output", INPUT_OUTPUT, [target, "cannot be written"], *TRAIN, "text.txt", "-o", target, *kind, "--vocabulary-size", "500")
    for limit in (0, 5000):
        t.refuses(f"files that may not grow beyond {limit} bytes", INPUT_OUTPUT, ["cannot be written"], *TRAIN, "text.txt", "-o", "bpe", *kind,
                  "--vocabulary-size", "700", "--quiet", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))

    for number in (signal.SIGINT, signal.SIGTERM):
        for delay in (0.05, 0.3):
            before = t.files()
            process = t.start(*TRAIN, *["long-text.txt"] * 40, "-o", "stopped", *kind, "--vocabulary-size", "60000", "--quiet")
            time.sleep(delay)
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
            t.check(f"{number.name} after {delay} s stops the training and leaves nothing", process.returncode == INTERRUPTED and out == b""
                    and b"interrupted" in err and t.files() == before and not os.path.exists(f"{t.directory}/stopped"), (process.returncode, err))
