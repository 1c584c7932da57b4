"""Times training steps of PyTorch and of shrink on the same GPT-2-like model, batch and threads, turn by turn.

    swift build -c release --product training-benchmark
    python3 Tools/peers/train.py [--threads 2] [--steps 20] [--rounds 3]

4 layers, width 256, vocabulary 8192, batch 8 × 128: forward, backward, clipping and AdamW in binary32. Prints the least
milliseconds of a step, the ratio, the peak memory of both, and the losses, which show that both do the same.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH, TOKENS, VOCABULARY = 8, 128, 8192
BENCHMARK = Path(__file__).parents[2] / ".build/release/training-benchmark"


def ids():
    state, result = 1, []
    for _ in range(BATCH * TOKENS):
        state = (state * 6364136223846793005 + 1442695040888963407) & (1 << 64) - 1
        result.append((state >> 33) % VOCABULARY)
    return result


def torch_steps(folder, threads, steps):
    import torch
    from transformers import GPT2LMHeadModel

    torch.set_num_threads(threads)
    model = GPT2LMHeadModel.from_pretrained(folder).train()
    matrices = [value for value in model.parameters() if value.dim() >= 2]
    vectors = [value for value in model.parameters() if value.dim() < 2]
    optimizer = torch.optim.AdamW([{"params": matrices}, {"params": vectors, "weight_decay": 0.0}], lr=1e-3, weight_decay=0.01)
    tokens = torch.tensor(ids()).reshape(BATCH, TOKENS)
    times, losses = [], []
    for _ in range(steps):
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = model(tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        times.append(1e3 * (time.perf_counter() - start))
        losses.append(loss.item())
    times = sorted(times[2:])
    print(json.dumps({
        "least_ms": times[0], "median_ms": times[len(times) // 2], "first_loss": losses[0], "last_loss": losses[-1],
        "peak_mib": next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024}))


def make_model(folder):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    GPT2LMHeadModel(GPT2Config(
        n_layer=4, n_embd=256, n_head=4, vocab_size=VOCABULARY, n_positions=TOKENS, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        bos_token_id=0, eos_token_id=0)).save_pretrained(folder)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", metavar="DIRECTORY", help="one round of PyTorch alone, in this process")
    options = parser.parse_args()
    if options.torch:
        return torch_steps(options.torch, options.threads, options.steps)
    with tempfile.TemporaryDirectory() as folder:
        make_model(folder)
        commands = {
            "pytorch": [sys.executable, __file__, "--torch", folder, "--threads", str(options.threads), "--steps", str(options.steps)],
            "shrink": [BENCHMARK, folder, str(BATCH), str(TOKENS), str(options.threads), str(options.steps)]}
        best = {}
        for _ in range(options.rounds):
            for name, command in commands.items():
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
                result = json.loads(output.splitlines()[-1])
                if name not in best or result["least_ms"] < best[name]["least_ms"]:
                    best[name] = result
    for name, result in best.items():
        rate = BATCH * TOKENS / result["least_ms"] * 1e3
        print(f"{name:8} {result['least_ms']:7.1f} ms  {rate:7.0f} tokens/s  peak {result['peak_mib']:5.0f} MiB  "
              f"loss {result['first_loss']:.5f} -> {result['last_loss']:.5f}")
    print(f"ratio    {best['pytorch']['least_ms'] / best['shrink']['least_ms']:.2f}x with {options.threads} threads")


if __name__ == "__main__":
    main()
