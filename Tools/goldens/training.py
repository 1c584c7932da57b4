"""Makes the fixtures of Tests/ShrinkTrainingTests: tiny models, a batch of padded sequences, and PyTorch's loss and gradients
of it in binary32, and the losses of ten AdamW steps.

    python3 Tools/goldens/training.py

Needs numpy==2.4.6, safetensors==0.8.0, torch==2.13.0, transformers==5.23.0.

Every folder is a Hugging Face directory with `expected.safetensors`: I32 `tokens` [batch, tokens], `lengths` [batch] and
`labels` (−100 where ignored), F32 `loss`, `gradient:NAME` for each parameter, and `losses`: before each of ten steps on
the same batch with rate 0.005, weight decay 0.1 on matrices, and gradients clipped to the norm 1.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import (
    BertConfig, BertForMaskedLM, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM)

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
    if kind == "masked":
        labels = np.where(inside & (rng.random(tokens.shape) < 0.4), rng.integers(0, vocabulary, tokens.shape), IGNORED)
        return tokens, labels, labels
    causal = np.where(inside, tokens, IGNORED)  # transformers shifts them itself
    shifted = np.concatenate([causal[:, 1:], np.full((len(LENGTHS), 1), IGNORED)], axis=1)
    return tokens, shifted, causal


def make(name, model, kind, seed):
    randomize(model, seed)
    model.eval()
    folder = FIXTURES / name
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    tokens, labels, given = batch(model.config.vocab_size, kind, seed)
    mask = (np.arange(tokens.shape[1])[None] < np.array(LENGTHS)[:, None]).astype(np.int64)

    def loss():
        return model(torch.tensor(tokens), attention_mask=torch.tensor(mask), labels=torch.tensor(given)).loss

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
    print(name, losses[0], losses[-1], sum(value.numel() for value in model.parameters()))


def main():
    shutil.rmtree(FIXTURES, ignore_errors=True)
    bert = {
        "vocab_size": 34, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 19,
        "max_position_embeddings": 12, "attn_implementation": "eager"}
    make("bert-masked", BertForMaskedLM(BertConfig(**bert)), "masked", 1)
    make("bert-classify", BertForSequenceClassification(BertConfig(**bert, num_labels=3)), "classify", 2)
    make("gpt2", GPT2LMHeadModel(GPT2Config(
        vocab_size=34, n_positions=12, n_embd=16, n_layer=2, n_head=2, n_inner=19, bos_token_id=0, eos_token_id=0,
        attn_implementation="eager")), "causal", 3)
    make("llama", LlamaForCausalLM(LlamaConfig(
        vocab_size=34, hidden_size=16, intermediate_size=19, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=16, rms_norm_eps=1e-5, tie_word_embeddings=False, attn_implementation="eager")), "causal", 4)


if __name__ == "__main__":
    main()
