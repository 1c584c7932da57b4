"""The sample checkpoints: what they say is what transformers computes of them, packed or not, and their recipes work."""

import json
import os

import training

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

#: Of transformers 5 in binary32 on Samples/text/shakespeare/test.txt, by Tools/goldens/perplexity.py.
PERPLEXITY = {"shakespeare-gpt2": 71.873050, "shakespeare-gpt2-small": 68.093842}


def check(t):
    os.symlink(f"{ROOT}/Samples", f"{t.directory}/Samples")
    text = ["--perplexity", "Samples/text/shakespeare/test.txt", "--context", "256", "--json", "--quiet"]
    for name, expected in PERPLEXITY.items():
        checkpoint = f"Samples/checkpoints/{name}"
        found = t.works(f"{name} in fp32", "eval", checkpoint, *text, seconds=60).objects[0]
        t.check("its perplexity is that of transformers", abs(found["perplexity"] / expected - 1) < 1e-5, found)
        t.check("its weights are in half precision, 6 MB at most", 2 * t.run("inspect", checkpoint, "--json").objects[0]["parameters"]
                <= os.path.getsize(f"{t.directory}/{checkpoint}/model.safetensors") <= 6_000_000)
        t.works("it can be packed", "quantize", checkpoint, "-o", f"{name}.shrink", "--quiet")
        found = t.works("the artifact", "eval", f"{name}.shrink", *text, seconds=60).objects[0]
        t.check("is as good, within half a percent", abs(found["perplexity"] / expected - 1) < 0.005, found)
        t.works("it computes here what it did there", "inspect", f"{name}.shrink", "--self-test")
        words = t.works("it writes", "run", f"{name}.shrink", "--prompt", "ROMEO:", "--max-tokens", "20", "--quiet").text.split()
        t.check("words", len(words) > 5, words)
        command = "distill" if name.endswith("small") else "train"
        t.works("its recipe trains", command, "--recipe", f"{checkpoint}.yaml", "--epochs", "0.02", "--validation-data", "Samples/text/sentences.txt", "-o", f"again-{name}", "--quiet", seconds=60)
        t.check("a model of the same form", t.run("inspect", f"again-{name}/last", "--json").objects[0]["parameters"]
                == t.run("inspect", checkpoint, "--json").objects[0]["parameters"])
        lines = training.metrics(f"{t.directory}/again-{name}")
        t.check("with each loss by its name", any("losses" in line for line in lines), lines[:2])
        config = json.loads(training.read(f"{t.directory}/again-{name}/last/config.json"))
        t.check("and the configuration beside the recipe", config == json.loads(training.read(f"{t.directory}/{checkpoint}/config.json")), config)
