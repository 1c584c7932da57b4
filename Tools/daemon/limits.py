"""What the daemon refuses, ends or outlives, with limits that are small enough to wait for."""

import os
import signal
import socket
import subprocess
import time

from service import SECONDS, Daemon

#: The endless model answers this for longer than every limit below.
LONG = {"op": "generate", "prompt": "{}", "max_tokens": 16000}


def check(program, directory, model, report):
    """`report(name, holds, detail)`. `model`: one that generates for some seconds, with room for 16,000 tokens."""
    daemon = Daemon(
        program, directory, model, "--workers", 1, "--clients", 4, "--context", 16384, "--max-tokens", 16000,
        "--output-bytes", 1 << 20, "--request-timeout", 1, "--line-timeout", 1, "--idle-timeout", 2, "--grace", 1,
        "--queued", 3, "--client-requests", 4)
    timeouts(daemon, report)
    silence(daemon, report)
    crowd(daemon, report)
    second_instance(program, daemon, report)
    stop_running(daemon, report)


def slow_readers(program, directory, model, report):
    """Streams that nobody reads fill the daemon's smallest buffer, and no more."""
    daemon = Daemon(
        program, directory, model, "--workers", 1, "--context", 16384, "--max-tokens", 16000, "--output-bytes", 65536,
        "--send-timeout", 5)
    with daemon.connect() as slow, daemon.connect() as never, daemon.connect() as other:
        other.ask(**LONG | {"id": 0, "stream": True, "max_tokens": 6000})  # until the session's memory has been touched
        before = daemon.kibibytes()
        slow.send(LONG | {"id": 1, "stream": True})
        never.send(*(LONG | {"id": i, "stream": True} for i in range(4)))
        other.send({"op": "generate", "id": 2, "prompt": "the", "max_tokens": 3})
        answer = other.answer()
        report("one worker and a reader that does not read: another client is answered", answer.get("tokens") == 3, answer)
        time.sleep(1)
        report("what is not read does not pile up", daemon.kibibytes() < before + 256, (before, daemon.kibibytes()))
        answer = slow.answer()
        report("the stream ends with an error, after all that there was room for",
               answer["error"]["code"] == "slow_reader" and len(answer["text"]) > 500, answer)
        report("its connection goes on", slow.ask(op="generate", id=3, prompt="the", max_tokens=3).get("tokens") == 3)
        end, is_open = time.monotonic() + 20, True
        while is_open and time.monotonic() < end:  # "slow", "other" and the one that asks stay
            time.sleep(0.5)
            is_open = daemon.ask(op="metrics")["connections"]["open"] > 3
        report("a client that never reads is disconnected", not is_open)
    leave_early(daemon, report)
    daemon.stop()


def leave_early(daemon, report):
    """An answer to nobody is not computed to its end."""
    def generated():
        while (metrics := daemon.ask(op="metrics"))["running"] > 0:
            time.sleep(0.01)
        return metrics["tokens"]["generated"]

    before = generated()
    daemon.ask(**LONG)
    whole, before = generated() - before, generated()
    with daemon.connect() as connection:
        connection.send(LONG)
        while daemon.ask(op="metrics")["running"] == 0:
            time.sleep(0.001)
    part = generated() - before
    report("a client that leaves stops its answer", part < whole, (part, whole))


def timeouts(daemon, report):
    start = time.monotonic()
    with daemon.connect() as first, daemon.connect() as second:
        first.send(LONG | {"id": 1}, LONG | {"id": 2}, LONG | {"id": 3, "stream": True}, {"op": "health", "id": 4})
        second.send(LONG | {"id": 5})
        codes = {}
        for connection in (first, first, first, first, second):
            answer = connection.answer()
            codes[answer["id"]] = answer.get("error", {}).get("code")
        seconds = time.monotonic() - start
        report("requests that run or wait too long get a timeout, health does not wait",
               codes == {1: "timeout", 2: "timeout", 3: "timeout", 4: None, 5: "timeout"} and 0.9 < seconds, (codes, seconds))
        second.send(*(LONG | {"id": i} for i in range(4)))
        first.send(LONG | {"id": 9})
        answers = [second.answer() for _ in range(4)] + [first.answer()]
        found = sorted(a["error"]["code"] for a in answers)
        report("what is more than the queue takes is refused at once", found == ["overloaded"] + ["timeout"] * 4, answers)
        answer = first.ask(op="generate", id=6, prompt="the", max_tokens=3)
        report("a request after a timeout is answered", answer.get("tokens") == 3, answer)


def silence(daemon, report):
    with daemon.connect() as slow, daemon.connect() as idle:
        slow.send(b'{"op":"health"')
        answer = slow.line()
        report("a line that does not end in time ends the connection",
               answer and answer["error"]["code"] == "timeout" and slow.line() is None, answer)
        report("a connection without requests is closed", idle.line() is None)


def crowd(daemon, report):
    crowd = [daemon.connect() for _ in range(4)]
    with daemon.connect() as one_more:
        answer = one_more.line()
        report("one connection too many is told so", answer and answer["error"]["code"] == "too_many_clients", answer)
    report("the others go on", all(connection.ask(op="health", id=1)["ready"] for connection in crowd))
    for connection in crowd:
        connection.socket.close()


def run(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=SECONDS)


def second_instance(program, daemon, report):
    result = run(program, "--socket", daemon.path, daemon.model)
    report("a second daemon at the same socket does not start",
           result.returncode == 69 and len(result.stderr.splitlines()) == 1 and "another" in result.stderr, result)
    report("the first one goes on", daemon.ask(op="health", id=1)["ready"])
    report("the socket has the mode", os.stat(daemon.path).st_mode & 0o777 == 0o660)


def stop_running(daemon, report):
    with daemon.connect() as connection, daemon.connect() as idle:
        connection.send(LONG | {"id": 1, "stream": True})
        connection.line()
        start = time.monotonic()
        answers = []
        daemon.stop(lambda: answers.append(connection.answer()))
        answer = answers[0]
        report("the end waits for a running request, then stops it",
               answer and answer["error"]["code"] in ("shutting_down", "timeout") and time.monotonic() - start > 0.5, answer)
        report("an idle connection is closed", idle.line() is None)


def starting(program, directory, model, report):
    """Starts that fail, and one over the socket of a daemon that was killed."""
    path = f"{directory}/socket"
    for arguments, code, word in [
        ([], 64, "expected"), ([model, model], 64, "expected"), (["--workers", "0", model], 64, "--workers 0"), (["--no-such"], 64, "--help"),
        (["--socket", "x" * 102, model], 64, "--socket"), (["--socket", path, f"{directory}/none.shrink"], 65, "none.shrink"),
        (["--socket", path, __file__], 65, "limits.py"), (["--socket", f"{directory}/none/socket", model], 69, "--socket"),
        (["--socket", model, model], 69, "no socket"),
    ]:
        result = run(program, *arguments)
        report(f"refuses to start with {' '.join(os.path.basename(a)[:20] for a in arguments) or 'nothing'}",
               result.returncode == code and word in result.stderr and not os.path.exists(path), result)
    report("--help", run(program, "--help").returncode == 0)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        result = run(program, "--socket", path, model)
        report("leaves the socket of another program alone", result.returncode == 69 and os.path.exists(path), result)
    os.remove(path)
    daemon = Daemon(program, directory, model)
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    daemon.manager.close()
    os.remove(f"{directory}/notify")
    left = os.path.exists(path)
    daemon = Daemon(program, directory, model)
    report("takes over the socket of a daemon that was killed", left and daemon.ask(op="health", id=1)["ready"])
    daemon.stop()
    os.remove(f"{directory}/notify")
