"""The peers, each behind the same three methods:

    prepare(ids)                the tokens of an input; what it returns runs the model over them when called
    decode(ids, depth, count)   seconds a token, of `count` tokens made behind `depth` others
    tokenize(text, tokenizer)   with the tokenizer that people use with it

Each is set as its documentation says for latency: one stream, so many threads.
"""
import json
import pathlib
import time

SHAPES = [16, 64, 128]


class Encoder:
    vocabulary = 30522

    def tokenize(self, text, tokenizer):
        return load_tokenizer(tokenizer).encode(text).ids


def load_tokenizer(path):
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(path)
    tokenizer.no_padding()
    return tokenizer


def padded(ids, dtype):
    """Token ids and mask in the smallest shape that holds them."""
    import numpy
    length = next(shape for shape in SHAPES if shape >= len(ids))
    tokens, mask = numpy.zeros((1, length), dtype), numpy.zeros((1, length), dtype)
    tokens[0, :len(ids)], mask[0, :len(ids)] = ids, 1
    return tokens, mask


class OnnxRuntime(Encoder):
    module = "onnxruntime"

    def __init__(self, model, threads):
        import onnxruntime
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])

    def prepare(self, ids):
        import numpy
        tokens = numpy.array([ids], dtype=numpy.int64)
        inputs = {"input_ids": tokens, "attention_mask": numpy.ones_like(tokens)}
        return lambda: self.session.run(None, inputs)[0][0]


class LiteRT(Encoder):
    module = "ai_edge_litert.interpreter"

    def __init__(self, model, threads):
        self.model, self.threads, self.interpreters = model, threads, {}

    def prepare(self, ids):
        import numpy
        from ai_edge_litert.interpreter import Interpreter
        tokens, mask = padded(ids, numpy.int32)
        length = tokens.shape[1]
        if length not in self.interpreters:
            self.interpreters[length] = Interpreter(f"{self.model}/{length}.tflite", num_threads=self.threads)
            self.interpreters[length].allocate_tensors()
        interpreter = self.interpreters[length]
        inputs = sorted(interpreter.get_input_details(), key=lambda detail: detail["name"])  # …args_0, …args_1
        output = interpreter.get_output_details()[0]["index"]
        for detail, value in zip(inputs, (tokens, mask)):
            interpreter.set_tensor(detail["index"], value)

        def run():
            interpreter.invoke()
            return interpreter.get_tensor(output)[0]
        return run


class OpenVINO(Encoder):
    module = "openvino"

    def __init__(self, model, threads):
        import openvino
        self.core, self.requests = openvino.Core(), {}
        self.model = self.core.read_model(f"{model}/model.xml")
        # Left to itself it computes in bf16 what is not int8, which is slower here.
        self.settings = {
            "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}

    def prepare(self, ids):
        import numpy
        import openvino
        inputs = padded(ids, numpy.int64)
        length = inputs[0].shape[1]
        if length not in self.requests:
            model = self.model.clone()
            model.reshape({port.any_name: [1, length] for port in model.inputs})
            self.requests[length] = self.core.compile_model(model, "CPU", self.settings).create_infer_request()
        request = self.requests[length]
        for name, value in zip(("input_ids", "attention_mask"), inputs):
            request.set_tensor(name, openvino.Tensor(value))

        def run():
            request.infer()
            return request.get_output_tensor(0).data[0]
        return run


class CTranslate2Encoder(Encoder):
    module = "ctranslate2"

    def __init__(self, model, threads):
        import ctranslate2
        self.encoder = ctranslate2.Encoder(model, device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads)

    def prepare(self, ids):
        import numpy

        def run():
            hidden = numpy.asarray(self.encoder.forward_batch([ids]).last_hidden_state)[0].mean(axis=0)
            return hidden / numpy.linalg.norm(hidden)
        return run


class CTranslate2Generator:
    module = "ctranslate2"

    def __init__(self, model, threads):
        import ctranslate2
        self.model = model
        self.generator = ctranslate2.Generator(model, device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads)
        self.words = json.loads(pathlib.Path(model, "vocabulary.json").read_text())
        self.vocabulary = len(self.words)

    def generate(self, words, count):
        """Greedily exactly `count` tokens; the first one needs the prompt and nothing more."""
        return self.generator.generate_batch(
            [words], max_length=count, min_length=count, beam_size=1, sampling_topk=1, include_prompt_in_result=False, end_token=[])

    def prepare(self, ids):
        words = [self.words[i] for i in ids]
        return lambda: self.generate(words, 1)[0].sequences_ids[0][0]

    def decode(self, ids, depth, count):
        """It has no way to stop behind a prompt and go on: the difference of two runs."""
        words = [self.words[i] for i in ids[:depth]]
        start = time.perf_counter()
        self.generate(words, 1)
        middle = time.perf_counter()
        self.generate(words, 1 + count)
        return (time.perf_counter() - middle - (middle - start)) / count

    def tokenize(self, text, tokenizer):
        return load_tokenizer(tokenizer).encode(text).ids


class LlamaCpp:
    """Through its C functions, so that Python adds nothing to a step but the call."""
    module = "llama_cpp"

    def __init__(self, model, threads, context=640):
        import llama_cpp
        self.c = llama_cpp
        self.logger = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.logger, None)
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(model.encode(), llama_cpp.llama_model_default_params())
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = context
        settings.n_batch = settings.n_ubatch = 512
        settings.n_threads = settings.n_threads_batch = threads
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        self.words = llama_cpp.llama_model_get_vocab(self.model)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(self.words)

    def tokens(self, ids):
        return (self.c.llama_token * len(ids))(*ids)

    def step(self, tokens):
        if self.c.llama_decode(self.context, self.c.llama_batch_get_one(tokens, len(tokens))):
            raise SystemExit("llama_decode failed")
        self.c.llama_synchronize(self.context)

    def prepare(self, ids):
        tokens = self.tokens(ids)

        def run():
            self.c.llama_memory_clear(self.c.llama_get_memory(self.context), True)
            self.step(tokens)
            return self.c.llama_sampler_sample(self.c.llama_sampler_init_greedy(), self.context, -1)
        return run

    def decode(self, ids, depth, count):
        self.prepare(ids[:depth])()
        single = [self.tokens([i]) for i in ids[depth:depth + count]]
        start = time.perf_counter()
        for token in single:
            self.step(token)
        return (time.perf_counter() - start) / count

    def tokenize(self, text, tokenizer):
        data = text.encode()
        tokens = (self.c.llama_token * (len(data) + 8))()
        return list(tokens[:self.c.llama_tokenize(self.words, data, len(data), tokens, len(tokens), True, True)])


ENGINES = {
    "onnxruntime": OnnxRuntime, "litert": LiteRT, "openvino": OpenVINO, "ctranslate2-encoder": CTranslate2Encoder,
    "ctranslate2": CTranslate2Generator, "llama.cpp": LlamaCpp}
