"""Makes the fixtures of Tests/ShrinkTrainingTests: tiny models, a batch of padded sequences, and PyTorch's loss and gradients
of it in binary32, and the losses of ten AdamW steps.

    python3 Tools/goldens/training.py [NAME]…    # all, or those of these names

Needs numpy==2.4.6, safetensors==0.8.0, torch==2.13.0, transformers==5.23.0.

Every folder is a Hugging Face directory with `expected.safetensors`: I32 `tokens` [batch, tokens], `lengths` [batch] and
`labels` (−100 where ignored), F32 `loss`, `gradient:NAME` for each parameter, and `losses`: before each of ten steps on
the same batch with rate 0.005, weight decay 0.1 on matrices, and gradients clipped to the norm 1.

`distill-…` hold a `student` and a `teacher` directory and `expected.safetensors`: tokens and lengths, the matrices
`distillation:projection:…`, and for each loss of distillation `loss:LOSS` and `LOSS:gradient:NAME` of every parameter that it depends on.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
from transformers import (
    BertConfig, BertForMaskedLM, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM)

sys.path.append(str(Path(__file__).parents[2] / "Samples/recurrent"))
from recurrent_torch import Recurrent  # noqa: E402

FIXTURES = Path(__file__).parents[2] / "Tests/ShrinkTrainingTests/Fixtures"
LENGTHS = [8, 5, 7]
IGNORED = -100


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 2:
            parameter.data.copy_(noise * (0.7 / parameter.shape[1] ** 0.5))
        else:
            is_gain = name.endswith(("norm.weight", "LayerNorm.weight")) or ".ln_" in name and name.endswith("weight")
            parameter.data.copy_((1 if is_gain else 0) + 0.2 * noise)


def batch(vocabulary, kind, seed):
    """Tokens, the labels that the loss of shrink reads, and the labels that transformers takes."""
    rng = np.random.default_rng(seed)
    length = max(LENGTHS)
    tokens = rng.integers(1, vocabulary, (len(LENGTHS), length))  # PyTorch stops gradients at the padding token, 0
    inside = np.arange(length)[None] < np.array(LENGTHS)[:, None]
    if kind == "classify":
        labels = rng.integers(0, 3, len(LENGTHS))
        return tokens, labels, labels
    if kind == "tags":
        labels = np.where(inside, rng.integers(0, 5, tokens.shape), IGNORED)
        return tokens, labels, labels
    if kind == "masked":
        labels = np.where(inside & (rng.random(tokens.shape) < 0.4), rng.integers(0, vocabulary, tokens.shape), IGNORED)
        return tokens, labels, labels
    causal = np.where(inside, tokens, IGNORED)  # transformers shifts them itself
    shifted = np.concatenate([causal[:, 1:], np.full((len(LENGTHS), 1), IGNORED)], axis=1)
    return tokens, shifted, causal


def make(name, build, kind, seed):
    if sys.argv[1:] and name not in sys.argv[1:]:
        return
    model = build()
    randomize(model, seed)
    model.eval()
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    tokens, labels, given = batch(model.config.vocab_size, kind, seed)
    mask = (np.arange(tokens.shape[1])[None] < np.array(LENGTHS)[:, None]).astype(np.int64)
    finish(folder, model, tokens, labels, lambda: model(torch.tensor(tokens), attention_mask=torch.tensor(mask), labels=torch.tensor(given)).loss)


def make_recurrent(name, config, kind, seed):
    """A torch module of Samples/recurrent; its directory is this project's own."""
    if sys.argv[1:] and name not in sys.argv[1:]:
        return
    model = Recurrent(config)
    randomize(model, seed)
    folder = FIXTURES / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    tied = model.head.weight is model.embedding.weight
    save_file({key: value.clone() for key, value in model.state_dict().items() if not (tied and key == "head.weight")}, folder / "model.safetensors")
    tokens, labels, _ = batch(config["vocab_size"], kind, seed)

    def loss():
        logits = model(torch.tensor(tokens), torch.tensor(LENGTHS))
        return torch.nn.functional.cross_entropy(logits.flatten(0, -2), torch.tensor(labels).flatten(), ignore_index=IGNORED)

    finish(folder, model, tokens, labels, loss)


def finish(folder, model, tokens, labels, loss):
    """Writes the loss, its gradients, and the losses of ten steps."""
    first = loss()
    first.backward()
    expected = {
        "tokens": torch.tensor(tokens, dtype=torch.int32), "lengths": torch.tensor(LENGTHS, dtype=torch.int32),
        "labels": torch.tensor(labels, dtype=torch.int32), "loss": first.detach()[None]}
    expected |= {"gradient:" + key: value.grad.clone() for key, value in model.named_parameters()}

    matrices = [value for value in model.parameters() if value.dim() >= 2]
    vectors = [value for value in model.parameters() if value.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], lr=5e-3)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        value = loss()
        losses.append(value.item())
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    expected["losses"] = torch.tensor(losses)
    save_file({key: value.contiguous() for key, value in expected.items()}, folder / "expected.safetensors")
    print(folder.name, losses[0], losses[-1], sum(value.numel() for value in model.parameters()))


class Recorder:
    """A model's logits, hidden states after layers, and queries, keys and values by head as its attention reads them."""

    def __init__(self, model, tokens, mask):
        self.q, self.k, self.v = [], [], []
        hooks = []
        if model.config.model_type == "bert":
            for layer in model.bert.encoder.layer:
                attention = layer.attention.self
                for name, values in (("query", self.q), ("key", self.k), ("value", self.v)):
                    hooks.append(getattr(attention, name).register_forward_hook(lambda m, i, o, values=values: values.append(o)))
        elif model.config.model_type == "gpt2":
            def split(module, inputs, output):
                for values, part in zip((self.q, self.k, self.v), output.split(model.config.n_embd, dim=2)):
                    values.append(part)
            hooks = [layer.attn.c_attn.register_forward_hook(split) for layer in model.transformer.h]
        else:
            for layer in model.model.layers:
                for name, values in (("q_proj", self.q), ("k_proj", self.k), ("v_proj", self.v)):
                    hooks.append(getattr(layer.self_attn, name).register_forward_hook(lambda m, i, o, values=values: values.append(o)))
        blocks = []
        stack = {"bert": lambda: model.bert.encoder.layer, "gpt2": lambda: model.transformer.h, "llama": lambda: model.model.layers}
        for layer in stack[model.config.model_type]():
            hooks.append(layer.register_forward_hook(lambda m, i, o: blocks.append(o[0] if isinstance(o, tuple) else o)))
        self.logits = model(tokens, attention_mask=mask).logits
        self.hidden = blocks
        for hook in hooks:
            hook.remove()
        if model.config.model_type == "llama":
            heads, shared = model.config.num_attention_heads, model.config.num_key_value_heads
            places = torch.arange(tokens.shape[1])[None]
            cosine, sine = model.model.rotary_emb(self.q[0], places)
            for layer in range(len(self.q)):
                q, k = (self.by_head(x[layer], count) for x, count in ((self.q, heads), (self.k, shared)))
                q, k = apply_rotary_pos_emb(q, k, cosine, sine)
                self.q[layer], self.k[layer] = (x.transpose(1, 2).flatten(2) for x in (q, k))

    @staticmethod
    def by_head(x, heads):
        return x.unflatten(2, (heads, -1)).transpose(1, 2)


def relation(function, a, b, heads, shared, mask, causal):
    """Masked scores of rows of a with rows of b: [batch, heads, tokens, tokens], and where they are seen."""
    size = a.shape[2] // heads
    a, b = Recorder.by_head(a, heads), Recorder.by_head(b, shared).repeat_interleave(heads // shared, 1)
    scores = a @ b.transpose(2, 3) / size ** 0.5
    seen = mask[:, None, None, :].bool().expand_as(scores)
    return scores, seen & torch.tril(torch.ones_like(seen)) if causal else seen


def compare(function, student, teacher, seen, mask):
    """The mean over heads and tokens of what makes a row of the student's scores differ from the teacher's."""
    if function == "divergence":
        p, q = (x.masked_fill(~seen, -1e9).log_softmax(-1) for x in (teacher, student))
        rows = (p.exp() * (p - q)).sum(-1)
    else:
        if function == "probabilities":
            student, teacher = (x.masked_fill(~seen, -1e9).softmax(-1) for x in (student, teacher))
        rows = ((student - teacher) ** 2).masked_fill(~seen, 0).sum(-1) / seen.sum(-1)
    inside = mask[:, None, :].expand_as(rows)
    return (rows * inside).sum() / inside.sum()


def distill(name, student, teacher, seed, heads, relation_heads, hidden_map, relation_map):
    folder = FIXTURES / name
    for place, (model, directory) in enumerate(((student, "student"), (teacher, "teacher"))):
        randomize(model, seed + place)
        model.eval()
        model.save_pretrained(folder / directory)
        (folder / directory / "generation_config.json").unlink(missing_ok=True)
        config = folder / directory / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()), indent=1, sort_keys=True) + "\n")
    rng = np.random.default_rng(seed)
    tokens = torch.tensor(rng.integers(1, student.config.vocab_size, (len(LENGTHS), max(LENGTHS))))
    mask = torch.tensor((np.arange(max(LENGTHS))[None] < np.array(LENGTHS)[:, None]).astype(np.int64))
    causal = student.config.model_type != "bert"
    with torch.no_grad():
        wanted = Recorder(teacher, tokens, mask)
    inside, count = mask.float(), mask.sum()
    widths = [model.config.hidden_size for model in (student, teacher)]
    generator = torch.Generator().manual_seed(seed + 9)
    projections = {
        key: (torch.randn(widths[1], widths[0], generator=generator) * 0.3).requires_grad_()
        for key in [f"{s}-{t}" for s, t in hidden_map] + ([] if causal else ["embedding"])}
    pool = lambda hidden: (hidden * inside[..., None]).sum(1) / inside.sum(1, keepdim=True)

    def soft(own, temperature, skew):
        p, q = ((x / temperature).log_softmax(-1) for x in (wanted.logits, own.logits))
        m = (skew * p.exp() + (1 - skew) * q.exp()).log()
        return temperature ** 2 * ((p.exp() * (p - m)).sum(-1) * inside).sum() / count

    def hidden(own, metric):
        total = 0
        for s, t in hidden_map:
            a, b = own.hidden[s] @ projections[f"{s}-{t}"].T, wanted.hidden[t]
            rows = ((a - b) ** 2).mean(-1) if metric == "squared" else 1 - F.cosine_similarity(a, b, dim=-1)
            total = total + (rows * inside).sum() / count
        return total / len(hidden_map)

    def attention(own, function):
        total = 0
        for s, t in relation_map:
            a, seen = relation(function, own.q[s], own.k[s], heads, heads, mask, causal)
            b, _ = relation(function, wanted.q[t], wanted.k[t], heads, getattr(teacher.config, "num_key_value_heads", heads), mask, causal)
            total = total + compare(function, a, b, seen, mask)
        return total / len(relation_map)

    def relations(own):
        total = 0
        for s, t in relation_map:
            for a, b in ((own.q[s], wanted.q[t]), (own.k[s], wanted.k[t]), (own.v[s], wanted.v[t])):
                (x, seen), (y, _) = (relation("", z, z, relation_heads, relation_heads, mask, causal) for z in (a, b))
                total = total + compare("divergence", x, y, seen, mask)
        return total / len(relation_map) / 3

    losses = {
        "soft": lambda own: soft(own, 2, 0), "skewed": lambda own: soft(own, 1.5, 0.1),
        "hidden": lambda own: hidden(own, "squared"), "hidden-cosine": lambda own: hidden(own, "cosine"),
        "relations": relations}
    losses |= {f"attention-{f}": (lambda own, f=f: attention(own, f)) for f in ("divergence", "probabilities", "scores")}
    if not causal:
        losses["vectors"] = lambda own: (1 - F.cosine_similarity(pool(own.hidden[-1]) @ projections["embedding"].T, pool(wanted.hidden[-1]))).mean()
    expected = {"tokens": tokens.to(torch.int32), "lengths": torch.tensor(LENGTHS, dtype=torch.int32)}
    expected |= {f"distillation:projection:{key}": value.detach() for key, value in projections.items()}
    parameters = dict(student.named_parameters()) | {f"distillation:projection:{key}": value for key, value in projections.items()}
    for key, loss in losses.items():
        for parameter in parameters.values():
            parameter.grad = None
        value = loss(Recorder(student, tokens, mask))
        value.backward()
        expected[f"loss:{key}"] = value.detach()[None]
        expected |= {f"{key}:gradient:{n}": p.grad.clone() for n, p in parameters.items() if p.grad is not None}
        print(name, key, value.item())
    save_file({key: value.contiguous() for key, value in expected.items()}, folder / "expected.safetensors")


def main():
    for folder in FIXTURES.glob("*/"):
        shutil.rmtree(folder)

    bert = {
        "vocab_size": 34, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 19,
        "max_position_embeddings": 12, "attn_implementation": "eager"}
    make("bert-masked", lambda: BertForMaskedLM(BertConfig(**bert)), "masked", 1)
    make("bert-classify", lambda: BertForSequenceClassification(BertConfig(**bert, num_labels=3)), "classify", 2)
    make("gpt2", lambda: GPT2LMHeadModel(GPT2Config(
        vocab_size=34, n_positions=12, n_embd=16, n_layer=2, n_head=2, n_inner=19, bos_token_id=0, eos_token_id=0,
        attn_implementation="eager")), "causal", 3)
    make("llama", lambda: LlamaForCausalLM(LlamaConfig(
        vocab_size=34, hidden_size=16, intermediate_size=19, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=16, rms_norm_eps=1e-5, tie_word_embeddings=False, attn_implementation="eager")), "causal", 4)

    shape = {"vocab_size": 21, "num_attention_heads": 3, "max_position_embeddings": 8, "attn_implementation": "eager"}
    distill(
        "distill-bert", BertForMaskedLM(BertConfig(hidden_size=12, num_hidden_layers=2, intermediate_size=13, **shape)),
        BertForMaskedLM(BertConfig(hidden_size=18, num_hidden_layers=3, intermediate_size=11, **shape)), 5,
        heads=3, relation_heads=2, hidden_map=[(0, 1), (1, 2)], relation_map=[(0, 0), (1, 2)])
    distill(
        "distill-causal", GPT2LMHeadModel(GPT2Config(
            vocab_size=21, n_positions=8, n_embd=12, n_layer=2, n_head=4, n_inner=13, bos_token_id=0, eos_token_id=0, attn_implementation="eager")),
        LlamaForCausalLM(LlamaConfig(
            vocab_size=21, hidden_size=16, intermediate_size=11, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=8, rms_norm_eps=1e-5, tie_word_embeddings=True, attn_implementation="eager")), 7,
        heads=4, relation_heads=2, hidden_map=[(0, 0), (1, 2)], relation_map=[(1, 2)])

    recurrent = {"vocab_size": 34, "hidden_size": 19, "embedding_size": 12}
    labels = {"id2label": {str(number): f"L{number}" for number in range(3)}}
    tags = {"id2label": {str(number): f"T{number}" for number in range(5)}}
    make_recurrent("lstm", recurrent | {"model_type": "lstm", "architectures": ["LSTMForCausalLM"], "num_layers": 2}, "causal", 5)
    make_recurrent("gru", {
        "model_type": "gru", "architectures": ["GRUForCausalLM"], "vocab_size": 34, "hidden_size": 19, "num_layers": 2,
        "tie_word_embeddings": True}, "causal", 6)
    make_recurrent("rnn", recurrent | {
        "model_type": "rnn", "architectures": ["RNNForCausalLM"], "num_layers": 2, "bias": False, "head_bias": False}, "causal", 7)
    make_recurrent("lstm-tags", recurrent | tags | {
        "model_type": "lstm", "architectures": ["LSTMForTokenClassification"], "num_layers": 2, "bidirectional": True}, "tags", 8)
    make_recurrent("lstm-classify", recurrent | labels | {
        "model_type": "lstm", "architectures": ["LSTMForSequenceClassification"], "num_layers": 2, "bidirectional": True}, "classify", 9)
    make_recurrent("gru-classify", recurrent | labels | {
        "model_type": "gru", "architectures": ["GRUForSequenceClassification"], "num_layers": 1, "bidirectional": True, "pooling": "mean"}, "classify", 10)


if __name__ == "__main__":
    main()
