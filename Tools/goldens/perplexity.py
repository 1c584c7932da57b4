"""The perplexity that transformers computes of a causal language model in binary32: windows that do not overlap, of CONTEXT tokens each.

perplexity.py CHECKPOINT TEXT CONTEXT
"""
import math
import sys

import torch
import transformers

checkpoint, text, context = sys.argv[1], sys.argv[2], int(sys.argv[3])
tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
with open(text, encoding="utf-8") as file:
    tokens = tokenizer(file.read(), return_tensors="pt").input_ids[0]
total, count = 0.0, 0
with torch.no_grad():
    for start in range(0, len(tokens) - context + 1, context):
        window = tokens[start:start + context]
        likelihoods = torch.log_softmax(model(window[None]).logits[0, :-1].double(), -1)
        total -= likelihoods.gather(1, window[1:, None]).sum().item()
        count += context - 1
print(f"perplexity {math.exp(total / count):.6f} over {count} tokens, transformers {transformers.__version__}, torch {torch.__version__}")
