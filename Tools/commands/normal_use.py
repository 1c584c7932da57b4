"""What the commands do when all is well."""

import hashlib
import gzip
import json
import math
import os
import shutil
import subprocess

from checkpoints import bert, recurrent, write
from harness import NOT_FOUND, USAGE

COMMANDS = ["inspect", "quantize", "run", "embed", "classify", "eval", "compare", "bench", "train", "distill", "tokenizer", "plot", "cpu"]
PROMPT = ["--prompt", "the cat in the hat", "--max-tokens", "24"]


def help_texts(t):
    result = t.works("shrink --help", "--help")
    t.check("it documents every exit code", all(f"{code} " in result.text for code in (0, 1, 64, 65, 66, 69, 74, 130)), result)
    t.check("it lists every command", all(f"  {command} " in result.text for command in COMMANDS), result)
    for command in COMMANDS:
        result = t.run(command, "--help")
        body = [line for line in result.text.splitlines() if not line.startswith("USAGE")]
        # An option without a word about it would be the last thing on its line.
        options = [at for at, line in enumerate(body) if line.startswith("  -") or line.startswith("  <")]
        bare = [body[at] for at in options if len(body[at].split("  ", 2)) < 2 and not body[at + 1].startswith("    ")]
        bare = [line for line in bare if "   " not in line.strip()]
        t.check(f"shrink {command} --help is readable: fits 80 columns, says what every option is",
                result.code == 0 and result.err == b"" and result.text.startswith("OVERVIEW: ") and not bare
                and all(len(line) <= 80 for line in body), f"{bare} {result}")
    t.check("shrink without a command shows the help", "SUBCOMMANDS" in t.run().text)
    t.check("shrink --version", t.run("--version").text.strip() != "")
    for arguments in [["no-such-command"], ["quantize"], ["run", "x.shrink"], ["embed", "x.shrink", "--no-such-option"],
                      ["quantize", "llama", "-o", "x.shrink", "--scheme", "w1a1"], ["eval", "x.shrink"],
                      ["run", "x.shrink", "--prompt", "a", "--temperature", "-1"], ["embed", "x", "--threads", "0"],
                      ["run", "x.shrink", "--prompt", "a", "--max-tokens", "0"], ["run", "x.shrink", "--prompt", "a", "--top-p", "nan"]]:
        result = t.run(*arguments)
        t.check(f"wrong usage: shrink {' '.join(arguments)}", result.code == USAGE and result.out == b"" and result.err, result)


def quantizing(t):
    for checkpoint, artifact, scheme in [
        ("llama", "llama.shrink", "w8a8"), ("llama", "llama-fp32.shrink", "fp32"), ("tiny.gguf", "gguf.shrink", "w8a8"),
        ("bert", "bert.shrink", "w8a8"), ("bert", "bert-fp32.shrink", "fp32"), ("classify", "classify.shrink", "w8a8"),
        ("tag", "tag.shrink", "w8a8"),
    ]:
        t.works(f"quantize {checkpoint} to {scheme}", "quantize", checkpoint, "-o", artifact, "--scheme", scheme)
    result = t.works("quantize --json --quiet", "quantize", "llama", "-o", "again.shrink", "--json", "--quiet")
    keys = {"output", "scheme", "architecture", "bytes", "checkpoint_bytes", "weights", "seconds", "peak_rss_bytes"}
    t.check("it prints one object with the documented keys, and nothing else",
            len(result.objects) == 1 and set(result.objects[0]) == keys and result.err == b"", result)
    t.check("it tells the size of the file", result.objects[0]["bytes"] == os.path.getsize(f"{t.directory}/again.shrink"), result)
    same = open(f"{t.directory}/llama.shrink", "rb").read() == open(f"{t.directory}/again.shrink", "rb").read()
    t.check("two runs of quantize write the same bytes", same)
    t.works("quantize replaces an artifact", "quantize", "llama", "-o", "again.shrink", "--scheme", "fp32")
    t.check("the new one is there", os.path.getsize(f"{t.directory}/again.shrink") == os.path.getsize(f"{t.directory}/llama-fp32.shrink"))
    os.remove(f"{t.directory}/again.shrink")
    t.works("quantize --context", "quantize", "llama", "-o", "short.shrink", "--context", "16", "--quiet")
    t.check("no temporary files are left", not [name for name in t.files() if ".new" in name or ".weights" in name or "tmp" in name], t.files())
    for artifact in ["llama.shrink", "bert-fp32.shrink", "classify.shrink"]:
        path = f"{t.directory}/{artifact}"
        listed = subprocess.run(["tar", "tf", path], capture_output=True, text=True).stdout.split()
        expected = ["manifest.json", "program", "weights", "tokenizer", "selftest", "SHA256SUMS"]
        t.check(f"tar lists the entries of {artifact} in order", [name for name in listed if name in expected] == expected, listed)
        os.makedirs(f"{path}.d")
        subprocess.run(["tar", "xf", path, "-C", f"{path}.d"], check=True)
        sums = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=f"{path}.d", capture_output=True, text=True)
        t.check(f"sha256sum -c accepts {artifact}", sums.returncode == 0 and sums.stdout.count(": OK") == len(listed) - 1, sums)
    licence = open(f"{t.directory}/llama/LICENSE", "rb").read()
    t.check("licence and model card go along", open(f"{t.directory}/llama.shrink.d/LICENSE", "rb").read() == licence
            and os.path.exists(f"{t.directory}/llama.shrink.d/README.md"))
    manifest = json.load(open(f"{t.directory}/llama.shrink.d/manifest.json"))
    digest = hashlib.sha256(open(f"{t.directory}/llama/model.safetensors", "rb").read()).hexdigest()
    t.check("the manifest names source, hash and licence",
            manifest["source"][0]["sha256"] == digest and manifest["license"] == "apache-2.0", manifest)


def inspecting(t):
    shared = {"kind", "architecture", "vocabulary", "positions", "weights_bytes", "entry_points"}
    for model in ["llama", "bert", "tiny.gguf", "llama.shrink", "bert-fp32.shrink", "classify.shrink", "tag.shrink", "gguf.shrink"]:
        result = t.works(f"inspect {model} --json --tensors", "inspect", model, "--json", "--tensors")
        kind = "artifact" if model.endswith(".shrink") else "checkpoint"
        own = {"manifest"} if kind == "artifact" else {"bytes_by_operation"}
        found = result.objects
        t.check("one object with the documented keys", len(found) == 1 and (shared | own) <= set(found[0]) and found[0]["kind"] == kind
                and all({"name", "context", "chunk", "session_bytes"} <= set(entry) for entry in found[0]["entry_points"]), result)
    result = t.works("inspect a checkpoint with graph, tensors and refusals", "inspect", "llama", "--graph", "--tensors", "--why")
    t.check("the graph is there", "entry point generate" in result.text and "model.layers.1.mlp.down_proj.weight" in result.text, result)
    t.check("inspect --json --why --graph is one object", len(t.run("inspect", "llama", "--json", "--why", "--graph").objects) == 1)
    for artifact in ["llama.shrink", "bert.shrink", "tag.shrink"]:
        result = t.works(f"inspect --self-test {artifact}", "inspect", artifact, "--self-test", "--json")
        t.check("it passes", result.objects[0]["self_test"] is True, result)
    small, large = (t.run("inspect", "llama.shrink", "--json", "--context", n).objects[0]["entry_points"][0] for n in (8, 128))
    t.check("inspect --context predicts less memory for less context", small["session_bytes"] < large["session_bytes"], (small, large))
    for wrong in (["--graph"], ["--scheme", "fp32"], ["--context", "1000000"]):
        t.refuses(f"inspect {wrong[0]} where it has no sense", USAGE, [wrong[0]], "inspect", "llama.shrink", *wrong)
    t.refuses("quantize of an artifact", USAGE, ["already an artifact"], "quantize", "llama.shrink", "-o", "again.shrink")


def instruction_sets(t):
    """The ones that run here."""
    result = t.works("cpu --json", "cpu", "--json")
    found = result.objects
    t.check("one object a line with the documented keys", all(set(each) == {"isa", "status", "selected"} for each in found)
            and [each["selected"] for each in found].count(True) == 1, result)
    ready = [each["isa"] for each in found if each["status"] == "ready"]
    t.check("cpu lists the same", len(t.works("cpu", "cpu").text.splitlines()) == len(found))
    result = t.run("cpu", "--json", env={"SHRINK_ISA": "scalar"})
    t.check("SHRINK_ISA selects", [each["isa"] for each in result.objects if each["selected"]] == ["scalar"], result)
    result = t.run("cpu", env={"SHRINK_ISA": "bogus"})
    t.check("cpu lists what there is before it refuses SHRINK_ISA=bogus",
            result.code == USAGE and b"scalar" in result.out and "SHRINK_ISA=bogus" in result.message, result)
    for command in [["run", "llama.shrink", *PROMPT], ["embed", "bert.shrink", "--text", "a"],
                    ["inspect", "bert.shrink", "--self-test"]]:
        t.refuses(f"SHRINK_ISA=bogus is refused by {command[0]}", USAGE, ["SHRINK_ISA=bogus", "shrink cpu"], *command,
                  env={"SHRINK_ISA": "bogus"})
    absent = [each["isa"] for each in found if each["status"] != "ready"]
    if absent:
        result = t.run("cpu", env={"SHRINK_ISA": absent[0]})
        t.check(f"SHRINK_ISA={absent[0]}, which is not here, is refused", result.code == 69, result)
    return ready


def running(t, ready):
    plain = t.works("run", "run", "llama.shrink", *PROMPT)
    t.check("it says how fast on standard error", "tokens/s" in plain.message, plain)
    quiet = t.works("run --quiet", "run", "llama.shrink", *PROMPT, "--quiet")
    t.check("it is silent and prints the same text", quiet.err == b"" and quiet.out == plain.out, quiet)
    result = t.works("run --json", "run", "llama.shrink", *PROMPT, "--json")
    keys = {"prompt", "text", "prompt_tokens", "tokens", "stop", "prefill_tokens_per_second", "decode_tokens_per_second",
            "file_bytes", "predicted_session_bytes", "predicted_peak_bytes", "peak_rss_bytes"}
    t.check("one object with the documented keys", len(result.objects) == 1 and set(result.objects[0]) == keys, result)
    t.check("its peak memory is within 4 MiB above the prediction",
            0 < result.objects[0]["peak_rss_bytes"] <= result.objects[0]["predicted_peak_bytes"] + (4 << 20), result)
    t.check("its text is what streams", result.objects[0]["text"] + "\n" == plain.out.decode(errors="replace"), (result, plain))

    seeded = ["run", "llama.shrink", *PROMPT, "--quiet", "--temperature", "1.3", "--top-k", "40", "--top-p", "0.95"]
    first = t.run(*seeded, "--seed", "7")
    t.check("the same seed gives the same text", first.code == 0 and first.out == t.run(*seeded, "--seed", "7").out, first)
    t.check("another seed gives another", first.out != t.run(*seeded, "--seed", "8").out)
    for isa in ready:
        for threads in (1, 2, 3):
            result = t.run(*seeded, "--seed", "7", "--threads", threads, env={"SHRINK_ISA": isa})
            t.check(f"the same text on {isa} with {threads} threads", result.out == first.out and result.code == 0, result)
    for model in ["llama-fp32.shrink", "gguf.shrink"]:
        t.works(f"run {model}", "run", model, *PROMPT)
    chat = t.works("run --chat", "run", "llama.shrink", "--chat", *PROMPT, "--json")
    t.check("the chat format makes the prompt longer", chat.objects[0]["prompt_tokens"] > 20, chat)
    t.works("run --chat --system", "run", "llama.shrink", "--chat", "--system", "be brief", *PROMPT)
    result = t.works("run to the end of the context", "run", "short.shrink", "--prompt", "the cat", "--max-tokens", 1000, "--json",
                     "--temperature", "2", "--seed", "3")
    t.check("it stops there", result.objects[0]["stop"] in ("context", "end"), result)
    for number in (2**31, 2**63 - 1):
        result = t.run("run", "llama.shrink", "--prompt", "the", "--max-tokens", number, "--json")
        t.check(f"--max-tokens {number} is as many as fit", result.code == 0, result)
    t.refuses("a prompt longer than the context", 65, ["prompt", "context"], "run", "short.shrink", "--prompt", "the " * 40)
    t.refuses("an empty prompt", USAGE, ["prompt"], "run", "llama.shrink", "--prompt", "")
    t.refuses("run of an encoder", 65, ["bert.shrink", "embed"], "run", "bert.shrink", *PROMPT)
    result = t.run("run", "llama.shrink", "--prompt", b"\xff\xfe the", "--max-tokens", "4")
    t.check("a prompt of invalid UTF-8 does no harm", result.code in (0, USAGE), result)
    result = t.run("run", "llama", *PROMPT)
    t.check("run of a checkpoint says what to do", result.code == 65 and "quantize" in result.message, result)


TEXTS = ["the cat sat on the mat", "", "  ", "a red dog ran", "The Blue CATS!", "naïve 日本 😀", "x" * 300, "cat " * 100]


def embedding(t, ready):
    lines = "".join(text + "\n" for text in TEXTS).encode()
    write(f"{t.directory}/texts.txt", lines)
    write(f"{t.directory}/windows.txt", lines.replace(b"\n", b"\r\n"))
    write(f"{t.directory}/no-newline.txt", lines[:-1])
    write(f"{t.directory}/mark.txt", b"\xef\xbb\xbf" + lines)
    result = t.works("embed lines of standard input", "embed", "bert.shrink", "--json", input=lines)
    found = result.objects
    t.check("one object a line with the documented keys, the text as given",
            [each["text"] for each in found] == TEXTS and all(set(each) == {"text", "embedding"} for each in found), result)
    t.check("vectors are of length 1", all(abs(sum(x * x for x in each["embedding"]) - 1) < 1e-5 for each in found))
    t.check("a note tells of the texts that were cut", result.message.count("cut to 16 tokens") == 1, result)
    t.check("a long text is cut, not refused", len(found[-1]["embedding"]) == 32)
    quiet = t.run("embed", "bert.shrink", "--json", "--quiet", input=lines)
    t.check("embed --quiet is silent", quiet.err == b"" and quiet.out == result.out, quiet)
    for file in ["texts.txt", "windows.txt", "no-newline.txt", "mark.txt"]:
        t.check(f"embed --file {file} gives the same", t.run("embed", "bert.shrink", "--json", "--file", file).out == result.out)
    texts = [option for text in TEXTS for option in ("--text", text)]
    t.check("embed --text gives the same", t.run("embed", "bert.shrink", "--json", *texts).out == result.out)
    for isa in ready:
        for threads in (1, 2, 3):
            other = t.run("embed", "bert.shrink", "--json", "--threads", threads, input=lines, env={"SHRINK_ISA": isa})
            t.check(f"the same bytes on {isa} with {threads} threads", other.out == result.out, other)
    plain = t.works("embed as numbers", "embed", "bert.shrink", input=lines)
    t.check("32 numbers a line", [len(line.split(" ")) for line in plain.text.splitlines()] == [32] * len(TEXTS), plain)

    def close(a, b):
        return all(sum(x * y for x, y in zip(one["embedding"], other["embedding"])) > 0.98 for one, other in zip(a, b))

    whole = t.works("embed with a checkpoint in fp32", "embed", "bert", "--json", input=lines).objects
    t.check("it is close to w8a8", len(whole) == len(found) and close(whole, found))
    packed = t.works("embed with an fp32 artifact", "embed", "bert-fp32.shrink", "--json", input=lines).objects
    t.check("it is equal to the checkpoint but for rounding",
            all(abs(x - y) < 1e-5 for one, other in zip(whole, packed) for x, y in zip(one["embedding"], other["embedding"])))
    t.check("no input gives no output", t.run("embed", "bert.shrink").out == b"")
    strange = b"\xff\xfe cat \xc3\x28\n\x00 dog\n\xed\xa0\x80\n"
    result = t.works("embed invalid UTF-8", "embed", "bert.shrink", "--json", input=strange)
    t.check("one valid object a line", len(result.objects) == 3, result)
    huge = t.run("embed", "bert.shrink", "--json", input=b"cat " * 500_000)
    t.check("a line of 2 MB is cut", huge.code == 0 and len(huge.objects[0]["embedding"]) == 32, huge.err[:300])
    result = t.run("embed", "bert.shrink", "--text", "a", "--file", "texts.txt")
    t.check("--text with --file is wrong usage", result.code == USAGE, result)
    t.refuses("embed --file of a file that is not there", NOT_FOUND, ["absent.txt"], "embed", "bert.shrink", "--file", "absent.txt")
    t.refuses("embed --file of a directory", 74, ["bert"], "embed", "bert.shrink", "--file", "bert")
    t.refuses("embed with a language model", 65, ["inspect"], "embed", "llama.shrink", "--text", "a")
    t.works("a model cut to fewer positions than its special tokens need", "quantize", "bert", "-o", "one.shrink", "--context", "1")
    result = t.run("embed", "one.shrink", "--text", "the cat")
    t.check("it refuses texts with an error", result.code == 65 and len(result.message.splitlines()) == 1, result)
    os.remove(f"{t.directory}/one.shrink")


def classifying(t):
    result = t.works("classify", "classify", "classify.shrink", "--json", "--text", TEXTS[0], "--text", "", "--text", TEXTS[-1])
    found = result.objects
    t.check("one object a line with the documented keys", len(found) == 3
            and all(set(each) == {"text", "label", "scores"} and set(each["scores"]) == {"bad", "good", "so-so"} for each in found), result)
    t.check("scores add up to 1 and the label has the highest", all(
        abs(sum(each["scores"].values()) - 1) < 1e-6 and max(each["scores"], key=each["scores"].get) == each["label"] for each in found))
    plain = t.works("classify without --json", "classify", "classify.shrink", "--text", TEXTS[0]).text.strip().split("\t")
    t.check("label, tab, probability", plain[0] == found[0]["label"] and abs(float(plain[1]) - found[0]["scores"][plain[0]]) < 1e-4, plain)
    t.check("the checkpoint gives the same label", t.run("classify", "classify", "--json", "--text", TEXTS[0]).objects[0]["label"] == plain[0])
    pair = t.works("classify --pair", "classify", "classify.shrink", "--json", "--text", "the cat", "--pair", "a dog")
    t.check("the pair is in the object", pair.objects[0]["pair"] == "a dog", pair)
    result = t.run("classify", "classify.shrink", "--text", "the cat", "--pair", "dog " * 50)
    t.check("a pair that is too long is refused", result.code == 65 and len(result.message.splitlines()) == 1, result)
    result = t.works("classify tokens", "classify", "tag.shrink", "--json", "--text", "the cats")
    tokens = result.objects[0]["tokens"]
    t.check("one object with the documented keys", set(result.objects[0]) == {"text", "tokens"}
            and all(set(each) == {"token", "label", "score"} for each in tokens), result)
    t.check("the tokens are those of the text", [each["token"] for each in tokens] == ["[CLS]", "the", "cat", "##s", "[SEP]"], tokens)
    plain = t.works("classify tokens without --json", "classify", "tag.shrink", "--text", "the cats", "--text", "dog")
    t.check("lines of three columns, an empty line after each text",
            [line.count("\t") for line in plain.text.split("\n")] == [2] * 5 + [0] + [2] * 3 + [0, 0], plain)
    bert(f"{t.directory}/rank", "classify", ["relevant"])
    t.works("quantize a model with one label", "quantize", "rank", "-o", "rank.shrink", "--quiet")
    scores = [t.works(f"classify with one label, {model}", "classify", model, "--json", "--text", TEXTS[0]).objects[0]["scores"]["relevant"]
              for model in ["rank", "rank.shrink"]]
    t.check("one label alone is scored by itself", all(0 < score < 1 for score in scores) and abs(scores[0] - scores[1]) < 0.02, scores)
    shutil.copytree(f"{t.directory}/rank", f"{t.directory}/grade")
    with open(f"{t.directory}/grade/config.json") as file:
        config = json.load(file) | {"problem_type": "regression"}
    write(f"{t.directory}/grade/config.json", json.dumps(config).encode())
    t.works("quantize a regression", "quantize", "grade", "-o", "grade.shrink", "--quiet")
    values = [t.run("classify", model, "--text", "the cat", "--json").objects[0]["scores"]["relevant"] for model in ["grade", "grade.shrink"]]
    probability = t.run("classify", "rank", "--text", "the cat", "--json").objects[0]["scores"]["relevant"]
    t.check("a regression gives its value, of which the probability is the sigmoid",
            abs(1 / (1 + math.exp(-values[0])) - probability) < 1e-6 and abs(values[1] - values[0]) < 0.05, (values, probability))
    bert(f"{t.directory}/classes", "classify", ["cat", "dog", "hat"])
    t.works("quantize a classifier", "quantize", "classes", "-o", "classes.shrink", "--quiet")
    texts = ["the cat", "dogs in the hat", "a", "the cat in the hat", "the dog and the cat"]
    labels = [each["label"] for each in t.run("classify", "classes.shrink", "--json", *[word for text in texts for word in ("--text", text)]).objects]
    wrong = next(label for label in ("cat", "dog", "hat") if label != labels[4])
    write(f"{t.directory}/labelled.tsv", "".join(f"{text}\t{label}\n" for text, label in
                                                zip(["sentence", *texts], ["kind", *labels[:4], wrong])).encode())
    arguments = ["eval", "classes.shrink", "--classification", "labelled.tsv", "--text-column", "sentence", "--label-column"]
    result = t.works("eval of a classifier", *arguments, "kind", "--json").objects[0]
    t.check("accuracy is that of what classify says", result["accuracy"] == 0.8 and result["rows"] == 5 and 0 < result["f1"] < 1, result)
    with open(f"{t.directory}/labelled.tsv") as file:
        rows = file.read().replace("\tcat", "\t0").replace("\tdog", "\t1").replace("\that", "\t2")
    write(f"{t.directory}/numbered.tsv", rows.encode())
    by_number = t.works("eval with numbers of labels", "eval", "classes.shrink", "--classification", "numbered.tsv", *arguments[4:], "kind", "--json").objects[0]
    t.check("is the same", by_number == result and "\t0" in rows, (by_number, result))
    write(f"{t.directory}/labelled.tsv", b"sentence\tkind\nthe cat\tcat\nthe dog\tbird\n")
    t.refuses("eval with a label that the model does not have", 65, ["labelled.tsv, line 3", "bird", "cat, dog, hat"], *arguments, "kind")
    t.refuses("eval with a column that is not there", 65, ["labelled.tsv", "colour"], *arguments, "colour")
    t.refuses("eval of labels with an embedder", 65, ["does not classify"], "eval", "bert.shrink", *arguments[2:], "kind")
    source = f"{t.directory}/rank/model.safetensors"
    before = open(source, "rb").read()
    t.refuses("quantize onto its own input", USAGE, ["model.safetensors"], "quantize", "rank", "-o", "rank/model.safetensors")
    os.symlink("rank.shrink", f"{t.directory}/link.shrink")
    t.refuses("quantize onto a symbolic link", 74, ["link.shrink"], "quantize", "rank", "-o", "link.shrink")
    t.check("neither was touched", open(source, "rb").read() == before and os.path.islink(f"{t.directory}/link.shrink"))
    t.refuses("a self-test of a checkpoint", USAGE, ["--self-test"], "inspect", "bert", "--self-test")
    t.refuses("a context longer than the model's", USAGE, ["--context 99999"], "quantize", "bert", "-o", "long.shrink", "--context", "99999")
    t.refuses("weights without their directory", 65, ["model.safetensors", "directory"], "inspect", "rank/model.safetensors")
    t.refuses("a checkpoint that is not there", NOT_FOUND, ["nowhere", "No such file"], "inspect", "nowhere")
    t.refuses("classify with an encoder", 65, ["inspect"], "classify", "bert.shrink", "--text", "a")


def recurrent_models(t, ready):
    recurrent(f"{t.directory}/lstm", "lstm", width=37)
    recurrent(f"{t.directory}/both-ways", "gru", "ForSequenceClassification", ["bad", "good"])
    recurrent(f"{t.directory}/lstm-tags", "lstm", "ForTokenClassification", ["O", "B-X"])
    for model in ["lstm", "both-ways", "lstm-tags"]:
        t.works(f"quantize {model}", "quantize", model, "-o", f"{model}.shrink", "--quiet")
        result = t.works(f"inspect {model}.shrink", "inspect", f"{model}.shrink", "--self-test", "--json")
        t.check("its self-test passes", result.objects[0]["self_test"] is True, result)
    result = t.run("inspect", "lstm.shrink", "--json").objects[0]
    t.check("a recurrent language model has no longest context",
            result["positions"] is None and all(entry["context"] is None for entry in result["entry_points"]), result)
    short = t.run("inspect", "lstm.shrink", "--json", "--context", "128").objects[0]
    t.check("and its memory does not depend on one",
            [entry["session_bytes"] for entry in short["entry_points"]] == [entry["session_bytes"] for entry in result["entry_points"]], short)
    seeded = ["run", "lstm.shrink", "--prompt", "the cat", "--max-tokens", "700", "--quiet", "--temperature", "1.1", "--seed", "5"]
    first = t.works("run a recurrent language model", *seeded)
    for isa in ready:
        for threads in (1, 2):
            result = t.run(*seeded, "--threads", threads, env={"SHRINK_ISA": isa})
            t.check(f"the same text on {isa} with {threads} threads", result.out == first.out and result.code == 0, result)
    result = t.works("run to an asked-for context", "run", "lstm.shrink", "--prompt", "the cat", "--context", "40", "--json")
    t.check("it stops there", result.objects[0]["stop"] in ("context", "end"), result)
    write(f"{t.directory}/counted.txt", " ".join(map(str, range(900))).encode())
    values = [t.works(f"eval of {model}", "eval", model, "--perplexity", "counted.txt", "--json").objects[0]["perplexity"]
              for model in ["lstm", "lstm.shrink"]]
    t.check("the artifact is as good as the checkpoint", abs(values[0] - values[1]) < 0.01 * values[0], values)
    scores = [t.works(f"classify with {model}", "classify", model, "--json", "--text", TEXTS[0], "--text", "dog").objects
              for model in ["both-ways", "both-ways.shrink"]]
    t.check("the scores are those of the checkpoint", all(
        abs(one["scores"]["good"] - other["scores"]["good"]) < 0.02 for one, other in zip(*scores)), scores)
    tokens = t.works("classify tokens both ways", "classify", "lstm-tags.shrink", "--json", "--text", "the cat").objects[0]["tokens"]
    t.check("the tokens are those of the text", [each["token"] for each in tokens] == ["the", " ", "c", "a", "t"], tokens)
    for model in ["lstm.shrink", "lstm-tags.shrink"]:
        result = t.works(f"bench {model}", "bench", model, "--json", "--rounds", "1", "--tokens", "8", "--threads", "1", "--no-limits")
        t.check("it measures", any(each["task"] in ("prefill", "tag") for each in result.objects), result)
    t.refuses("a language model that reads both ways", 65, ["bidirectional"], "inspect", backwards(t))


def backwards(t):
    path = f"{t.directory}/backwards"
    recurrent(path, "rnn")
    with open(f"{path}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    with open(f"{path}/config.json", "w", encoding="utf-8") as file:
        json.dump(config | {"bidirectional": True}, file)
    return "backwards"


def benching(t):
    speed = {"task", "tokens", "threads", "isa", "runs", "p50_milliseconds", "p90_milliseconds", "p99_milliseconds", "mean_milliseconds",
             "fastest_milliseconds", "tokens_per_second", "percent_of_int8_limit", "percent_of_memory_limit", "millijoules",
             "int8_operations", "memory_bytes"}
    keys = {
        "machine": {"task", "cpu", "cores", "cache_bytes", "file_bytes", "energy", "energy_absence"},
        "start": {"task", "threads", "isa", "tokens", "milliseconds", "verified_milliseconds", "session_bytes", "rss_bytes", "peak_rss_bytes"},
        "limits": {"task", "threads", "isa", "pinned_cpu", "int8_operations_per_second", "read_bytes_per_second"},
        "prefill": speed, "decode": speed, "embed": speed}
    for model, options, tasks in [
            ("llama.shrink", ["--depth", "16,20"], ["prefill", "decode", "decode"]), ("bert.shrink", [], ["embed"])]:
        found = t.works(f"bench {model}", "bench", model, "--tokens", "8", "--decode", "4", "--rounds", "2", "--threads", "1,2", "--json", *options).objects
        expected = ["machine", "start", "start", "limits", "limits", *tasks, *tasks]
        t.check("one object for each measurement with the documented keys", [each["task"] for each in found] == expected
                and all(set(each) == keys[each["task"]] for each in found), found)
        rows = [each for each in found if "p50_milliseconds" in each]
        t.check("percentiles in order, and both thread counts", {row["threads"] for row in rows} == {1, 2} and all(
            0 < row["fastest_milliseconds"] <= row["p50_milliseconds"] <= row["p90_milliseconds"] <= row["p99_milliseconds"]
            and row["mean_milliseconds"] > 0.999 * row["fastest_milliseconds"] for row in rows), rows)
        start = next(each for each in found if each["task"] == "start")
        t.check("memory and the size of the file", 0 < start["session_bytes"] < start["rss_bytes"] <= start["peak_rss_bytes"]
                and found[0]["file_bytes"] == os.path.getsize(f"{t.directory}/{model}"), found)
    result = t.works("bench with the scalar kernels", "bench", "bert.shrink", "--isa", "scalar", "--tokens", "4", "--rounds", "1",
                     "--no-limits", "--no-start", "--threads", "1", "--json")
    t.check("no limits, no start, and that instruction set", [each["task"] for each in result.objects] == ["machine", "embed"]
            and result.objects[1]["isa"] == "scalar" and result.objects[1]["percent_of_int8_limit"] is None, result)
    table = t.works("bench as a table", "bench", "llama.shrink", "--tokens", "8", "--depth", "8", "--decode", "2", "--rounds", "1", "--threads", "1", "--quiet")
    t.check("a heading, a line for each task, and silence beside", "p50 ms" in table.text and "\nprefill" in table.text and "\ndecode" in table.text
            and table.err == b"", table)
    t.refuses("bench with an instruction set that is none", USAGE, ["--isa vax", "shrink cpu"], "bench", "bert.shrink", "--isa", "vax")
    absent = [row["isa"] for row in t.run("cpu", "--json").objects if row["status"] != "ready"]
    t.refuses("bench with an instruction set that is not here", 69, [f"--isa {absent[0]}", "shrink cpu"], "bench", "bert.shrink", "--isa", absent[0])
    t.refuses("bench beyond the context", USAGE, ["room for"], "bench", "llama.shrink", "--tokens", "9999999")
    t.check("bench with threads that are no numbers is wrong usage", t.run("bench", "bert.shrink", "--threads", "1,two").code == USAGE)


def evaluating(t):
    write(f"{t.directory}/corpus.txt", ("the cat in the hat sat on the mat. " * 60).encode())
    for model in ["llama", "llama.shrink", "llama-fp32.shrink", "tiny.gguf"]:
        result = t.works(f"eval --perplexity of {model}", "eval", model, "--perplexity", "corpus.txt", "--context", "32", "--json")
        found = result.objects
        t.check("one object with the documented keys", len(found) == 1 and set(found[0]) == {
            "perplexity", "standard_error", "tokens", "windows", "context", "beginning_token", "seconds"}
            and found[0]["tokens"] == found[0]["windows"] * 31 and found[0]["perplexity"] > 1, result)
    values = [t.run("eval", model, "--perplexity", "corpus.txt", "--json").objects[0]["perplexity"] for model in ("llama", "llama-fp32.shrink")]
    t.check("an fp32 artifact has the perplexity of its checkpoint", abs(values[0] / values[1] - 1) < 1e-4, values)
    write(f"{t.directory}/corpus.txt.gz", gzip.compress(open(f"{t.directory}/corpus.txt", "rb").read()))
    t.check("compressed text has the same", t.run("eval", "llama", "--perplexity", "corpus.txt.gz", "--json").objects[0]["perplexity"] == values[0])
    t.refuses("bytes that are no text", 65, ["llama.shrink", "UTF-8"], "eval", "llama.shrink", "--perplexity", "llama.shrink")
    quiet = t.works("eval --quiet", "eval", "llama.shrink", "--perplexity", "corpus.txt", "--quiet")
    t.check("it prints one line and no notes", quiet.text.startswith("perplexity ") and quiet.text.count("\n") == 1 and quiet.err == b"", quiet)
    t.refuses("a text shorter than a window", 65, ["window"], "eval", "llama.shrink", "--perplexity", "llama/LICENSE", "--context", "128")
    t.refuses("a context longer than the model's", USAGE, ["--context"], "eval", "llama.shrink", "--perplexity", "corpus.txt", "--context", "4096")
    t.refuses("a text that is not there", NOT_FOUND, ["absent.txt"], "eval", "llama.shrink", "--perplexity", "absent.txt")
    t.refuses("perplexity of an encoder", 65, ["--similarity"], "eval", "bert.shrink", "--perplexity", "corpus.txt")
    pairs = ["score\tfirst\tsecond", "5\tthe cat\tthe cats", "1.5\tthe cat\ta red dog ran", "3\tdog\ta dog", "0\ta mat\tthe 9"]
    write(f"{t.directory}/pairs.tsv", "\n".join(pairs).encode())
    for model in ["bert", "bert.shrink"]:
        result = t.works(f"eval --similarity of {model}", "eval", model, "--similarity", "pairs.tsv", "--json")
        t.check("one object with the documented keys", len(result.objects) == 1 and set(result.objects[0]) == {"spearman", "pearson", "pairs"}
                and result.objects[0]["pairs"] == 4, result)
    t.refuses("pairs without enough columns", 65, ["pairs.tsv", "line 1", "--columns"], "eval", "bert.shrink", "--similarity", "pairs.tsv", "--columns", "5,6,7")
    write(f"{t.directory}/broken.tsv", "\n".join(pairs[:3] + ["x\ta\tb"]).encode())
    t.refuses("a score that is no number", 65, ["broken.tsv", "line 4"], "eval", "bert.shrink", "--similarity", "broken.tsv")


def comparing(t):
    result = t.works("compare --texts", "compare", "bert.shrink", "bert", "--texts", "texts.txt", "--json")
    found = result.objects[0]
    t.check("one object with the documented keys", set(found) == {"texts", "mean_cosine", "minimum_cosine", "same_nearest_neighbour"}
            and 0.98 < found["minimum_cosine"] <= found["mean_cosine"] <= 1.000001, result)
    result = t.works("compare --windows", "compare", "llama.shrink", "llama", "--windows", "corpus.txt", "--context", "64", "--json", "--quiet")
    found = result.objects[0]
    t.check("one object with the documented keys, and silence", set(found) == {"tokens", "mean_kl", "largest_kl", "same_top_token"}
            and 0 < found["mean_kl"] <= found["largest_kl"] and result.err == b"", result)
    result = t.works("compare a model with itself", "compare", "llama", "llama", "--windows", "corpus.txt", "--context", "64", "--json")
    t.check("it agrees", abs(result.objects[0]["mean_kl"]) < 1e-9 and result.objects[0]["same_top_token"] == 1, result)
    t.works("compare in words", "compare", "llama-fp32.shrink", "llama", "--windows", "corpus.txt", "--context", "128", "--limit", "1")
    t.check("compare without a text is wrong usage", t.run("compare", "llama.shrink", "llama").code == USAGE)
    t.refuses("compare of a language model with an encoder", 65, ["language models", "--texts"], "compare", "llama.shrink", "bert",
              "--windows", "corpus.txt", "--context", "16")
    t.refuses("compare with an empty text", 65, ["empty.txt"], "compare", "bert.shrink", "bert", "--texts",
              write(f"{t.directory}/empty.txt", b"") or "empty.txt")
    t.refuses("compare with a context that is too long", USAGE, ["--context"], "compare", "llama.shrink", "llama", "--windows", "corpus.txt",
              "--context", "4096")


def surroundings(t):
    coloured = [t.run("inspect", "llama", env=env).out + t.run("quantize", "absent", "-o", "x", env=env).err for env in ({}, {"NO_COLOR": "1"})]
    t.check("nothing is coloured, with and without NO_COLOR", coloured[0] == coloured[1] and b"\x1b" not in coloured[0])
    for arguments in [["embed", "bert.shrink"], ["classify", "tag.shrink", "--json"], ["inspect", "llama", "--graph"]]:
        reader, writer = os.pipe()
        process = t.start(*arguments, stdin=subprocess.PIPE, stdout=writer)
        os.close(writer)
        os.close(reader)
        _, err = process.communicate(b"the cat sat\n" * 2000, timeout=20)
        t.check(f"{' '.join(arguments[:2])} ends in silence when its reader has gone",
                process.returncode in (141, -13) and err == b"", (process.returncode, err))
    for arguments in [["embed", "bert.shrink", "--text", "a"], ["inspect", "llama.shrink"], ["run", "llama.shrink", *PROMPT], ["cpu"]]:
        with open("/dev/full", "wb") as full:
            result = t.run(*arguments, stdout=full)
        t.check(f"{arguments[0]} to a full device is an error",
                result.code == 74 and "standard output" in result.message.splitlines()[-1], result)
    def close_all():
        for descriptor in (0, 1, 2):
            os.close(descriptor)

    t.works("quantize with standard streams closed", "quantize", "llama", "-o", "closed.shrink", preexec_fn=close_all)
    same = open(f"{t.directory}/closed.shrink", "rb").read() == open(f"{t.directory}/llama.shrink", "rb").read()
    t.check("no message got into the artifact", same)
    os.remove(f"{t.directory}/closed.shrink")
    t.refuses("a name with a line break and an escape stays on one line", NOT_FOUND, ["a\\n\\u{1B}[31mb"], "quantize", "a\n\x1b[31mb", "-o", "x")
    with open("/dev/full", "wb") as full:
        result = t.run("embed", "bert.shrink", input=b"the cat\n" * 100_000, stdout=full, seconds=5)
    t.check("embed stops early when nobody can read what it writes", result.code == 74 and result.seconds < 3, result)


def check(t):
    help_texts(t)
    quantizing(t)
    inspecting(t)
    ready = instruction_sets(t)
    running(t, ready)
    embedding(t, ready)
    classifying(t)
    recurrent_models(t, ready)
    benching(t)
    evaluating(t)
    comparing(t)
    surroundings(t)
