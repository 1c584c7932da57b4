"""Times training steps of PyTorch and of shrink on the same models, batches and threads, turn by turn.

    Tools/compare-peers training [--quick] [--models gpt2,minilm,lstm] [--threads 2,1] [--steps 12] [--rounds 3] [--json]

Forward, backward, clipping and AdamW in binary32, without dropout, on random tokens:
    gpt2      4 layers, width 256, vocabulary 8192, 8 × 128 tokens
    minilm    a BERT of the shape of MiniLM-L6 (6 layers, width 384, vocabulary 30522) that predicts every seventh token, 8 × 128
    lstm      2 × 512 units, embeddings of 512, vocabulary 8192, 16 × 64
Every round starts both as new processes. Prints tokens per second of the fastest step, the ratio, the peak memory of
both, and the first and last loss, which show that both do the same.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BENCHMARK = Path(__file__).parents[2] / ".build/release/training-benchmark"
SHAPES = {"gpt2": (8, 128, 8192), "minilm": (8, 128, 30522), "lstm": (16, 64, 8192)}


def ids(count, vocabulary):
    state, result = 1, []
    for _ in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        result.append((state >> 33) % vocabulary)
    return result


def language_model(torch):
    class LanguageModel(torch.nn.Module):
        def __init__(self, vocabulary, width, layers):
            super().__init__()
            self.embedding = torch.nn.Embedding(vocabulary, width)
            self.rnn = torch.nn.LSTM(width, width, layers, batch_first=True)
            self.head = torch.nn.Linear(width, vocabulary)

        def forward(self, tokens):
            return self.head(self.rnn(self.embedding(tokens))[0])

    return LanguageModel(SHAPES["lstm"][2], 512, 2)


def make_model(name):
    import torch
    from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    _, tokens, vocabulary = SHAPES[name]
    if name == "gpt2":
        return GPT2LMHeadModel(GPT2Config(
            n_layer=4, n_embd=256, n_head=4, vocab_size=vocabulary, n_positions=tokens, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
            bos_token_id=0, eos_token_id=0))
    if name == "minilm":
        return BertForMaskedLM(BertConfig(
            num_hidden_layers=6, hidden_size=384, num_attention_heads=12, intermediate_size=1536, vocab_size=vocabulary,
            hidden_dropout_prob=0, attention_probs_dropout_prob=0, pad_token_id=None))
    return language_model(torch)


def save_model(name, folder):
    model = make_model(name)
    if name != "lstm":
        return model.save_pretrained(folder)
    from safetensors.torch import save_file

    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({
        "model_type": "lstm", "architectures": ["LSTMForCausalLM"], "vocab_size": SHAPES[name][2], "embedding_size": 512,
        "hidden_size": 512, "num_layers": 2}))


def torch_steps(name, folder, threads, steps):
    import torch
    from safetensors.torch import load_file
    from transformers import BertForMaskedLM, GPT2LMHeadModel

    torch.set_num_threads(threads)
    if name == "lstm":
        model = language_model(torch)
        model.load_state_dict(load_file(Path(folder) / "model.safetensors"))
    else:
        model = (GPT2LMHeadModel if name == "gpt2" else BertForMaskedLM).from_pretrained(folder)
    model.train()
    matrices = [value for value in model.parameters() if value.dim() >= 2]
    vectors = [value for value in model.parameters() if value.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}], lr=1e-3, weight_decay=0.01)
    batch, count, vocabulary = SHAPES[name]
    tokens = torch.tensor(ids(batch * count, vocabulary)).reshape(batch, count)
    labels = torch.full_like(tokens, -100)
    if name == "minilm":
        labels.view(-1)[3::7] = tokens.view(-1)[3::7]
    else:
        labels[:, :-1] = tokens[:, 1:]
    times, losses = [], []
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        logits = model(tokens) if name == "lstm" else model(tokens).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
        del logits
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        times.append(1e3 * (time.perf_counter() - start))
        losses.append(loss.item())
    times = sorted(times[2:])
    print(json.dumps({
        "least_ms": times[0], "median_ms": times[len(times) // 2], "first_loss": losses[0], "last_loss": losses[-1],
        "peak_mib": next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024}))


def compare(name, folder, threads, options):
    batch, tokens, _ = SHAPES[name]
    commands = {
        "pytorch": [
            sys.executable, __file__, "--torch", name, str(folder), "--threads", str(threads), "--steps", str(options.steps)],
        "shrink": [BENCHMARK, folder, str(batch), str(tokens), str(threads), str(options.steps)]}
    best = {}
    for _ in range(options.rounds):
        for engine, command in commands.items():
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
            result = json.loads(output.splitlines()[-1])
            known = best.setdefault(engine, result)
            least = min(known, result, key=lambda run: run["least_ms"])
            best[engine] = least | {"peak_mib": max(known["peak_mib"], result["peak_mib"])}
    for result in best.values():
        result["tokens_per_second"] = batch * tokens / result["least_ms"] * 1e3
    return best


def main():
    parser = argparse.ArgumentParser(prog="compare-peers training")
    parser.add_argument("--models", default=",".join(SHAPES), metavar="NAME,…")
    parser.add_argument("--threads", default="2,1", metavar="N,…")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of five steps")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each comparison")
    parser.add_argument("--torch", nargs=2, metavar=("NAME", "DIRECTORY"), help="one round of PyTorch alone, in this process")
    options = parser.parse_args()
    if options.torch:
        return torch_steps(*options.torch, int(options.threads), options.steps)
    if options.quick:
        options.steps, options.rounds = 5, 1
    names = options.models.split(",")
    if unknown := [name for name in names if name not in SHAPES]:
        parser.error(f"there is no model {unknown[0]}; {', '.join(SHAPES)} are")
    if not options.json:
        print("model   threads  tokens/s shrink   PyTorch  ratio   peak MiB shrink  PyTorch   loss shrink          PyTorch")
    with tempfile.TemporaryDirectory() as root:
        for name in names:
            folder = Path(root) / name
            save_model(name, folder)
            for threads in map(int, options.threads.split(",")):
                best = compare(name, folder, threads, options)
                own, peer = best["shrink"], best["pytorch"]
                if options.json:
                    print(json.dumps({"model": name, "threads": threads, **best}), flush=True)
                    continue
                print(
                    f"{name:7} {threads:7} {own['tokens_per_second']:16.0f} {peer['tokens_per_second']:9.0f} "
                    f"{peer['least_ms'] / own['least_ms']:5.2f}x {own['peak_mib']:17.0f} {peer['peak_mib']:8.0f}   "
                    f"{own['first_loss']:.4f} -> {own['last_loss']:.4f}  {peer['first_loss']:.4f} -> {peer['last_loss']:.4f}", flush=True)


if __name__ == "__main__":
    main()
