"""Makes the fixtures of Tests/GoldenModels: small random models and what transformers computes with them.

    python3 Tools/goldens/models.py

Needs gguf==0.19.0, numpy==2.4.6, safetensors==0.8.0, torch==2.13.0, transformers==5.23.0.

Every folder is a Hugging Face directory (of a recurrent model one like it), some with the same model as `model.gguf`, and
`expected.safetensors`: the input ids (I32 `tokens`, `segments` where the family has them) and the outputs
in binary32 by the names that shrink gives them (`logits`, `hidden`, `embedding`, `labels`, `token_labels`).
Weights are rounded to the type they are stored in before the outputs are computed, so that storage is no
source of differences.
"""

import copy
import json
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig, BertForSequenceClassification, BertForTokenClassification, BertModel, LlamaConfig,
    LlamaForCausalLM, GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM)

sys.path.append(str(Path(__file__).parents[2] / "Samples/recurrent"))
from recurrent_torch import Recurrent  # noqa: E402

FIXTURES = Path(__file__).parents[2] / "Tests/GoldenModels/Fixtures"
TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def randomize(model, seed, dtype):
    """Weights large enough that every part of the model shows in its output."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 2:
            scale = 1.0 if "embed" in name else 1.4 / parameter.shape[1] ** 0.5
            value = noise * scale
        else:
            value = (1 if name.endswith(("norm.weight", "LayerNorm.weight")) or ".ln_" in name and name.endswith("weight") else 0) + 0.2 * noise
        parameter.data.copy_(value.to(dtype).float())
    return model.eval()


def save(model, name, dtype, expected, old_rope=None, shard=None, rename=None, extra=None):
    folder = FIXTURES / name
    copy.deepcopy(model).to(dtype).save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if rename or extra:
        tensors = load_file(folder / "model.safetensors")
        tensors = {rename(key) if rename else key: value for key, value in tensors.items()}
        save_file(tensors | (extra or {}), folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    if old_rope is not None:  # the spelling of transformers before version 5
        config.pop("rope_parameters")
        config |= old_rope
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    save_file({key: value.contiguous() for key, value in expected.items()}, folder / "expected.safetensors")


def run_decoder(model, tokens):
    with torch.no_grad():
        output = model(torch.tensor([tokens]), output_hidden_states=True, use_cache=False)
    return {"tokens": torch.tensor(tokens, dtype=torch.int32), "logits": output.logits[0], "hidden": output.hidden_states[-1][0]}


def decoder(name, kind, config, seed, dtype, length=24, **options):
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = randomize(kind(config), seed, TYPES[dtype])
    tokens = np.random.default_rng(seed).integers(0, config.vocab_size, length).tolist()
    expected = run_decoder(model, tokens)
    save(model, name, TYPES[dtype], expected, **options)
    return model


def bert(name, kind, config, seed, dtype, normalize=False, **options):
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = randomize(kind(config), seed, TYPES[dtype])
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, config.vocab_size, 19)
    segments = np.repeat([0, 1], [11, 8])
    with torch.no_grad():
        output = model(
            torch.tensor(tokens[None]), token_type_ids=torch.tensor(segments[None]), output_hidden_states=True)
    expected = {
        "tokens": torch.tensor(tokens, dtype=torch.int32), "segments": torch.tensor(segments, dtype=torch.int32),
        "hidden": output.hidden_states[-1][0]}
    if kind is BertForSequenceClassification:
        expected["labels"] = output.logits
    elif kind is BertForTokenClassification:
        expected["token_labels"] = output.logits[0]
    else:
        mean = output.last_hidden_state.mean(dim=1)
        expected["embedding"] = torch.nn.functional.normalize(mean, dim=1) if normalize else mean
    save(model, name, TYPES[dtype], expected, **options)
    if normalize:
        write_sentence_transformer(FIXTURES / name)


def recurrent(name, config, seed, dtype, length=23):
    """A torch module of Samples/recurrent; its directory is this project's own."""
    model = randomize(Recurrent(config), seed, TYPES[dtype])
    if tied := model.head is not None and config.get("tie_word_embeddings", False):
        model.head.weight = model.embedding.weight
    tokens = np.random.default_rng(seed).integers(0, config["vocab_size"], length).tolist()
    output = {"ForCausalLM": "logits", "ForTokenClassification": "token_labels", "ForSequenceClassification": "labels", "Model": "embedding"}
    with torch.no_grad():
        answer = model(torch.tensor([tokens]))
        hidden = model.rnn(model.embedding(torch.tensor([tokens])))[0][0]
    expected = {"tokens": torch.tensor(tokens, dtype=torch.int32), "hidden": hidden}
    expected[output[model.task]] = answer if model.task in ("ForSequenceClassification", "Model") else answer[0]
    folder = FIXTURES / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    save_file({
        key: value.to(TYPES[dtype]).clone() for key, value in model.state_dict().items() if not (tied and key == "head.weight")
    }, folder / "model.safetensors")
    save_file({key: value.contiguous() for key, value in expected.items()}, folder / "expected.safetensors")


def write_sentence_transformer(folder):
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}]
    (folder / "modules.json").write_text(json.dumps(modules, indent=1) + "\n")
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32, "do_lower_case": False}) + "\n")
    (folder / "1_Pooling").mkdir()
    pooling = {
        "word_embedding_dimension": 32, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True,
        "pooling_mode_max_tokens": False, "pooling_mode_mean_sqrt_len_tokens": False}
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling, indent=1) + "\n")


GGUF_NAMES = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def gguf_name(name):
    name = name.removeprefix("model.")
    for old, new in {"embed_tokens.": "token_embd.", "norm.": "output_norm.", "lm_head.": "output."}.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    _, layer, rest = name.split(".", 2)
    module, suffix = rest.rsplit(".", 1)
    return f"blk.{layer}.{GGUF_NAMES[module]}.{suffix}"


def pairs_from_halves(weight, heads):
    """Row order in which pairs (i, i + d/2) of each head become neighbours, as GGUF files of the Llama architecture have it."""
    half = weight.shape[0] // heads // 2
    order = [head * 2 * half + which * half + i for head in range(heads) for i in range(half) for which in (0, 1)]
    return weight[order]


def write_gguf(name, arch, model, kind, rope_divisors=None):
    config = model.config
    writer = gguf.GGUFWriter(FIXTURES / name / "model.gguf", arch)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if arch == "llama":
        writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
        writer.add_vocab_size(config.vocab_size)
    if rope_divisors is not None:
        writer.add_tensor("rope_freqs.weight", rope_divisors)
    for key, value in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if arch == "llama" and ".q_proj." in key:
            value = pairs_from_halves(value, config.num_attention_heads)
        if arch == "llama" and ".k_proj." in key:
            value = pairs_from_halves(value, config.num_key_value_heads)
        value = value.float()
        if value.dim() == 1 or kind is gguf.GGMLQuantizationType.F32:
            writer.add_tensor(gguf_name(key), value.numpy())
        elif kind is gguf.GGMLQuantizationType.F16:
            writer.add_tensor(gguf_name(key), value.half().numpy())
        else:
            writer.add_tensor(gguf_name(key), gguf.quants.quantize(value.numpy(), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    shutil.rmtree(FIXTURES, ignore_errors=True)
    common = {"num_hidden_layers": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5}

    decoder("llama-tied", LlamaForCausalLM, LlamaConfig(
        **common, vocab_size=64, hidden_size=32, intermediate_size=48, num_attention_heads=4, num_key_value_heads=2,
        tie_word_embeddings=True), 1, "f32", length=40)

    rope = {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64}
    llama3 = decoder("llama-llama3-rope", LlamaForCausalLM, LlamaConfig(
        **common, vocab_size=70, hidden_size=24, intermediate_size=44, num_attention_heads=3, num_key_value_heads=3,
        rope_parameters=rope), 2, "bf16")
    plain = 500.0 ** (-np.arange(0, 8, 2) / 8)
    divisors = (plain / llama3.model.rotary_emb.inv_freq.double().numpy()).astype(np.float32)
    write_gguf("llama-llama3-rope", "llama", llama3, gguf.GGMLQuantizationType.BF16, divisors)

    decoder("llama-linear-rope", LlamaForCausalLM, LlamaConfig(
        **common, vocab_size=66, hidden_size=32, intermediate_size=40, num_attention_heads=4, num_key_value_heads=2,
        attention_bias=True, mlp_bias=True, rope_parameters={"rope_type": "linear", "rope_theta": 1000.0, "factor": 4.0}),
        3, "f16", old_rope={"rope_theta": 1000.0, "rope_scaling": {"type": "linear", "factor": 4.0}})

    yarn = {"rope_type": "yarn", "rope_theta": 5000.0, "factor": 4.0, "original_max_position_embeddings": 16,
            "beta_fast": 3.0, "beta_slow": 0.5}
    decoder("llama-yarn-sharded", LlamaForCausalLM, LlamaConfig(
        **common, vocab_size=64, hidden_size=24, intermediate_size=36, num_attention_heads=3, num_key_value_heads=1,
        head_dim=16, rope_parameters=yarn), 4, "f32", shard="16KB")

    mistral = decoder("mistral", MistralForCausalLM, MistralConfig(
        **common, vocab_size=65, hidden_size=24, intermediate_size=40, num_attention_heads=4, num_key_value_heads=1,
        sliding_window=None), 5, "bf16")
    write_gguf("mistral", "llama", mistral, gguf.GGMLQuantizationType.BF16)

    qwen2 = decoder("qwen2", Qwen2ForCausalLM, Qwen2Config(
        **common, vocab_size=64, hidden_size=32, intermediate_size=36, num_attention_heads=4, num_key_value_heads=2,
        tie_word_embeddings=True), 6, "f16")
    write_gguf("qwen2", "qwen2", qwen2, gguf.GGMLQuantizationType.F16)

    decoder("gpt2", GPT2LMHeadModel, GPT2Config(
        vocab_size=66, n_positions=64, n_embd=32, n_layer=2, n_head=4, n_inner=52, bos_token_id=0, eos_token_id=0), 11, "f16")

    common = {"num_hidden_layers": 2, "max_position_embeddings": 40, "num_attention_heads": 4}
    bert("bert-sentence", BertModel, BertConfig(
        **common, vocab_size=64, hidden_size=32, intermediate_size=48), 7, "f32", normalize=True,
        extra={"embeddings.position_ids": torch.arange(40)[None]})
    bert("bert-classify", BertForSequenceClassification, BertConfig(
        **common, vocab_size=60, hidden_size=24, intermediate_size=50, hidden_act="gelu_new",
        id2label={0: "bad", 1: "so so", 2: "good"}, label2id={"bad": 0, "so so": 1, "good": 2}), 8, "f16")
    bert("bert-tag", BertForTokenClassification, BertConfig(
        **common, vocab_size=61, hidden_size=20, intermediate_size=33,
        id2label={i: f"L{i}" for i in range(5)}, label2id={f"L{i}": i for i in range(5)}), 9, "bf16")
    bert("bert-old-names", BertModel, BertConfig(
        **common, vocab_size=40, hidden_size=16, intermediate_size=20, hidden_act="relu"), 10, "bf16",
        rename=lambda key: key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"))

    recurrents()


def recurrents():
    def config(kind, task, **options):
        return {"model_type": kind, "architectures": [kind.upper() + task], "vocab_size": 64, "hidden_size": 24, **options}

    def labels(*names):
        return {"id2label": {str(number): name for number, name in enumerate(names)}}

    recurrent("lstm", config("lstm", "ForCausalLM", embedding_size=20, num_layers=2), 12, "f32")
    recurrent("gru-tied", config("gru", "ForCausalLM", num_layers=2, tie_word_embeddings=True), 13, "f16")
    recurrent("rnn", config("rnn", "ForCausalLM", num_layers=1, embedding_size=36, bias=False, head_bias=False), 14, "bf16")
    recurrent("lstm-tag", config(
        "lstm", "ForTokenClassification", num_layers=2, bidirectional=True, **labels("O", "B", "I")), 15, "f32")
    recurrent("gru-classify", config(
        "gru", "ForSequenceClassification", num_layers=2, bidirectional=True, **labels("bad", "so so", "good")), 16, "f32")
    recurrent("rnn-encoder", config("rnn", "Model", num_layers=1, bidirectional=True, pooling="mean"), 17, "f32")


if __name__ == "__main__":
    main()
