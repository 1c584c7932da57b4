"""Signals in the middle of work."""

import glob
import os
import pty
import shutil
import signal
import subprocess
import time

from checkpoints import llama, write
from harness import INTERRUPTED


def wait_until(holds, seconds=10.0):
    """Whether it held at any time; it may be over again by now."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.002)
    return False


def check(t):
    # Large enough that there is a middle.
    llama(f"{t.directory}/slow", positions=8192, bf16=True, width=1024, inner=3072, heads=16, shared=4, layers=2, vocabulary=4096)
    artifact = f"{t.directory}/slow.shrink"
    t.works("quantize a larger model", "quantize", "slow", "-o", "slow.shrink", "--quiet")
    with open(artifact, "rb") as file:
        whole = file.read()
    write(f"{t.directory}/long.txt", b"the cat in the hat sat on the mat. " * 40_000)

    def working(process):
        """Whether quantize has a temporary file: by name, or open and already without one."""
        def holds():
            try:
                links = [os.readlink(link) for link in glob.glob(f"/proc/{process.pid}/fd/*")]
            except OSError:
                return False
            return process.poll() is not None or any("slow.shrink.new" in link for link in links)
        return holds

    def named(process):
        return lambda: process.poll() is not None or glob.glob(f"{artifact}.*")

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        for moment, ready in [("packing", working), ("writing", named)]:
            # A run that was through before the signal came has done nothing wrong; the next may be slower.
            for _ in range(5):
                process = t.start("quantize", "slow", "-o", "slow.shrink", "--quiet")
                began = wait_until(ready(process))
                process.send_signal(number)
                out, err = process.communicate(timeout=10)
                if process.returncode != 0:
                    break
            t.check(f"{number.name} while quantize is {moment}",
                    began and process.returncode == INTERRUPTED and out == b"" and err.count(b"\n") == 1 and b"interrupted" in err,
                    (began, process.returncode, out, err))
            t.check("it leaves the old artifact and nothing else", glob.glob(f"{artifact}*") == [artifact] and open(artifact, "rb").read() == whole)

    commands = [
        ["run", "slow.shrink", "--prompt", "the cat", "--max-tokens", "8000", "--temperature", "1"],
        ["eval", "slow.shrink", "--perplexity", "long.txt", "--context", "512"],
        ["eval", "slow", "--perplexity", "long.txt", "--context", "512"],
        ["embed", "bert.shrink"],
    ]
    t.works("an encoder to wait with", "quantize", "bert", "-o", "bert.shrink", "--quiet")
    for arguments in commands:
        for number in (signal.SIGINT, signal.SIGTERM):
            process = t.start(*arguments, stdin=subprocess.PIPE)
            # The text of a run tells that it is in the middle; the others write nothing before they are through.
            if arguments[0] == "run":
                process.stdout.read(1)
            else:
                time.sleep(0.5)
            alive = process.poll() is None
            process.send_signal(number)
            start = time.monotonic()
            try:
                _, err = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                _, err = process.communicate()
            t.check(f"{number.name} stops {' '.join(arguments[:3])} soon",
                    alive and process.returncode == INTERRUPTED and time.monotonic() - start < 3 and b"interrupted" in err,
                    (alive, process.returncode, time.monotonic() - start, err[-300:]))

    # Inspecting takes a moment only; a signal that came too early or too late for it is sent again.
    for delay in (0.005, 0.01, 0.02, 0.04, 0.08) * 4:
        process = t.start("inspect", "slow.shrink", "--self-test")
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        if process.returncode == INTERRUPTED:
            break
    t.check("SIGINT stops inspect", process.returncode == INTERRUPTED and out == b"" and b"interrupted" in err, (process.returncode, err))

    process = t.start("run", "slow.shrink", "--prompt", "the cat", "--max-tokens", "8000", "--temperature", "1", "--quiet")
    first = process.stdout.read(1)
    process.stdout.close()
    try:
        code = process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    t.check("run stops when its reader goes", first != b"" and code == 141 and process.stderr.read() == b"", code)

    for moment, ready in [("packing", working), ("writing", named)]:
        process = t.start("quantize", "slow", "-o", "slow.shrink", "--quiet")
        wait_until(ready(process))
        process.kill()
        process.communicate()
        t.check(f"kill -9 while quantize is {moment} leaves the old artifact as it was", open(artifact, "rb").read() == whole)
    # Names of an older run, whatever it was called by.
    for suffix in (".new-1", f".new-{os.getpid()}", ".weights-1"):
        write(artifact + suffix, b"stale")
    t.works("stale files of a killed run are not in the way", "quantize", "slow", "-o", "slow.shrink", "--quiet")
    t.check("the artifact is the same again", open(artifact, "rb").read() == whole)

    processes = [t.start("quantize", "slow", "-o", "slow.shrink", "--quiet") for _ in range(2)]
    codes = [(process.communicate(), process.returncode)[1] for process in processes]
    t.check("two runs with one target do not disturb each other", codes == [0, 0] and open(artifact, "rb").read() == whole, codes)
    terminal, end = pty.openpty()
    process = t.start("quantize", "slow", "-o", "slow.shrink", stderr=end)
    os.close(end)
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:
        pass  # how a terminal says that nobody is at the other end
    os.close(terminal)
    t.check("a terminal shows progress and the time left, then the result alone on its line",
            process.wait() == 0 and b"% " not in shown.split(b"\x1b[K")[-1] and shown.count(b" left") > 0, shown)
    process = t.start("quantize", "slow", "-o", "slow.shrink", stderr=subprocess.PIPE)
    process.stderr.close()
    process.communicate() if process.stdout is None else process.stdout.read()
    t.check("quantize goes on when nobody reads its progress", process.wait() == 0, process.returncode)
    shutil.rmtree(f"{t.directory}/slow")
