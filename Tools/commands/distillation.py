"""Distillation: students of every kind, teachers of every kind, caches, and what refuses to be distilled."""

import json
import os
import random
import shutil
import signal

import checkpoints
from checkpoints import write
from harness import BAD_INPUT, INPUT_OUTPUT, INTERRUPTED, NOT_FOUND, USAGE
from training import KEYS, LOOP, metrics, read, tensors, wait_for_lines


def data(t):
    source = random.Random(11)
    words = ["the", "a", "cat", "dog", "sat", "ran", "on", "mat", "red", "blue"]
    rows = [" ".join(source.choice(words) for _ in range(source.randint(3, 9))) for _ in range(160)]
    # Paragraphs have empty lines between them.
    write(f"{t.directory}/texts.txt", "".join(row + ".\n" + "\n" * (i % 3 == 0) for i, row in enumerate(rows)).encode())
    write(f"{t.directory}/more.txt", "".join(row + " again.\n" for row in rows[:30]).encode())
    write(f"{t.directory}/rated.tsv", ("text\tlabel\n" + "".join(f"{row}\t{['bad', 'good', 'so-so'][row.count('cat') % 3]}\n" for row in rows)).encode())


def config(t, name, source, **changes):
    """A fresh student's configuration: that of a checkpoint with changes."""
    with open(f"{t.directory}/{source}/config.json", encoding="utf-8") as file:
        checkpoints.write_json(f"{t.directory}/{name}", json.load(file) | changes)


def students_and_losses(t):
    """Every run makes its loss smaller, and what comes out can be packed."""
    config(t, "narrow-classify.json", "classify", hidden_size=16, intermediate_size=24, num_attention_heads=2)
    config(t, "narrow.json", "bert", hidden_size=16, intermediate_size=24, num_attention_heads=2)
    config(t, "narrow-llama.json", "llama", hidden_size=16, intermediate_size=24, num_attention_heads=2, num_key_value_heads=1, num_hidden_layers=1)
    cases = [("bert", "sentence-embedding", "texts.txt", ["--student-layers", "1"], {"cosine_distance"}),
             ("bert", "sentence-embedding", "texts.txt", ["--student-config", "narrow.json", "--losses", "cosine=1,hidden=1,relations=1", "--relation-heads", "4"],
              {"cosine_distance", "hidden", "relations"}),
             ("bert", "sentence-embedding", "texts.txt", ["--student-layers", "1", "--losses", "cosine,relations,attention=0.5", "--teacher-runtime", "cache"],
              {"cosine_distance", "relations", "attention"}),
             ("classify", "sequence-classification", "rated.tsv", ["--student-layers", "1", "--losses", "soft=0.7,hard=0.3", "--skew", "0.1"], {"soft", "hard"}),
             ("classify", "sequence-classification", "texts.txt", ["--student-layers", "1,0", "--losses", "soft", "--unlabelled"], {"soft"}),
             ("classify", "sequence-classification", "rated.tsv", ["--student-layers", "1", "--teacher-runtime", "int8"], {"soft", "hard"}),
             ("llama", "causal-lm", "texts.txt", ["--student-layers", "1", "--max-tokens", "16", "--top", "8"], {"soft", "hard"}),
             ("llama", "causal-lm", "texts.txt", ["--student-config", "narrow-llama.json", "--max-tokens", "16", "--teacher-runtime", "cache", "--losses", "soft,hard,hidden"],
              {"soft", "hard", "hidden"}),
             ("llama", "causal-lm", "texts.txt", ["--student-layers", "1", "--max-tokens", "16", "--teacher-runtime", "int8", "--qat", "w8a8"], {"soft", "hard"}),
             ("llama", "causal-lm", "texts.txt", ["--student-config", "narrow-llama.json", "--max-tokens", "16", "--losses", "hidden"], {"hidden", "hard"}),
             ("classify", "sequence-classification", "rated.tsv", ["--student-config", "narrow-classify.json", "--losses", "hidden"], {"hidden", "hard"}),
             ("classify", "sequence-classification", "rated.tsv", ["--student-layers", "1", "--losses", "hard", "--teacher-runtime", "cache"], {"hard"})]
    for number, (teacher, objective, texts, options, terms) in enumerate(cases):
        result = t.works(f"distill {teacher}: {' '.join([objective, *options])}", "distill", teacher, "--objective", objective, "--data", texts, *options, *LOOP,
                         "--steps", "20", "-o", f"student-{number}", "--json", seconds=30)
        if result.code != 0:
            continue
        found = result.objects[0]
        t.check("one object with the documented keys, and nothing else", len(result.objects) == 1 and set(found) == KEYS and result.err == b"", result)
        lines = metrics(f"{t.directory}/student-{number}")
        validations = [line["validation"] for line in lines if "validation" in line]
        steps = [line["losses"] for line in lines if "losses" in line]
        t.check("each loss by its name", len(steps) == 20 and all(set(step) == terms for step in steps) and terms <= set(validations[-1]), lines[0])
        t.check("the student has learnt from its teacher", validations[-1]["loss"] < validations[0]["loss"], validations)
        if "--losses" in options and "hard" not in options[options.index("--losses") + 1]:
            t.check("by the loss the best student is known", found["best_score"] == min(validation["loss"] for validation in validations), found)
        t.works("the student can be packed", "quantize", f"student-{number}/best", "-o", "student.shrink", "--quiet")
        t.check("what only training needs is not exported", b"distillation:" not in read(f"{t.directory}/student-{number}/best/model.safetensors"))
    os.remove(f"{t.directory}/student.shrink")


def caches(t):
    base = ["distill", "bert", "--objective", "sentence-embedding", "--student-layers", "1", "--data", "texts.txt", *LOOP, "--steps", "8", "--teacher-runtime", "cache"]
    t.works("a teacher that runs once, into a directory that is made", *base, "--cache", "cache", "-o", "first")
    path = f"{t.directory}/cache/teacher-training.cache"
    whole, status = read(path), os.stat(path)
    t.works("its cache serves again", *base, "--cache", "cache", "-o", "second")
    t.check("as it is", read(path) == whole and os.stat(path).st_mtime_ns == status.st_mtime_ns)
    t.check("and to the same bits", tensors(t, "first") == tensors(t, "second"))
    t.works("a cache of its own for the validation", *base, "--cache", "cache", "--validation-data", "more.txt", "-o", "third")
    t.check("beside the other", sorted(os.listdir(f"{t.directory}/cache")) == ["teacher-training.cache", "teacher-validation.cache"])
    for run in ("first", "second", "third"):
        shutil.rmtree(f"{t.directory}/{run}")
    shutil.copytree(f"{t.directory}/bert", f"{t.directory}/other")
    weights = bytearray(read(f"{t.directory}/other/model.safetensors"))
    weights[-4] ^= 1
    write(f"{t.directory}/other/model.safetensors", bytes(weights))
    again = [*base, "--cache", "cache", "-o", "no", "--quiet"]
    t.refuses("a cache of another teacher", BAD_INPUT, ["teacher-training.cache", "another teacher"], "distill", "other", *again[2:])
    t.refuses("a cache of other data", BAD_INPUT, ["teacher-training.cache", "other data"], *again, "--data", "more.txt")
    t.refuses("a cache of other numbers", BAD_INPUT, ["teacher-training.cache", "float16, not in float32"], *again, "--cache-numbers", "float32")
    t.refuses("a cache without what a loss asks for", BAD_INPUT, ["teacher-training.cache", "hidden:1"], *again, "--losses", "cosine,hidden")
    shutil.rmtree(f"{t.directory}/other")
    shutil.copytree(f"{t.directory}/bert", f"{t.directory}/other")
    os.makedirs(f"{t.directory}/other/1_Pooling", exist_ok=True)
    write(f"{t.directory}/other/modules.json", json.dumps([
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]).encode())
    write(f"{t.directory}/other/1_Pooling/config.json", json.dumps({"word_embedding_dimension": 32, "pooling_mode_cls_token": True}).encode())
    t.refuses("a cache of a teacher that pools otherwise", BAD_INPUT, ["teacher-training.cache", "another teacher"], "distill", "other", *again[2:])
    for place in (0, len(whole) // 2, len(whole) - 150):
        damaged = bytearray(whole)
        damaged[place] ^= 8
        write(path, bytes(damaged))
        t.refuses(f"a cache with a damaged byte {place}", BAD_INPUT, ["teacher-training.cache", "no sound cache"], *again)
    write(path, whole[:-1])
    t.refuses("a cache that is cut", BAD_INPUT, ["teacher-training.cache", "no sound cache"], *again)
    t.refuses("a place for caches that is not there", INPUT_OUTPUT, ["absent/such"], *base, "--cache", "absent/such", "-o", "no", "--quiet")
    for name in ("other", "cache"):
        shutil.rmtree(f"{t.directory}/{name}")


def interruption(t):
    settings = ["distill", "bert", "--objective", "sentence-embedding", "--student-layers", "1", "--losses", "cosine,relations,hidden", "--data", "texts.txt", *LOOP,
                "--steps", "300", "--checkpoint-every", "20", "--teacher-runtime", "cache"]
    t.works("a distillation without interruption", *settings, "-o", "whole", seconds=60)
    process = t.start(*settings, "-o", "stopped")
    reached = wait_for_lines(f"{t.directory}/stopped/metrics.jsonl", 40, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    t.check("Ctrl-C ends it, and says how to go on", reached and process.returncode == INTERRUPTED and b"shrink distill --resume stopped" in err, (process.returncode, err))
    process = t.start("distill", "--resume", "stopped", "--quiet")
    wait_for_lines(f"{t.directory}/stopped/metrics.jsonl", 150, process)
    process.kill()
    process.communicate()
    t.works("it goes on to its end", "distill", "--resume", "stopped", "--quiet", seconds=60)
    t.check("to the same bits and metrics", tensors(t, "stopped") == tensors(t, "whole") and metrics(f"{t.directory}/stopped") == metrics(f"{t.directory}/whole"))
    t.works("the recorded recipe distils again", "distill", "--recipe", "whole/recipe.yaml", "-o", "distilled-again", "--quiet", seconds=60)
    t.check("to the same bits", tensors(t, "distilled-again") == tensors(t, "whole"))
    for run in ("whole", "stopped", "distilled-again"):
        shutil.rmtree(f"{t.directory}/{run}")


def refusals(t):
    base = ["distill", "bert", "--objective", "sentence-embedding", "--data", "texts.txt", "-o", "no", "--quiet"]
    student = [*base, "--student-layers", "1"]
    for arguments in [["distill"], base, [*student, "--student", "bert"], [*base, "--student-layers", "0"], [*student, "--losses", "dreams"], [*student, "--losses", "soft"],
                      [*student, "--layer-map", "0:1"], [*student, "--losses", "hidden", "--layer-map", "0"], [*student, "--cache", "cache"], [*student, "--qat", "w1"], ["distill", "--resume", "x", "--losses", "cosine"]]:
        before = t.files()
        result = t.run(*arguments)
        t.check(f"wrong usage: shrink {' '.join(arguments)}", result.code == USAGE and result.out == b"" and t.files() == before, result)
    t.refuses("a teacher that is not there", NOT_FOUND, ["missing"], "distill", "missing", *student[2:])
    t.refuses("a student that is not there", NOT_FOUND, ["missing"], *base, "--student", "missing")
    t.refuses("more layers than there are", BAD_INPUT, ["3 layers of 2"], *base, "--student-layers", "3")
    t.refuses("a layer map beyond the teacher", BAD_INPUT, ["the teacher has the layers 0 to 1"], *student, "--losses", "hidden", "--layer-map", "0:2")
    t.refuses("an objective that the teacher does not know", BAD_INPUT, ["the teacher has no output logits"], *student[:2], "--objective", "causal-lm", *student[4:])
    t.refuses("attention of other heads", BAD_INPUT, ["2 heads", "relations have heads of their own"], *base, "--student-config", "narrow.json", "--losses", "attention")
    t.refuses("relation heads that do not divide", BAD_INPUT, ["5 relation heads"], *student, "--losses", "relations", "--relation-heads", "5")
    t.refuses("hidden states of the int8 runtime", BAD_INPUT, ["outputs alone"], *student, "--losses", "hidden", "--teacher-runtime", "int8")
    shutil.copytree(f"{t.directory}/bert", f"{t.directory}/foreign")
    pieces = read(f"{t.directory}/foreign/vocab.txt").splitlines()
    pieces[10], pieces[11] = pieces[11], pieces[10]
    write(f"{t.directory}/foreign/vocab.txt", b"\n".join(pieces) + b"\n")
    t.refuses("a student with another vocabulary", BAD_INPUT, ["foreign", "the token 10 is", "in one and", "same tokens"], *base, "--student", "foreign")
    t.refuses("a student with another tokenizer", BAD_INPUT, ["classify"], *base[:1], "llama", "--objective", "causal-lm", *base[4:], "--student", "classify")
    shutil.rmtree(f"{t.directory}/foreign")
    write(f"{t.directory}/numbers.tsv", b"text\tlabel\n" + b"the cat\t1.5\nthe dog\t-2\n" * 20)
    t.refuses("a classifier as the teacher of a regression", BAD_INPUT, ["classify: the teacher does sequence classification, not regression"], "distill", "classify",
              "--objective", "regression", "--student-layers", "1", "--data", "numbers.tsv", "-o", "no", "--quiet")
    shutil.copytree(f"{t.directory}/bert", f"{t.directory}/damaged")
    write(f"{t.directory}/damaged/model.safetensors", read(f"{t.directory}/damaged/model.safetensors")[:-4] + b"\0\0\xc0\x7f")
    t.refuses("a student with a weight that is no number", BAD_INPUT, ["damaged: the tensor", "not finite"], *base, "--student", "damaged")
    shutil.rmtree(f"{t.directory}/damaged")
    t.refuses("labels that the teacher does not know", BAD_INPUT, ["tells bad, good, so-so apart"], "distill", "classify", "--objective", "sequence-classification",
              "--student-layers", "1", "--data", "strange.tsv", "-o", "no", "--quiet")


def check(t):
    data(t)
    write(f"{t.directory}/strange.tsv", b"text\tlabel\n" + b"the cat\tup\nthe dog\tdown\n" * 20)
    students_and_losses(t)
    caches(t)
    interruption(t)
    refusals(t)
