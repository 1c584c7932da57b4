"""Starts the daemon, talks to it, and looks at it from the outside."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading

SECONDS = 60  # for what takes a moment, unless the machine is in trouble


class Connection:
    """Sends lines, reads lines."""

    def __init__(self, path, seconds=SECONDS):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(seconds)
        self.socket.connect(path)
        self.rest = b""
        self.texts = {}  # of the streams that have not ended, by id

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *messages):
        self.socket.sendall(b"".join(m if isinstance(m, bytes) else json.dumps(m).encode() + b"\n" for m in messages))

    def line(self):
        """The next line as an object; None at the end."""
        while b"\n" not in self.rest:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                piece = b""
            if not piece:
                assert not self.rest, f"half a line at the end: {self.rest[:200]}"
                return None
            self.rest += piece
        line, self.rest = self.rest.split(b"\n", 1)
        return json.loads(line)

    def answer(self):
        """The next answer as one object: of a stream, with the whole text. Answers may come between its lines."""
        while (line := self.line()) is not None:
            if "delta" not in line:
                return line | ({"text": self.texts.pop(line["id"])} if line["id"] in self.texts else {})
            self.texts[line["id"]] = self.texts.get(line["id"], "") + line["delta"]
        return None

    def ask(self, **request):
        self.send(request)
        return self.answer()


class Daemon:
    running = []  # to be ended when a test fails half-way

    def __init__(self, program, directory, model, *options):
        self.path, self.model = f"{directory}/socket", f"{directory}/model.shrink"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(f"{directory}/notify")
        self.manager.settimeout(SECONDS)
        shutil.copy(model, self.model)
        self.process = subprocess.Popen(
            [program, "--socket", self.path, *map(str, options), self.model], stderr=subprocess.PIPE,
            env=os.environ | {"NOTIFY_SOCKET": f"{directory}/notify", "UBSAN_OPTIONS": "halt_on_error=1"})
        Daemon.running.append(self.process)
        self.log = []
        threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True).start()
        self.expect("READY=1")

    def expect(self, *states):
        for state in states:
            told = self.manager.recv(4096).decode().splitlines()
            assert state in told, f"the service manager was told {told} instead of {state}"

    def connect(self, seconds=SECONDS):
        return Connection(self.path, seconds)

    def ask(self, **request):
        with self.connect() as connection:
            return connection.ask(**request)

    def swap(self, model=None, content=None):
        """Puts another file into the model's place, and waits until the daemon has looked at it."""
        with open(f"{self.model}.new", "wb") as file:
            file.write(open(model, "rb").read() if content is None else content)
        os.rename(f"{self.model}.new", self.model)
        self.process.send_signal(signal.SIGHUP)
        self.expect("RELOADING=1", "READY=1")

    def stop(self, meanwhile=lambda: None):
        """The exit code after SIGTERM; the files are gone. `meanwhile`: what to do as it ends."""
        self.process.send_signal(signal.SIGTERM)
        meanwhile()
        code = self.process.wait(SECONDS)
        self.expect("STOPPING=1")
        self.manager.close()
        left = [path for path in (self.path, f"{self.path}.lock") if os.path.exists(path)]
        assert code == 0 and not left, f"exit code {code}, files left: {left}\n" + self.text
        return code

    @property
    def text(self):
        return b"".join(self.log).decode(errors="replace")

    def kibibytes(self, name="RssAnon"):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(rf"^{name}:\s+(\d+)", status, re.M)[1])

    def work(self):
        """Ticks of CPU used, and how often a thread was woken."""
        base, wakes = f"/proc/{self.process.pid}", 0
        for thread in os.listdir(f"{base}/task"):
            status = open(f"{base}/task/{thread}/status").read()
            wakes += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", status))
        fields = open(f"{base}/stat").read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12]), wakes

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))
