"""Tiny checkpoints with random weights, written by hand: what the command line is tested with."""

import array
import json
import os
import random
import struct


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False)


# --- Weights -----------------------------------------------------------------------------------

def numbers(seed, count, scale=0.2):
    """Random numbers; long lists repeat a period that divides no row length."""
    source = random.Random(seed)
    period = array.array("f", [scale * (source.random() * 2 - 1) for _ in range(min(count, 4093))])
    return (period * (count // len(period) + 1))[:count]


def as_bf16(values):
    return array.array("H", memoryview(values.tobytes()).cast("H")[1::2].tolist()).tobytes()


def count_of(shape):
    count = 1
    for extent in shape:
        count *= extent
    return count


def llama_shapes(width=32, inner=64, heads=4, shared=2, layers=2, vocabulary=264):
    size = width // heads
    shapes = {"model.embed_tokens.weight": [vocabulary, width], "model.norm.weight": [width]}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        shapes[prefix + "input_layernorm.weight"] = [width]
        shapes[prefix + "post_attention_layernorm.weight"] = [width]
        for name, rows, columns in [
            ("self_attn.q_proj", width, width), ("self_attn.k_proj", shared * size, width),
            ("self_attn.v_proj", shared * size, width), ("self_attn.o_proj", width, width),
            ("mlp.gate_proj", inner, width), ("mlp.up_proj", inner, width), ("mlp.down_proj", width, inner),
        ]:
            shapes[f"{prefix}{name}.weight"] = [rows, columns]
    return shapes


def bert_shapes(vocabulary, width=32, inner=64, layers=2, positions=24, prefix="", labels=0, pooler=False):
    shapes = {}
    for name, rows in [("word", vocabulary), ("position", positions), ("token_type", 2)]:
        shapes[f"{prefix}embeddings.{name}_embeddings.weight"] = [rows, width]

    def norm(name):
        shapes[f"{prefix}{name}.weight"] = [width]
        shapes[f"{prefix}{name}.bias"] = [width]

    def linear(name, rows, columns):
        shapes[name + ".weight"] = [rows, columns]
        shapes[name + ".bias"] = [rows]

    norm("embeddings.LayerNorm")
    for layer in range(layers):
        base = f"encoder.layer.{layer}."
        for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"]:
            linear(prefix + base + name, width, width)
        norm(base + "attention.output.LayerNorm")
        linear(prefix + base + "intermediate.dense", inner, width)
        linear(prefix + base + "output.dense", width, inner)
        norm(base + "output.LayerNorm")
    if pooler:
        linear(prefix + "pooler.dense", width, width)
    if labels:
        linear("classifier", labels, width)
    return shapes


def recurrent_shapes(kind, vocabulary, width=24, embedding=16, layers=2, directions=1, outputs=None):
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[kind] * width
    shapes = {"embedding.weight": (vocabulary, embedding)}
    for layer in range(layers):
        inner = embedding if layer == 0 else directions * width
        for suffix in ["", "_reverse"][:directions]:
            shapes |= {
                f"rnn.weight_ih_l{layer}{suffix}": (gates, inner), f"rnn.weight_hh_l{layer}{suffix}": (gates, width),
                f"rnn.bias_ih_l{layer}{suffix}": (gates,), f"rnn.bias_hh_l{layer}{suffix}": (gates,)}
    outputs = outputs or vocabulary
    return shapes | {"head.weight": (outputs, directions * width), "head.bias": (outputs,)}


def random_tensors(shapes, bf16=False):
    """(name, type, shape, bytes) for every shape; gains of norms are near 1."""
    tensors = []
    for seed, (name, shape) in enumerate(shapes.items()):
        values = numbers(seed, count_of(shape))
        if "norm.weight" in name.lower():
            values = array.array("f", [1 + value for value in values])
        tensors.append((name, "BF16" if bf16 else "F32", shape, as_bf16(values) if bf16 else values.tobytes()))
    return tensors


def safetensors(tensors, header=None):
    """The bytes of a safetensors file; `header` replaces the table that belongs to the tensors."""
    table, offset = {}, 0
    for name, kind, shape, data in tensors:
        table[name] = {"dtype": kind, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = (header if isinstance(header, str) else json.dumps(header or table)).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data for *_, data in tensors), table


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


# --- Tokenizers --------------------------------------------------------------------------------

def byte_letters():
    """The letters that byte-level vocabularies write bytes with: printable ones as they are."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + rest.index(byte)) for byte in range(256)]


MERGES = ["t h", "th e", "i n", "Ġ the"]
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
CHAT = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_level_tokens():
    return byte_letters() + [merge.replace(" ", "") for merge in MERGES] + SPECIAL


def write_byte_level_tokenizer(directory, extra_tokens=0):
    tokens = byte_level_tokens()
    extra = [f"<|extra_{n}|>" for n in range(extra_tokens)]
    special = [
        {"id": len(tokens) - len(SPECIAL) + n, "content": content, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": True}
        for n, content in enumerate(SPECIAL + extra)
    ]
    write_json(f"{directory}/tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {token: id for id, token in enumerate(tokens[:-len(SPECIAL)])}, "merges": MERGES},
    })
    write_json(f"{directory}/tokenizer_config.json", {
        "tokenizer_class": "GPT2Tokenizer", "eos_token": "<|im_end|>", "bos_token": "<|im_start|>", "chat_template": CHAT})


def word_pieces():
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = ["the", "a", "cat", "dog", "sat", "ran", "on", "mat", "red", "blue", "##s", "##ing"]
    return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + words + [
        piece for piece in [*letters, *("##" + letter for letter in letters), *".,!?-'"] if piece not in words]


def write_word_piece_tokenizer(directory):
    write(f"{directory}/vocab.txt", "".join(piece + "\n" for piece in word_pieces()).encode())
    write_json(f"{directory}/tokenizer_config.json", {"tokenizer_class": "BertTokenizer", "do_lower_case": True})


# --- Whole checkpoints -------------------------------------------------------------------------

def llama(directory, positions=128, bf16=False, is_endless=False, **shape):
    """A Llama with grouped-query attention and a tied head. One that is endless never finds a special token
    likely: their logits are 0, and some other is above."""
    os.makedirs(directory)
    shape = {"width": 32, "inner": 64, "heads": 4, "shared": 2, "layers": 2, "vocabulary": 264} | shape
    write_json(f"{directory}/config.json", {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": shape["width"],
        "intermediate_size": shape["inner"], "num_attention_heads": shape["heads"],
        "num_key_value_heads": shape["shared"], "num_hidden_layers": shape["layers"],
        "vocab_size": shape["vocabulary"], "max_position_embeddings": positions, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": True})
    write_byte_level_tokenizer(directory)
    tensors = random_tensors(llama_shapes(**shape), bf16)
    if is_endless:
        kept = (len(byte_level_tokens()) - len(SPECIAL)) * shape["width"] * (2 if bf16 else 4)
        name, kind, rows, data = tensors[0]
        tensors[0] = (name, kind, rows, data[:kept] + bytes(len(data) - kept))
    write(f"{directory}/model.safetensors", safetensors(tensors)[0])
    write(f"{directory}/LICENSE", b"Made of random numbers; free for all.\n")
    write(f"{directory}/README.md", b"---\nlicense: apache-2.0\n---\n# Tiny Llama\n")
    return directory


def bert(directory, task="encoder", labels=()):
    """An encoder as sentence-transformers stores it, or a BERT that labels texts or tokens."""
    os.makedirs(directory)
    classes = {"encoder": "BertModel", "classify": "BertForSequenceClassification", "tag": "BertForTokenClassification"}
    pieces = word_pieces()
    config = {
        "model_type": "bert", "architectures": [classes[task]], "hidden_size": 32, "intermediate_size": 64,
        "num_attention_heads": 4, "num_hidden_layers": 2, "vocab_size": len(pieces), "type_vocab_size": 2,
        "max_position_embeddings": 24, "layer_norm_eps": 1e-12, "hidden_act": "gelu"}
    if labels:
        config["id2label"] = {str(number): label for number, label in enumerate(labels)}
    write_json(f"{directory}/config.json", config)
    if task == "encoder":
        os.makedirs(f"{directory}/1_Pooling")
        write_json(f"{directory}/modules.json", [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])
        write_json(f"{directory}/sentence_bert_config.json", {"max_seq_length": 16, "do_lower_case": False})
        write_json(f"{directory}/1_Pooling/config.json", {
            "word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True})
    write_word_piece_tokenizer(directory)
    shapes = bert_shapes(
        len(pieces), prefix="" if task == "encoder" else "bert.", labels=len(labels), pooler=task == "classify")
    write(f"{directory}/model.safetensors", safetensors(random_tensors(shapes))[0])
    return directory


def recurrent(directory, kind, task="ForCausalLM", labels=(), **shape):
    """A language model, or one that reads both ways and labels texts or tokens."""
    os.makedirs(directory)
    shape = {"width": 24, "embedding": 16, "layers": 2} | shape
    vocabulary = len(byte_level_tokens())
    config = {
        "model_type": kind, "architectures": [kind.upper() + task], "vocab_size": vocabulary, "hidden_size": shape["width"],
        "embedding_size": shape["embedding"], "num_layers": shape["layers"], "bidirectional": bool(labels)}
    if labels:
        config["id2label"] = {str(number): label for number, label in enumerate(labels)}
    write_json(f"{directory}/config.json", config)
    write_byte_level_tokenizer(directory)
    shapes = recurrent_shapes(kind, vocabulary, directions=2 if labels else 1, outputs=len(labels), **shape)
    write(f"{directory}/model.safetensors", safetensors(random_tensors(shapes))[0])
    return directory


# --- GGUF --------------------------------------------------------------------------------------

def gguf_string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9


def gguf_value(kind, value):
    if kind == STRING:
        return gguf_string(value)
    if kind == ARRAY:
        element, values = value
        return struct.pack("<IQ", element, len(values)) + b"".join(gguf_value(element, each) for each in values)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}[kind], value)


def q8_0(values):
    """Blocks of 32 bytes with a half-precision scale before them."""
    blocks = bytearray()
    for start in range(0, len(values), 32):
        block = values[start:start + 32]
        scale = max(abs(value) for value in block) / 127 or 1
        blocks += struct.pack("<e32b", scale, *(max(-127, min(127, round(value / scale))) for value in block))
    return bytes(blocks)


def gguf_metadata():
    tokens = byte_level_tokens()
    return [
        ("general.architecture", STRING, "llama"), ("general.name", STRING, "tiny"), ("general.license", STRING, "apache-2.0"),
        ("llama.block_count", UINT32, 2), ("llama.context_length", UINT32, 128), ("llama.embedding_length", UINT32, 32),
        ("llama.feed_forward_length", UINT32, 64), ("llama.attention.head_count", UINT32, 4),
        ("llama.attention.head_count_kv", UINT32, 2), ("llama.attention.layer_norm_rms_epsilon", FLOAT32, 1e-5),
        ("llama.rope.freq_base", FLOAT32, 10000.0), ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, "gpt-2"), ("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
        ("tokenizer.ggml.token_type", ARRAY, (INT32, [1] * (len(tokens) - 3) + [3] * 3)),
        ("tokenizer.ggml.merges", ARRAY, (STRING, MERGES)), ("tokenizer.ggml.eos_token_id", UINT32, len(tokens) - 2),
        ("tokenizer.ggml.add_bos_token", BOOL, False), ("tokenizer.chat_template", STRING, CHAT),
    ]


def gguf_tensors():
    """(name, type number, extents innermost first, bytes)."""
    names = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "model.layers": "blk"}
    tensors = []
    for name, _, shape, data in random_tensors(llama_shapes(vocabulary=len(byte_level_tokens()))):
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        if len(shape) == 1:
            tensors.append((name, 0, shape, data))
        else:
            tensors.append((name, 8, shape[::-1], q8_0(array.array("f", data))))
    return tensors


def gguf(metadata=None, tensors=None, counts=None, alignment=32):
    """The bytes of a GGUF file and where the data begins; `counts` replaces (tensors, metadata entries)."""
    metadata, tensors = gguf_metadata() if metadata is None else metadata, gguf_tensors() if tensors is None else tensors
    out = bytearray(b"GGUF" + struct.pack("<IQQ", 3, *(counts or (len(tensors), len(metadata)))))
    for key, kind, value in metadata:
        out += gguf_string(key) + struct.pack("<I", kind) + gguf_value(kind, value)
    data = bytearray()
    for name, kind, extents, content in tensors:
        out += gguf_string(name) + struct.pack("<I", len(extents)) + struct.pack(f"<{len(extents)}Q", *extents)
        out += struct.pack("<IQ", kind, len(data))
        data += content + bytes(-len(content) % alignment)
    out += bytes(-len(out) % alignment)
    return bytes(out + data), len(out)
