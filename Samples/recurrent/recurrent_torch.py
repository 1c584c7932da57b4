"""The recurrent models that shrink trains and exports, in torch: `load(directory)` gives a torch.nn.Module.

    model = load("run/best")
    logits = model(torch.tensor([[5, 17, 3]]))

    python3 recurrent_torch.py DIRECTORY    # prints what the model is, and its answer to the tokens 1, 2, 3

Needs torch and safetensors.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Recurrent(torch.nn.Module):
    """`embedding`, `rnn` and `head`, whose parameters are the tensors of model.safetensors."""

    def __init__(self, config, normalizes=False):
        super().__init__()
        self.normalizes = normalizes
        self.kind = config["model_type"]
        self.task = config.get("architectures", ["ForCausalLM"])[0].removeprefix(self.kind.upper())
        self.pooling = config.get("pooling", "last")
        hidden, vocabulary = config["hidden_size"], config["vocab_size"]
        self.embedding = torch.nn.Embedding(vocabulary, config.get("embedding_size", hidden))
        self.rnn = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[self.kind](
            self.embedding.embedding_dim, hidden, config["num_layers"], bias=config.get("bias", True), batch_first=True,
            bidirectional=config.get("bidirectional", False))
        width = hidden * (2 if self.rnn.bidirectional else 1)
        if self.task == "ForCausalLM":
            outputs = vocabulary
        else:
            outputs = len(config["id2label"]) if "id2label" in config else config.get("num_labels", 2)
        self.head = None if self.task == "Model" else torch.nn.Linear(width, outputs, bias=config.get("head_bias", True))
        if self.head and config.get("tie_word_embeddings", False) and self.task == "ForCausalLM":
            self.head.weight = self.embedding.weight

    def forward(self, tokens, lengths=None):
        """tokens [batch, tokens]; what stands behind a length does not matter."""
        batch, count = tokens.shape
        lengths = torch.full((batch,), count) if lengths is None else lengths
        packed = pack_padded_sequence(self.embedding(tokens), lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.rnn(packed)
        hidden = pad_packed_sequence(states, batch_first=True, total_length=count)[0]
        if self.task in ("ForCausalLM", "ForTokenClassification"):
            return self.head(hidden)
        if self.pooling == "mean":
            pooled = hidden.sum(1) / lengths[:, None]
        else:
            last = last[0] if self.kind == "lstm" else last
            pooled = torch.cat([last[-2], last[-1]], -1) if self.rnn.bidirectional else last[-1]
        if self.head:
            return self.head(pooled)
        return torch.nn.functional.normalize(pooled, dim=-1) if self.normalizes else pooled


def load(directory):
    folder = Path(directory)
    config = json.loads((folder / "config.json").read_text())
    modules, normalizes = folder / "modules.json", False
    if config["architectures"][0].endswith("Model") and modules.exists():  # an encoder that learned from one of sentence-transformers
        normalizes = any(module["type"].endswith(".Normalize") for module in json.loads(modules.read_text()))
        if json.loads((folder / "1_Pooling/config.json").read_text())["pooling_mode_mean_tokens"]:
            config["pooling"] = "mean"
    model = Recurrent(config, normalizes)
    tensors = {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
    if model.head and model.head.weight is model.embedding.weight:
        tensors["head.weight"] = tensors["embedding.weight"]
    model.load_state_dict(tensors)
    return model.eval()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: recurrent_torch.py DIRECTORY")
    loaded = load(sys.argv[1])
    print(loaded)
    with torch.no_grad():
        print(loaded(torch.tensor([[1, 2, 3]])))
