"""Drawing the curves of runs."""

import json
import os
import xml.dom.minidom

from checkpoints import write
from harness import BAD_INPUT, INPUT_OUTPUT, NOT_FOUND, USAGE

KEYS = {"output", "bytes", "runs", "lines", "bad_lines"}


def metrics(count, slope):
    for step in range(1, count + 1):
        yield {"step": step, "epoch": step / 10, "loss": 5 - slope * step, "losses": {"kl": 2}, "learning_rate": 1e-3,
               "gradient_norm": 1.5, "tokens": 64 * step, "seconds": 0.5 * step}
        if step % 10 == 0:
            yield {"step": step, "validation": {"loss": 5 - slope * step, "accuracy": step / count}}


def check(t):
    for name, count, slope in [("first", 40, 0.1), ("second", 3000, 0.001)]:
        os.makedirs(f"{t.directory}/runs/{name}")
        write(f"{t.directory}/runs/{name}/metrics.jsonl", "".join(json.dumps(line) + "\n" for line in metrics(count, slope)).encode())
    os.makedirs(f"{t.directory}/runs/new")
    write(f"{t.directory}/runs/new/metrics.jsonl", b"")

    def drawn(name, *arguments):
        t.works(f"plot {name}", "plot", *arguments)
        data = open(f"{t.directory}/{arguments[arguments.index('-o') + 1]}", "rb").read()
        document = xml.dom.minidom.parseString(data)
        return document, data

    for ending in ["html", "svg"]:
        document, data = drawn(f"two runs as {ending}", "runs/first", "runs/second", "-o", f"plot.{ending}", "--quiet")
        titles = [node.firstChild.data for node in document.getElementsByTagName("text") if node.getAttribute("class") == "title"]
        t.check("a diagram for each metric, in order", titles == [
            "Training loss", "Validation loss", "Validation accuracy", "Loss term kl", "Learning rate", "Gradient norm", "Tokens per second"], titles)
        lines = [node for node in document.getElementsByTagName("path") if node.getAttribute("class").startswith("line ") and node.firstChild]
        t.check("a curve for each run in each", sorted(node.firstChild.firstChild.data for node in lines) == ["first"] * 7 + ["second"] * 7, len(lines))
        again = drawn("the same again", "runs/first", "runs/second", "-o", f"again.{ending}", "--quiet")[1]
        t.check("the same bytes, not many", data == again and len(data) < 300_000, len(data))
        document, data = drawn(f"a run without a step as {ending}", "runs/new", "-o", f"new.{ending}")
        t.check("it says so", "no numbers in these metrics yet" in data.decode())
    result = t.works("plot --json", "plot", "runs/first", "--json", "--quiet")
    t.check("one object with the documented keys", len(result.objects) == 1 and set(result.objects[0]) == KEYS and result.err == b""
            and result.objects[0]["bytes"] == os.path.getsize(f"{t.directory}/plot.html") and result.objects[0]["lines"] == 44, result)
    path = f"{t.directory}/runs/first/metrics.jsonl"
    sound = open(path, "rb").read()
    os.makedirs(f"{t.directory}/runs/far")
    write(f"{t.directory}/runs/far/metrics.jsonl", b'{"step":1125899906842623,"loss":1}\n')
    t.works("a plot of one step far out ends", "plot", "runs/far", "-o", "far.svg", seconds=10)
    write(f"{t.directory}/runs/far/metrics.jsonl", b'{"step":9007199254740991,"loss":1}\n')
    t.check("and of one that no run has", t.run("plot", "runs/far", "-o", "far.svg", seconds=10).code == 65)
    write(path, sound + b'{"step":41,"lo')
    result = t.works("plot a run that is writing a line", "plot", "runs/first", "--max-bad-lines", "0")
    t.check("it says nothing about that", result.err == b"", result)
    write(path, b"junk\n" + sound)
    result = t.works("plot a run with a bad line", "plot", "runs/first", "--max-bad-lines", "0.1")
    t.check("the line is named", "runs/first/metrics.jsonl, line 1: " in result.message, result)
    t.refuses("a bad line where none is allowed", BAD_INPUT, ["runs/first/metrics.jsonl, line 1: "], "plot", "runs/first", "--max-bad-lines", "0")
    t.refuses("a directory that is no run", NOT_FOUND, ["runs/metrics.jsonl"], "plot", "runs")
    t.refuses("a place that cannot be written", INPUT_OUTPUT, ["no/such"], "plot", "runs/second", "-o", "no/such/plot.html")
    for arguments in [["plot"], ["plot", "runs/first", "-o", "plot.png"], ["plot", *["runs/first"] * 33]]:
        t.check(f"wrong usage: shrink {' '.join(arguments[:4])}", t.run(*arguments).code == USAGE)
