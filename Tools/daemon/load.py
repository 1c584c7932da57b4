"""Many clients at once, each answer compared with the one that a single client got from the same model."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

TEXTS = [
    "the cat in the hat", "a", "Grüße aus Köln, 東京 und \U0001F600!", "the the the", "quotes \" and \\ and \u0001 and \u0000",
    "the cat sat on the mat and the dog ran after it, over and over again, until the sun went down behind the hills",
]


def requests(tokens):
    """What clients ask. `tokens`: of the longest answer."""
    found = []
    for text in TEXTS:
        found.append({"op": "embed", "text": text})
        found.append({"op": "classify", "text": text})
        found.append({"op": "generate", "prompt": text, "max_tokens": tokens, "stream": True})
        found.append({"op": "generate", "prompt": text, "max_tokens": tokens // 4 + 1})
    found.append({"op": "classify", "text": TEXTS[0], "pair": TEXTS[3]})
    for seed in range(4):
        found.append({"op": "generate", "prompt": "the", "max_tokens": tokens, "temperature": 0.8, "top_k": 40, "top_p": 0.9,
                      "seed": seed, "stream": seed % 2 == 0})
    found.append({"op": "generate", "messages": [{"role": "user", "content": "Hello?"}], "max_tokens": tokens, "stream": True})
    found.append({"op": "generate", "prompt": "", "max_tokens": 1})
    found.append({"op": "embed", "text": ""})
    found.append({"op": "generate", "prompt": "too long " * 4000, "max_tokens": 1})
    return found


def without_id(answer):
    return {key: value for key, value in answer.items() if key != "id"}


def single_client_answers(daemon, asked):
    """The answers of the model that the daemon has, one after the other."""
    with daemon.connect() as connection:
        return [without_id(connection.ask(id=i, **request)) for i, request in enumerate(asked)]


class Tally:
    """What the clients saw, together."""

    def __init__(self):
        self.lock = threading.Lock()
        self.compared = self.errors = self.retries = 0
        self.slowest = 0.0
        self.problems = []
        self.models = {}

    def problem(self, text):
        with self.lock:
            self.problems.append(text)


class MixedClient(threading.Thread):
    """Asks a few things at once and checks what comes back, until the end. `versions`: the lists of
    right answers, of all models that the daemon may have. `hoards`: asks for many streams and lets them lie for seconds."""

    def __init__(self, daemon, asked, versions, tally, end, seed, hoards=False):
        super().__init__(daemon=True)
        self.target, self.asked, self.versions, self.tally, self.end = daemon, asked, versions, tally, end
        self.random, self.hoards = random.Random(seed), hoards
        self.refused = set()  # what the model could not do when last asked: asked for now and then

    def run(self):
        try:
            while time.monotonic() < self.end:
                with self.target.connect() as connection:
                    for _ in range(self.random.randrange(1, 30)):
                        if time.monotonic() < self.end:
                            self.batch(connection)
        except Exception as problem:  # a thread must not end in silence
            self.tally.problem(f"a client ended: {type(problem).__name__}: {problem}")

    def batch(self, connection):
        refused = self.refused if self.random.random() < 0.9 else ()
        choices = [i for i, request in enumerate(self.asked)
                   if request["op"] not in refused and (request.get("stream") or not self.hoards)] or [0]
        chosen = self.random.choices(choices, k=40 if self.hoards else self.random.randrange(1, 5))
        data = b"".join(json.dumps({"id": i} | self.asked[which]).encode() + b"\n" for i, which in enumerate(chosen))
        if self.random.random() < 0.3:
            data += b'{"op":"metrics","id":"m"}\n{"op":"health","id":"h"}\n'
        start = time.monotonic()
        while data:  # in pieces, as a network would
            count = self.random.choice([len(data), 7, 100, 5000])
            connection.send(data[:count])
            data = data[count:]
        time.sleep(2 if self.hoards else 0)
        for i, which in enumerate(chosen):
            answer = connection.answer()
            while answer and answer["id"] in ("m", "h"):
                answer = connection.answer()
            if answer is None or answer["id"] != i:
                raise AssertionError(f"lost: answer {i} to {self.asked[which]}, got {answer}")
            self.compare(which, answer)
        with self.tally.lock:
            self.tally.slowest = max(self.tally.slowest, 0 if self.hoards else time.monotonic() - start)

    def compare(self, which, answer):
        answer, tally = without_id(answer), self.tally
        code = answer.get("error", {}).get("code")
        if code == "overloaded" or (code == "slow_reader" and self.hoards):
            with tally.lock:
                tally.retries += 1
            return
        (self.refused.add if code == "unsupported" else self.refused.discard)(self.asked[which]["op"])
        right = [version[which] for version in self.versions]
        if code == "slow_reader" or ("text" in answer and "error" in answer) or answer not in right:
            expected = [version for version in right if version.get("model") == answer.get("model")]
            tally.problem(f"wrong: {self.asked[which]}: {answer} instead of {expected}")
        with tally.lock:
            tally.compared += 1
            tally.errors += code is not None
            model = answer.get("model", "")[:8]
            tally.models[model] = tally.models.get(model, 0) + 1


KILLED = """
import os, signal, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\\n")
if b"delta" in s.recv(100):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_mid_stream(daemon, request, attempts=30):
    """Kills a client that reads a stream; whether the daemon then stopped that answer before its end."""
    def cancelled():
        return daemon.ask(op="metrics")["requests"]["generate"]["cancelled"]

    before = cancelled()
    for _ in range(attempts):
        child = subprocess.run([sys.executable, "-c", KILLED, daemon.path, json.dumps(request)], env=os.environ)
        time.sleep(0.1)
        if child.returncode == -signal.SIGKILL and cancelled() > before:
            return True
    return False
