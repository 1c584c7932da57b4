"""One process that runs one peer, for Tools/compare-peers; it prints what `shrink bench --json` prints.

    worker.py bench ENGINE MODEL --threads N --tokens N… [--decode N] [--rounds N]
    worker.py first ENGINE MODEL --threads N --text TEXT [--tokenizer FILE]
    worker.py embed onnx MODEL --tokenizer FILE --file FILE

ENGINE is onnx or llama. `first` goes from a text to the first embedding or token; `embed` writes the
embeddings of a file's lines.
"""
import argparse
import json
import statistics
import time

parser = argparse.ArgumentParser()
parser.add_argument("action", choices=["bench", "first", "embed"])
parser.add_argument("engine", choices=["onnx", "llama"])
parser.add_argument("model")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--tokens", type=int, nargs="+", default=[128])
parser.add_argument("--decode", type=int, default=0)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--text")
parser.add_argument("--file")
parser.add_argument("--tokenizer")
options = parser.parse_args()


def made_up(count, vocabulary):
    return [i * 2654435761 % 2**32 % vocabulary for i in range(count)]


class Onnx:
    def __init__(self, context):
        import onnxruntime
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        self.session = onnxruntime.InferenceSession(options.model, settings, providers=["CPUExecutionProvider"])
        self.vocabulary = 30522

    def prepare(self, tokens):
        import numpy
        ids = numpy.array([tokens], dtype=numpy.int64)
        return {"input_ids": ids, "attention_mask": numpy.ones_like(ids)}

    def read(self, inputs):
        return self.session.run(None, inputs)[0]

    def tokenize(self, text):
        from tokenizers import Tokenizer
        return Tokenizer.from_file(options.tokenizer).encode(text).ids


class Llama:
    """llama.cpp through its C functions, so that Python adds nothing to a step but the call."""

    def __init__(self, context):
        import llama_cpp
        self.c = llama_cpp
        self.logger = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self.logger, None)
        llama_cpp.llama_backend_init()
        self.model = llama_cpp.llama_model_load_from_file(options.model.encode(), llama_cpp.llama_model_default_params())
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = context
        settings.n_batch = settings.n_ubatch = 512
        settings.n_threads = settings.n_threads_batch = options.threads
        self.context = llama_cpp.llama_init_from_model(self.model, settings)
        self.vocabulary_handle = llama_cpp.llama_model_get_vocab(self.model)
        self.vocabulary = llama_cpp.llama_vocab_n_tokens(self.vocabulary_handle)

    def prepare(self, tokens):
        return (self.c.llama_token * len(tokens))(*tokens)

    def read(self, tokens):
        self.c.llama_memory_clear(self.c.llama_get_memory(self.context), True)
        self.step(tokens)

    def step(self, tokens):
        if self.c.llama_decode(self.context, self.c.llama_batch_get_one(tokens, len(tokens))):
            raise SystemExit("worker: llama_decode failed")
        self.c.llama_synchronize(self.context)

    def tokenize(self, text):
        data = text.encode()
        tokens = (self.c.llama_token * (len(data) + 8))()
        return list(tokens[:self.c.llama_tokenize(self.vocabulary_handle, data, len(data), tokens, len(tokens), True, True)])


def peak_rss():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))


def report(task, length, seconds, each):
    median = statistics.median(seconds)
    print(json.dumps({
        "task": task, "tokens": length, "threads": options.threads, "rounds": options.rounds, "milliseconds": median * 1e3,
        "fastest_milliseconds": min(seconds) * 1e3, "tokens_per_second": each / median, "peak_rss_bytes": peak_rss()}))


def bench():
    engine = ENGINE(max(options.tokens) + options.decode)
    for length in options.tokens:
        ids = made_up(length + options.decode, engine.vocabulary)
        whole = engine.prepare(ids[:length])
        single = [engine.prepare([i]) for i in ids[length:]]
        reading, making = [], []
        for repeat in range(options.rounds + 1):
            start = time.perf_counter()
            engine.read(whole)
            middle = time.perf_counter()
            for token in single:
                engine.step(token)
            end = time.perf_counter()
            if repeat > 0:
                reading.append(middle - start)
                making.append((end - middle) / max(len(single), 1))
        report("embed" if ENGINE is Onnx else "prefill", length, reading, length)
        if single:
            report("decode", length, making, 1)


def first():
    __import__({"onnx": "onnxruntime", "llama": "llama_cpp"}[options.engine])
    if options.engine == "onnx":
        import tokenizers  # noqa: F401
    print(json.dumps({"imported_at": time.monotonic(), "imported_rss_bytes": peak_rss()}))
    engine = ENGINE(64)
    ids = engine.tokenize(options.text)
    result = engine.read(engine.prepare(ids))
    if options.engine == "llama":
        result = engine.c.llama_sampler_sample(engine.c.llama_sampler_init_greedy(), engine.context, -1)
    print(json.dumps({"tokens": len(ids), "result": int(result if options.engine == "llama" else result.argmax())}))


def embed():
    from tokenizers import Tokenizer
    engine, tokenizer = ENGINE(0), Tokenizer.from_file(options.tokenizer)
    tokenizer.no_padding()
    for line in open(options.file):
        print(json.dumps({"embedding": engine.read(engine.prepare(tokenizer.encode(line.strip()).ids))[0].tolist()}))


ENGINE = {"onnx": Onnx, "llama": Llama}[options.engine]
{"bench": bench, "first": first, "embed": embed}[options.action]()
