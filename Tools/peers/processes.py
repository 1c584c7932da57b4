"""The processes of a comparison: peers that stay, stopped while others are measured, and shrink."""
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time

import prepare

WORKER = prepare.ROOT / "Tools/peers/worker.py"
PATIENCE = 180


class Failed(Exception):
    """A process that did not do what it should, and what it said."""


def pinned(threads):
    """One thread is pinned to the CPU that `shrink bench` pins its own to."""
    return ["taskset", "-c", str(max(os.sched_getaffinity(0)))] if threads == 1 else []


def worker(action, engine, model, *rest):
    return list(map(str, [sys.executable, WORKER, action, engine, model, *rest]))


def lines(command):
    """The JSON lines that a command prints."""
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
    if done.returncode != 0:
        raise Failed(done.stderr.strip()[-800:] or f"exit code {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


class Peer:
    """A worker that has its model loaded. It is stopped by a signal while it has nothing to do, so that threads
    that spin in wait for work take nothing from the others."""

    def __init__(self, engine, model, threads):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            pinned(threads) + worker("serve", engine, model, threads), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.buffer = b""
        self.answer()
        self.process.send_signal(signal.SIGSTOP)

    def measure(self, request):
        """The milliseconds of a request."""
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.failure("it has gone") from None
        answer = self.answer()
        self.process.send_signal(signal.SIGSTOP)
        return answer["milliseconds"]

    def answer(self):
        deadline = time.monotonic() + PATIENCE
        while True:
            line, found, rest = self.buffer.partition(b"\n")
            if found:
                self.buffer = rest
                if line.startswith(b"{"):
                    return json.loads(line)
                continue
            if not self.selector.select(max(0, deadline - time.monotonic())):
                raise self.failure(f"no answer in {PATIENCE} seconds")
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise self.failure("it ended")
            self.buffer += piece

    def failure(self, reason):
        self.end()
        self.errors.seek(0)
        said = self.errors.read().strip().splitlines()
        return Failed(f"{reason}: {said[-1][:800]}" if said else reason)

    def end(self):
        self.process.kill()
        self.process.wait()


class Shrink:
    """`shrink bench` anew for each request."""

    def __init__(self, artifact, threads, task):
        self.command = [prepare.SHRINK, "bench", artifact, "--threads", threads, "--json", "--quiet", "--no-start", "--no-verify"]
        self.task = task
        self.work = {}

    def measure(self, request):
        if "read" in request:
            # A round that does not count, then one: as often as a peer within the same time.
            rounds = request["most"] if self.task == "prefill" else 1
            options, task = ["--tokens", request["read"], "--decode", 0, "--rounds", rounds], self.task
        else:
            options, task = ["--tokens", 1, "--depth", request["decode"], "--decode", request["count"], "--rounds", 1], "decode"
        row = next(row for row in lines([*self.command, *options, "--no-limits"]) if row["task"] == task)
        self.work[task, row["tokens"]] = row["int8_operations"], row["memory_bytes"]
        return row["p50_milliseconds"]

    def limits(self):
        """int8 operations a second (or None) and bytes read a second."""
        rows = lines([*self.command, "--tokens", 1, "--decode", 0, "--rounds", 2])
        row = next(row for row in rows if row["task"] == "limits")
        return row["int8_operations_per_second"], row["read_bytes_per_second"]

    def end(self):
        pass
