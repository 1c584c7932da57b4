"""Loads every directory that export-samples wrote in transformers (recurrent models: in torch) and compares the outputs.

No weight may be missing or be left over, and every output must be within 1e-4 of what shrink computes, or of the
largest value where that is larger than one. Heads that read the last token get padding behind it here, which must
change nothing.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

sys.path.append(str(Path(__file__).parents[2] / "Samples/recurrent"))
import recurrent_torch  # noqa: E402

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
NAMES = {"BertForMaskedLM": {"logits": "masked_logits"},
         "BertForPreTraining": {"prediction_logits": "masked_logits", "seq_relationship_logits": "next_sentence"},
         "BertForTokenClassification": {"logits": "token_labels"}}


def embedding(folder, hidden):
    """What sentence-transformers makes of hidden states, by its files; the mean without them."""
    if not (folder / "modules.json").exists():
        return hidden.mean(dim=1)
    modules = json.loads((folder / "modules.json").read_text())
    pooling = json.loads((folder / modules[1]["path"] / "config.json").read_text())
    vector = hidden[:, 0] if pooling["pooling_mode_cls_token"] else hidden.mean(dim=1)
    return torch.nn.functional.normalize(vector, dim=1) if len(modules) == 3 else vector


def recurrent_outputs(folder, expected):
    model = recurrent_torch.load(folder)  # which is strict about names
    tokens = expected["tokens"].long()[None]
    names = {"ForCausalLM": "logits", "ForTokenClassification": "token_labels", "ForSequenceClassification": "labels", "Model": "embedding"}
    with torch.no_grad():
        return {names[model.task]: model(tokens), "hidden": model.rnn(model.embedding(tokens))[0]}, [], model


def outputs(folder, expected):
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] in ("rnn", "gru", "lstm"):
        return recurrent_outputs(folder, expected)
    kind = config["architectures"][0]
    model, info = getattr(transformers, kind).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    problems = [f"{key}: {sorted(info[key])}" for key in ("missing_keys", "unexpected_keys", "mismatched_keys") if info[key]]
    inputs = {"input_ids": expected["tokens"].long()[None]}
    if "segments" in expected:
        inputs["token_type_ids"] = expected["segments"].long()[None]
    count = inputs["input_ids"].shape[1]
    scores_last = kind.endswith("ForSequenceClassification") and not kind.startswith("Bert")
    if scores_last and config.get("pad_token_id") is not None:
        padding = torch.full((1, 3), config["pad_token_id"])
        inputs = {"input_ids": torch.cat([inputs["input_ids"], padding], dim=1), "attention_mask": (torch.arange(count + 3) < count).long()[None]}
    with torch.no_grad():
        result = model(**inputs, output_hidden_states=True)
    names = NAMES.get(kind, {"logits": "labels"} if kind.endswith("ForSequenceClassification") else {"logits": "logits"})
    found = {new: result[old] for old, new in names.items() if old in result}
    hidden = result.hidden_states[-1][:, :count]
    found["hidden"] = hidden
    if "embedding" in expected:
        found["embedding"] = embedding(folder, hidden)
    return found, problems, model


def main():
    failures = 0
    folders = sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir())
    for folder in folders:
        expected = load_file(f"{folder}.safetensors")
        found, problems, model = outputs(folder, expected)
        worst = 0.0
        for name in sorted(set(expected) - {"tokens", "segments"}):
            if name not in found:
                # A masked-LM checkpoint may hold more heads than transformers' class of it.
                problems.append(f"transformers has no {name}")
                continue
            difference = ((found[name] - expected[name].reshape(found[name].shape)).abs().max() / max(1, found[name].abs().max())).item()
            worst = max(worst, difference)
            if not difference <= 1e-4:
                problems.append(f"{name} differs by {difference:.2g}")
        print(f"{'FAIL' if problems else 'ok  '}  {folder.name}: {type(model).__name__}, largest difference {worst:.2g}", *problems, sep="  ")
        failures += bool(problems)
    print(f"{len(folders) - failures} passed, {failures} failed")
    sys.exit(failures > 0 or not folders)


if __name__ == "__main__":
    main()
