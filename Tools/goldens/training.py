"""Makes the fixtures of Tests/ShrinkTrainingTests: tiny models, a batch of padded sequences, and PyTorch's loss and gradients
of it in binary32, and the losses of ten AdamW steps.

    python3 Tools/goldens/training.py [NAME]…    # all, or those of these names

Needs numpy==2.4.6, safetensors==0.8.0, torch==2.13.0, transformers==5.23.0.

Every folder is a Hugging Face directory with `expected.safetensors`: I32 `tokens` [batch, tokens], `lengths` [batch] and
`labels` (−100 where ignored), F32 `loss`, `gradient:NAME` for each parameter, and `losses`: before each of ten steps on
the same batch with rate 0.005, weight decay 0.1 on matrices, and gradients clipped to the norm 1.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
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


def main():
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
