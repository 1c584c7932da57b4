"""Bad input: every file damaged in every way that is quick to try, and the ways a machine says no."""

import hashlib
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import tempfile

from checkpoints import (
    ARRAY, FLOAT32, STRING, UINT32, bert_shapes, gguf, gguf_metadata, gguf_string, gguf_tensors, llama_shapes, random_tensors, safetensors,
    word_pieces, write, write_byte_level_tokenizer, write_json)
from harness import BAD_INPUT, INPUT_OUTPUT, NOT_FOUND


def read(path):
    with open(path, "rb") as file:
        return file.read()


def flipped(data, at, bit):
    damaged = bytearray(data)
    damaged[at] ^= 1 << bit
    return bytes(damaged)


def variants(data, header, flips, seed, cuts=()):
    """Each byte of the header with one bit flipped, `flips` random bits elsewhere, and cut files."""
    source = random.Random(seed)
    for at in header:
        yield f"byte {at}", flipped(data, at, source.randrange(8))
    for _ in range(flips):
        at = source.randrange(len(data))
        yield f"random byte {at}", flipped(data, at, source.randrange(8))
    for cut in cuts:
        yield f"cut to {cut} bytes", data[:cut]


class Damage:
    """Damaged copies of one checkpoint file, each tried in a directory of its own."""

    def __init__(self, t, name):
        self.t, self.name = t, name
        self.root = f"{t.directory}/damaged-{name}"
        os.makedirs(self.root)

    def attempt(self, build, *command, writes=False):
        def one(case):
            label, data = case
            place = tempfile.mkdtemp(prefix=label.replace(" ", "-"), dir=self.root)
            target = build(place, data)
            result = self.t.run(*(part.format(target=target, place=place) for part in command), seconds=10)
            left = [name for name in os.listdir(place) if ".shrink" in name and f"{place}/{name}" != target]
            if writes and left != (["out.shrink"] if result.code == 0 else []):
                result.code, result.err = 1, f"left {left} ".encode() + result.err
            shutil.rmtree(place)
            return result
        return one


# --- Artifacts ---------------------------------------------------------------------------------

def entries(artifact):
    """Name to (start of the tar header, size of the content)."""
    found, at = {}, 0
    while artifact[at] != 0:
        size = int(artifact[at + 124:at + 135], 8)
        found[artifact[at:at + 100].split(b"\0")[0].decode()] = (at, size)
        at += 512 + (size + 511) // 512 * 512
    return found


def resealed(artifact, edits):
    """The artifact with some entries changed by functions of their bytes, its checksums made right again."""
    out, sums = bytearray(), b""
    for name, (at, size) in entries(artifact).items():
        content = artifact[at + 512:at + 512 + size]
        content = edits[name](content) if name in edits else content
        if name == "SHA256SUMS":
            content = sums
        sums += f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()
        header = bytearray(artifact[at:at + 512])
        header[124:136] = b"%011o " % len(content)
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        out += header + content + bytes(-len(content) % 512)
    return bytes(out) + bytes(1024)


def damaged_artifacts(t):
    for name, command in [("llama", ["inspect", "{target}"]), ("bert", ["embed", "{target}", "--text", "the cat", "--quiet", "--threads", "1"])]:
        t.works(f"an artifact to damage: {name}", "quantize", name, "-o", f"victim-{name}.shrink", "--quiet")
        data = read(f"{t.directory}/victim-{name}.shrink")
        places = entries(data)
        headers = [at for start, _ in places.values() for at in range(start, start + 512)]
        program, size = places["program"][0] + 512, min(places["program"][1], 256)
        inside = [at for start, count in places.values() for at in range(start + 512, start + 512 + count)]
        edges = sorted({edge + by for start, count in places.values() for edge in (start, start + 512, start + 512 + count)
                        for by in (-1, 0, 1)} | {len(data) - 512, len(data) - 1024, len(data) - 1, 0, 1} - {-1, len(data), len(data) + 1})
        edges = [edge for edge in edges if 0 <= edge < len(data)]
        damage = Damage(t, f"artifact-{name}")

        def build(place, damaged):
            write(f"{place}/victim.shrink", damaged)
            return f"{place}/victim.shrink"

        if name == "llama":
            t.sweep("flips in every byte of the artifact's headers are refused", list(variants(data, [*headers, *range(program, program + size)], 0, 1)),
                    damage.attempt(build, *command), must_refuse=True)
        source = random.Random(2)
        cases = [(f"byte {at}", flipped(data, at, source.randrange(8))) for at in source.sample(inside, 500)]
        t.sweep(f"random flips in the content of the {name} artifact are refused", cases, damage.attempt(build, *command), must_refuse=True)
        t.sweep(f"the {name} artifact cut at every edge is refused", list(variants(data, [], 0, 3, edges)), damage.attempt(build, *command),
                must_refuse=True)
        trailing = [("one byte more", data + b"x"), ("a block more", data + bytes(512)), ("twice", data + data)]
        t.sweep(f"bytes behind the {name} artifact are refused", trailing, damage.attempt(build, *command), must_refuse=True)
        result = t.refuses("the error names the file and the remedy", BAD_INPUT, ["bad.shrink", "shrink quantize"], "inspect",
                           write(f"{t.directory}/bad.shrink", data[:5000]) or "bad.shrink")
        # Whoever forges an artifact also forges its checksums: then the verifier alone stands guard.
        runner = {"llama": ["run", "{target}", "--prompt", "the cat", "--max-tokens", "4", "--quiet", "--threads", "1"]}.get(name, command)
        for entry, count in [("program", 400), ("tokenizer", 200), ("weights", 40)]:
            cases = []
            for number in range(count):
                def edit(content, number=number):
                    # The head of the tables is what everything else hangs on.
                    end = min(len(content), 2048) if number % 2 else len(content)
                    return flipped(content, source.randrange(end), source.randrange(8))
                cases.append((f"{entry} {number}", resealed(data, {entry: edit})))
            t.sweep(f"a forged {entry} of {name} does no harm", cases, damage.attempt(build, *runner))
        forged = resealed(data, {"manifest.json": lambda _: b"not json"})
        t.check("resealing itself is sound", t.run("inspect", build(damage.root, resealed(data, {}))).code == 0)
        result = t.run("inspect", build(damage.root, forged))
        t.check("a forged manifest is refused", result.code == BAD_INPUT and "manifest.json" in result.message, result)
    t.refuses("weights are checked by default", BAD_INPUT, ["victim.shrink"], "run", build(damage.root, flipped(data, places["weights"][0] + 600, 3)),
              "--prompt", "the")
    # A tokenizer that knows more tokens than the model.
    llama, bert = read(f"{t.directory}/victim-llama.shrink"), data
    start, size = entries(llama)["tokenizer"]
    larger = llama[start + 512:start + 512 + size]
    build(damage.root, resealed(bert, {"tokenizer": lambda _: larger}))
    t.refuses("an artifact whose tokenizer has more tokens than its model", BAD_INPUT, ["victim.shrink", "do not belong together"],
              "embed", f"{damage.root}/victim.shrink", "--text", "the cat")


# --- Safetensors -------------------------------------------------------------------------------

def damaged_safetensors(t):
    data = read(f"{t.directory}/llama/model.safetensors")
    header = 8 + struct.unpack("<Q", data[:8])[0]
    small = {name: f"{t.directory}/llama/{name}" for name in ("config.json", "tokenizer.json", "tokenizer_config.json")}
    damage = Damage(t, "safetensors")

    def build(place, damaged):
        for name, path in small.items():
            os.symlink(path, f"{place}/{name}")
        write(f"{place}/model.safetensors", damaged)
        return place

    quantize = ["quantize", "{target}", "-o", "{place}/out.shrink", "--quiet"]
    source = random.Random(4)
    table = [*range(8), *source.sample(range(8, header), 500)]
    t.sweep("flips in the header of safetensors do no harm", list(variants(data, table, 0, 5)),
            damage.attempt(build, *quantize, writes=True), minimum_refused=300)
    t.sweep("random flips in safetensors do no harm", list(variants(data, [], 120, 6)), damage.attempt(build, *quantize, writes=True))
    cuts = [0, 1, 7, 8, 9, header - 1, header, header + 1, len(data) - 1, len(data) // 2]
    t.sweep("safetensors cut anywhere are refused", list(variants(data, [], 0, 7, cuts)), damage.attempt(build, *quantize, writes=True),
            must_refuse=True)
    t.sweep("bytes behind safetensors are refused", [("more", data + b"x")], damage.attempt(build, *quantize, writes=True), must_refuse=True)

    tensors = random_tensors(llama_shapes())
    _, sound = safetensors(tensors)
    norm, query = "model.norm.weight", "model.layers.0.self_attn.q_proj.weight"

    def changed(name, **members):
        return {key: value | members if key == name else value for key, value in sound.items()}

    def repeated(table, name):
        text = json.dumps(table)
        return text[:-1] + f", {json.dumps(name)}: {json.dumps(table[name])}}}"

    start, end = sound[norm]["data_offsets"]
    not_number, infinite = struct.pack("<f", float("nan")), struct.pack("<f", float("inf"))

    def with_value(name, value):
        return [(key, kind, shape, value + content[4:] if key == name else content) for key, kind, shape, content in tensors]

    cases = [
        ("overlapping tensors", changed(norm, data_offsets=[start - 4, end - 4]), tensors, [norm]),
        ("a hole between tensors", changed(norm, data_offsets=[start + 4, end + 4]), tensors, []),
        ("a tensor twice", repeated(sound, norm), tensors, ["twice"]),
        ("a range beyond the file", changed(norm, data_offsets=[start, 1 << 40]), tensors, [norm]),
        ("a range that ends before it starts", changed(norm, data_offsets=[end, start]), tensors, [norm]),
        ("a shape whose product overflows", changed(norm, shape=[1 << 62, 1 << 62]), tensors, [norm]),
        ("a type that does not exist", changed(norm, dtype="F99"), tensors, [norm, "F99"]),
        ("a header that is no JSON", "{" * 1000, tensors, ["JSON"]),
        ("a deep header", '{"a":' + "[" * 200_000, tensors, ["JSON"]),
        ("a tensor that is missing", None, [each for each in tensors if each[0] != query], [query, "missing"]),
        ("a tensor of the wrong shape", changed(query, shape=[16, 64]), tensors, [query, "[16, 64]", "[32, 32]"]),
        ("a tensor that has no place", None, tensors + [("model.layers.0.extra.weight", "F32", [1], b"\0" * 4)], ["model.layers.0.extra.weight"]),
        ("a weight that is not a number", None, with_value(query, not_number), [query, "nan", "row 0"]),
        ("a gain that is not a number", None, with_value(norm, not_number), [norm]),
        ("an infinite weight", None, with_value(query, infinite), [query, "inf"]),
        ("integers instead of weights", changed(norm, dtype="I32"), tensors, [norm]),
    ]
    for name, header, content, words in cases:
        place = f"{t.directory}/case"
        os.makedirs(place)
        build(place, safetensors(content, header)[0])
        t.refuses(f"safetensors with {name}", BAD_INPUT, ["case", *words], "quantize", "case", "-o", "case.shrink")
        shutil.rmtree(place)


# --- GGUF --------------------------------------------------------------------------------------

def damaged_gguf(t):
    data, header = gguf()
    damage = Damage(t, "gguf")

    def build(place, damaged):
        write(f"{place}/model.gguf", damaged)
        return f"{place}/model.gguf"

    quantize = ["quantize", "{target}", "-o", "{place}/out.shrink", "--quiet"]
    source = random.Random(8)
    tokens = data.index(b"tokenizer.ggml.tokens")
    infos = data.index(b"token_embd.weight")
    table = [*range(tokens + 64), *source.sample(range(tokens + 64, infos), 250), *source.sample(range(infos, header), 350)]
    t.sweep("flips in the header of GGUF do no harm", list(variants(data, table, 0, 9)), damage.attempt(build, *quantize, writes=True),
            minimum_refused=500)
    t.sweep("random flips in GGUF do no harm", list(variants(data, [], 120, 10)), damage.attempt(build, *quantize, writes=True))
    cuts = [0, 3, 4, 8, 12, 23, 24, 25, tokens, infos, header - 1, header, header + 1, len(data) // 2, len(data) - 33]
    t.sweep("GGUF cut anywhere is refused", list(variants(data, [], 0, 11, cuts)), damage.attempt(build, *quantize, writes=True), must_refuse=True)

    def metadata(**changes):
        """With some values replaced; None leaves the key out."""
        return [(key, *changes.get(key.replace(".", "_"), value)) for key, *value in gguf_metadata() if changes.get(key.replace(".", "_"), 1) is not None]

    tensors = gguf_tensors()
    nan = [(name, kind, extents, struct.pack("<e", float("nan")) + content[2:] if name == "blk.0.attn_q.weight" else content)
           for name, kind, extents, content in tensors]
    unknown = [(name, 99 if name == "blk.0.attn_q.weight" else kind, extents, content) for name, kind, extents, content in tensors]
    long_string = bytearray(data)
    long_string[24:32] = struct.pack("<Q", 1 << 62)
    long_value = bytearray(data)
    at = data.index(b"general.name") + len(b"general.name") + 4
    long_value[at:at + 8] = struct.pack("<Q", len(data))
    deep = gguf_string("deep") + struct.pack("<I", ARRAY) + struct.pack("<IQ", ARRAY, 1) * 100_000
    cases = [
        ("2^63 tensors", gguf(counts=(1 << 63, 1))[0], ["tensors"]),
        ("2^63 metadata entries", gguf(counts=(1, 1 << 63))[0], ["metadata"]),
        ("2^40 tensors", gguf(counts=(1 << 40, 1))[0], ["tensors"]),
        ("a key longer than the file", bytes(long_string), ["metadata entry 0"]),
        ("a value longer than the file", bytes(long_value), ["general.name"]),
        ("an alignment of 0", gguf(metadata() + [("general.alignment", UINT32, 0)])[0], ["general.alignment"]),
        ("an alignment of 48", gguf(metadata() + [("general.alignment", UINT32, 48)])[0], ["general.alignment"]),
        ("an alignment that its tensors do not keep", gguf(metadata() + [("general.alignment", UINT32, 1 << 20)])[0], []),
        ("an unknown tensor type", gguf(tensors=unknown)[0], ["blk.0.attn_q.weight", "99"]),
        ("arrays nested without end", b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + deep, ["deep"]),
        ("a tensor twice", gguf(tensors=tensors + [tensors[0]])[0], [tensors[0][0]]),
        ("a key twice", gguf(metadata() + [("general.name", STRING, "x")])[0], ["general.name", "twice"]),
        ("version 1", data[:4] + struct.pack("<I", 1) + data[8:], ["version 1"]),
        ("big-endian numbers", data[:4] + struct.pack(">I", 3) + data[8:], ["big-endian"]),
        ("no architecture", gguf(metadata(general_architecture=None))[0], ["general.architecture"]),
        ("an unknown architecture", gguf(metadata(general_architecture=(STRING, "mamba")))[0], ["mamba", "llama"]),
        ("no tokenizer", gguf(metadata(tokenizer_ggml_tokens=None))[0], ["tokenizer"]),
        ("an unknown tokenizer", gguf(metadata(tokenizer_ggml_model=(STRING, "rwkv")))[0], ["rwkv"]),
        ("an endless context", gguf(metadata(llama_context_length=(UINT32, 0x7FFF_FFFF)))[0], ["2147483647"]),
        ("more heads than width", gguf(metadata(llama_attention_head_count=(UINT32, 64)))[0], []),
        ("an epsilon that is no number", gguf(metadata(llama_attention_layer_norm_rms_epsilon=(FLOAT32, float("nan"))))[0], ["epsilon"]),
        ("a missing tensor", gguf(tensors=[each for each in tensors if each[0] != "blk.1.ffn_up.weight"])[0], ["blk.1.ffn_up.weight", "missing"]),
        ("a scale that is not a number", gguf(tensors=nan)[0], ["blk.0.attn_q.weight"]),
    ]
    for name, content, words in cases:
        write(f"{t.directory}/case.gguf", content)
        t.refuses(f"GGUF with {name}", BAD_INPUT, ["case.gguf", *words], "quantize", "case.gguf", "-o", "case.shrink")
    os.remove(f"{t.directory}/case.gguf")


# --- Configurations and tokenizers -------------------------------------------------------------

def wrong_directories(t):
    def copy(of, config=None, without=()):
        shutil.rmtree(f"{t.directory}/case", ignore_errors=True)
        shutil.copytree(f"{t.directory}/{of}", f"{t.directory}/case")
        if config is not None:
            path = f"{t.directory}/case/config.json"
            members = json.load(open(path)) | config
            write_json(path, {key: value for key, value in members.items() if value is not ...})
        for name in without:
            os.remove(f"{t.directory}/case/{name}")

    def refused(name, code, words):
        t.refuses(name, code, ["case", *words], "quantize", "case", "-o", "case.shrink")

    copy("llama", {"model_type": "mamba"})
    refused("an unsupported model_type", BAD_INPUT, ["mamba", "llama", "bert"])
    for key, value in [("hidden_size", 0), ("hidden_size", -1), ("hidden_size", 2.5), ("hidden_size", "wide"), ("hidden_size", 1 << 62),
                       ("hidden_size", 1 << 31), ("num_hidden_layers", ...), ("num_attention_heads", 3), ("num_key_value_heads", 3),
                       ("vocab_size", (1 << 31) - 1), ("max_position_embeddings", (1 << 31) - 1), ("rms_norm_eps", 0), ("head_dim", (1 << 31) - 2),
                       ("head_dim", 7), ("hidden_act", "swiglu"), ("rope_scaling", {"rope_type": "longrope", "factor": 2}),
                       ("num_hidden_layers", (1 << 31) - 1), ("intermediate_size", (1 << 31) - 1)]:
        copy("llama", {key: value})
        refused(f"a config.json with {key} {'missing' if value is ... else value}", BAD_INPUT, [])
    for task, key, value in [("bert", "num_attention_heads", 5), ("bert", "hidden_act", "wild"), ("bert", "architectures", ["BertForNobody"]),
                             ("classify", "id2label", {"0": "a", "2": "b"}), ("classify", "id2label", {"0": "a"}), ("classify", "id2label", {}),
                             ("bert", "max_position_embeddings", (1 << 31) - 1), ("bert", "layer_norm_eps", "small")]:
        copy(task, {key: value})
        refused(f"a BERT config.json with {key} {value}", BAD_INPUT, [])
    copy("llama", without=["config.json"])
    refused("no config.json", NOT_FOUND, ["config.json"])
    copy("llama", without=["model.safetensors"])
    refused("no weights", NOT_FOUND, ["safetensors"])
    copy("llama", without=["tokenizer.json"])
    refused("no tokenizer", BAD_INPUT, ["tokenizer.json"])
    copy("llama")
    write(f"{t.directory}/case/config.json", b"{\"model_type\": \"llama\"")
    refused("a config.json that is cut", BAD_INPUT, ["config.json"])
    write(f"{t.directory}/case/config.json", b"[1]")
    refused("a config.json that is no object", BAD_INPUT, ["config.json"])
    copy("llama")
    write_byte_level_tokenizer(f"{t.directory}/case", extra_tokens=40)
    refused("a tokenizer with more tokens than the model", BAD_INPUT, ["303", "264"])
    t.refuses("it cannot be evaluated either", BAD_INPUT, ["303", "264"], "eval", "case", "--perplexity", "llama/LICENSE", "--context", "4")
    tokenizer = read(f"{t.directory}/llama/tokenizer.json")
    copy("llama")
    for name, content in [("cut", tokenizer[:1000]), ("empty", b""), ("a list", b"[]"), ("null", b"null"), ("deep", b"[" * 200_000),
                          ("of an unknown model", tokenizer.replace(b'"BPE"', b'"Unigram"')),
                          ("with a merge of unknown tokens", tokenizer.replace(b'"t h"', b'"zz qq"')),
                          ("with a huge id", tokenizer.replace(b'"the": 257', b'"the": 9223372036854775807'))]:
        write(f"{t.directory}/case/tokenizer.json", content)
        refused(f"a tokenizer.json that is {name}", BAD_INPUT, ["tokenizer.json"])
    copy("bert")
    write(f"{t.directory}/case/1_Pooling/config.json", b'{"pooling_mode_max_tokens": true}')
    refused("a pooling that is not supported", BAD_INPUT, ["1_Pooling/config.json", "pooling_mode_max_tokens"])
    shutil.rmtree(f"{t.directory}/case/1_Pooling")
    refused("a pooling folder that is missing", NOT_FOUND, ["1_Pooling/config.json"])
    copy("bert")
    damage = Damage(t, "texts")

    def build(place, case):
        name, content = case
        for other in os.listdir(f"{t.directory}/llama"):
            if other != name:
                os.symlink(f"{t.directory}/llama/{other}", f"{place}/{other}")
        write(f"{place}/{name}", content)
        return place

    cases = []
    for name in ("config.json", "tokenizer.json"):
        content = read(f"{t.directory}/llama/{name}")
        cases += [(f"{name} {label}", (name, damaged)) for label, damaged in variants(content, [], 150, 12)]
    t.sweep("random flips in config.json and tokenizer.json do no harm", cases,
            damage.attempt(build, "quantize", "{target}", "-o", "{place}/out.shrink", "--quiet", writes=True))
    shutil.rmtree(f"{t.directory}/case")


def numbers_that_are_none(t):
    """Checkpoints are also run as they are."""
    tensors = random_tensors(llama_shapes())
    for directory in ("case", "loud"):
        shutil.copytree(f"{t.directory}/llama", f"{t.directory}/{directory}")
    broken = [(name, kind, shape, struct.pack("<f", float("nan")) + content[4:]) for name, kind, shape, content in tensors]
    write(f"{t.directory}/case/model.safetensors", safetensors(broken)[0])
    t.refuses("the perplexity of weights that are no numbers", BAD_INPUT, ["case", "not a finite number"],
              "eval", "case", "--perplexity", "llama/README.md", "--context", "8")
    # A perplexity that is a number, but has no 64-bit integer part.
    gain = struct.pack("<32f", *[40.0] * 32)
    loud = [(name, kind, shape, gain if name == "model.norm.weight" else content) for name, kind, shape, content in tensors]
    write(f"{t.directory}/loud/model.safetensors", safetensors(loud)[0])
    result = t.works("a perplexity beyond all measure", "eval", "loud", "--perplexity", "llama/README.md", "--context", "8", "--quiet")
    t.check("it is printed", "e+" in result.text, result)
    shutil.rmtree(f"{t.directory}/case")
    write(f"{t.directory}/bert/model.safetensors.sound", read(f"{t.directory}/bert/model.safetensors"))
    tensors = random_tensors(bert_shapes(len(word_pieces())))
    broken = [(name, kind, shape, struct.pack("<f", float("nan")) * (len(content) // 4)) for name, kind, shape, content in tensors]
    write(f"{t.directory}/bert/model.safetensors", safetensors(broken)[0])
    t.refuses("embeddings of weights that are no numbers", BAD_INPUT, ["not a number"], "embed", "bert", "--text", "a", "--json")
    os.replace(f"{t.directory}/bert/model.safetensors.sound", f"{t.directory}/bert/model.safetensors")


# --- Paths and disks ---------------------------------------------------------------------------

def paths(t):
    t.refuses("a checkpoint that is not there", NOT_FOUND, ["absent"], "quantize", "absent", "-o", "x.shrink")
    t.refuses("a GGUF file that is not there", NOT_FOUND, ["absent.gguf"], "quantize", "absent.gguf", "-o", "x.shrink")
    for command in [["inspect"], ["run", "--prompt", "a"], ["embed", "--text", "a"], ["classify", "--text", "a"], ["eval", "--perplexity", "x"]]:
        t.refuses(f"{command[0]} of an artifact that is not there", NOT_FOUND, ["absent.shrink"], command[0], "absent.shrink", *command[1:])
        t.refuses(f"{command[0]} of an empty file", BAD_INPUT, ["empty.shrink"], command[0],
                  write(f"{t.directory}/empty.shrink", b"") or "empty.shrink", *command[1:])
        os.remove(f"{t.directory}/empty.shrink")
    write(f"{t.directory}/noise.bin", bytes(range(256)) * 64)
    t.refuses("run of a file of another kind", BAD_INPUT, ["noise.bin"], "run", "noise.bin", "--prompt", "a")
    code = t.run("inspect", "noise.bin")
    t.check("inspect of a file of another kind", code.code in (BAD_INPUT, NOT_FOUND, INPUT_OUTPUT) and "noise.bin" in code.message, code)
    for name in ("pipe", "pipe.shrink", "pipe.gguf"):
        os.mkfifo(f"{t.directory}/{name}")
        for command in [["inspect", name], ["embed", name, "--text", "a"], ["run", name, "--prompt", "a"], ["quantize", name, "-o", "x"]]:
            result = t.run(*command)
            t.check(f"{command[0]} of {name} is refused and does not wait", result.code in (BAD_INPUT, NOT_FOUND, INPUT_OUTPUT)
                    and name in result.message and len(result.message.splitlines()) == 1, result)
        os.remove(f"{t.directory}/{name}")
    os.makedirs(f"{t.directory}/directory.shrink")
    t.refuses("a target that is a directory", INPUT_OUTPUT, ["directory.shrink"], "quantize", "llama", "-o", "directory.shrink")
    t.refuses("a target in a directory that is not there", INPUT_OUTPUT, ["nowhere/x.shrink"], "quantize", "llama", "-o", "nowhere/x.shrink")
    t.refuses("a target in a file", INPUT_OUTPUT, ["noise.bin/x.shrink"], "quantize", "llama", "-o", "noise.bin/x.shrink")
    t.refuses("a target where nothing can be written", INPUT_OUTPUT, ["/proc/x.shrink"], "quantize", "llama", "-o", "/proc/x.shrink")
    t.refuses("a target with a name that is too long", INPUT_OUTPUT, ["cannot"], "quantize", "llama", "-o", "x" * 250 + ".shrink")
    t.refuses("a target without a name", INPUT_OUTPUT, [], "quantize", "llama", "-o", "")
    t.refuses("run of a directory", BAD_INPUT, ["llama", "quantize"], "run", "llama", "--prompt", "a")


def disks(t):
    """A disk that is full before the artifact is complete."""
    old = b"an older artifact"
    write(f"{t.directory}/kept.shrink", old)
    for limit in (0, 1, 4096, 40_000, 60_000, 130_000):
        def lower():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        t.refuses(f"a file that may not grow beyond {limit} bytes", INPUT_OUTPUT, ["kept.shrink", "cannot write"],
                  "quantize", "llama", "-o", "kept.shrink", preexec_fn=lower)
    t.check("the old artifact is as it was", read(f"{t.directory}/kept.shrink") == old)
    os.makedirs(f"{t.directory}/disk", exist_ok=True)
    for size in ("4k", "64k", "160k"):
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", f"{t.directory}/disk"], capture_output=True)
        if mounted.returncode != 0:
            print("note  a small disk cannot be mounted here; the limit on file sizes stands for it")
            return
        try:
            t.refuses(f"a disk of {size}", INPUT_OUTPUT, ["disk/x.shrink", "No space", "free some space"],
                      "quantize", "llama", "-o", "disk/x.shrink")
            t.check("the disk is empty again", os.listdir(f"{t.directory}/disk") == [])
        finally:
            subprocess.run(["umount", f"{t.directory}/disk"], check=True)


def check(t):
    paths(t)
    disks(t)
    wrong_directories(t)
    numbers_that_are_none(t)
    damaged_safetensors(t)
    damaged_gguf(t)
    damaged_artifacts(t)
