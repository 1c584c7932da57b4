"""Runs the command line under limits and keeps count of what is as it should be."""

import concurrent.futures
import json
import os
import resource
import signal
import subprocess
import time

#: Hostile input must not make a process larger than this, nor last longer.
MEMORY_LIMIT = 4 << 30
SECONDS = 10

USAGE, BAD_INPUT, NOT_FOUND, UNAVAILABLE, INPUT_OUTPUT, INTERRUPTED = 64, 65, 66, 69, 74, 130


def hear_signals():
    """What nohup, or a shell in the background, has children ignore."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Result:
    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    @property
    def text(self):
        return self.out.decode()

    @property
    def message(self):
        return self.err.decode(errors="replace")

    @property
    def objects(self):
        """Each line of the output as a JSON object with no key twice; raises ValueError when one is not."""
        def whole(pairs):
            if len(dict(pairs)) != len(pairs):
                raise ValueError("a key occurs twice")
            return dict(pairs)

        def refuse(name):
            raise ValueError(f"{name} is no JSON")

        lines = self.text.splitlines()
        return [json.loads(line, object_pairs_hook=whole, parse_constant=refuse) for line in lines]

    def __str__(self):
        return f"exit code {self.code}, {self.seconds:.1f} s, stdout {self.out[:200]!r}, stderr {self.err[:400]!r}"


class Harness:
    def __init__(self, tool, directory):
        self.tool, self.directory = tool, directory
        self.passed = self.failed = 0
        self.pool = concurrent.futures.ThreadPoolExecutor(2 * (os.cpu_count() or 2))
        # Children inherit both; Python itself needs far less.
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, resource.getrlimit(resource.RLIMIT_AS)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))

    # MARK: Running

    def environment(self, extra=None):
        names = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")
        return {name: os.environ[name] for name in names if name in os.environ} | (extra or {})

    def run(self, *arguments, input=b"", env=None, seconds=SECONDS, **options):
        """A run to its end; the code is -9 when it took too long."""
        start = time.monotonic()
        process = subprocess.Popen(
            [self.tool, *map(str, arguments)], stdin=subprocess.PIPE, cwd=self.directory, env=self.environment(env),
            close_fds=options.get("preexec_fn") is not None,
            **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options))
        try:
            out, err = process.communicate(input, timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
        return Result(process.returncode, out or b"", err or b"", time.monotonic() - start)

    def start(self, *arguments, **options):
        return subprocess.Popen(
            [self.tool, *map(str, arguments)], cwd=self.directory, env=self.environment(), preexec_fn=hear_signals,
            **({"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options))

    def files(self, directory="."):
        """Every file below with its size and time of change."""
        found = {}
        for root, _, names in os.walk(os.path.join(self.directory, directory)):
            for name in names:
                path = os.path.join(root, name)
                status = os.lstat(path)
                found[os.path.relpath(path, self.directory)] = (status.st_size, status.st_mtime_ns)
        return found

    # MARK: Checking

    def check(self, name, holds, detail=""):
        if holds:
            self.passed += 1
            print(f"PASS  {name}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {name}: {detail}", flush=True)

    def works(self, name, *arguments, **options):
        """A run that succeeds; its result."""
        result = self.run(*arguments, **options)
        self.check(name, result.code == 0, result)
        return result

    def refuses(self, name, code, words, *arguments, **options):
        """A run that ends with `code` and one line on standard error with all of `words`, and changes no file."""
        before = self.files()
        result = self.run(*arguments, **options)
        missing = [word for word in words if word not in result.message]
        lines = result.message.splitlines()
        problems = [
            problem for problem, found in [
                (f"the exit code is not {code}", result.code != code),
                ("not one line that starts with the tool's name", len(lines) != 1 or not lines[0].startswith("shrink: ")),
                (f"the message lacks {missing}", missing), ("it wrote results", result.out != b""),
                (f"it left {sorted(self.files().items() - before.items())}", self.files() != before),
            ] if found]
        self.check(name, not problems, f"{'; '.join(problems)}: {result}")
        return result

    def sweep(self, name, cases, attempt, minimum_refused=0, must_refuse=False):
        """Tries every damaged case. `attempt(case)` gives a result; no crash, no hang, no half-written
        file, one line of error where it is refused. `must_refuse`: none of them may be accepted."""
        count = refused = 0
        problems = []
        for case, result in zip(cases, self.pool.map(attempt, cases)):
            count += 1
            refused += result.code != 0
            label = case[0] if isinstance(case, tuple) else case
            if result.code not in (0, BAD_INPUT, NOT_FOUND, UNAVAILABLE):
                problems.append(f"{label}: {result}")
            elif result.code != 0 and (len(result.message.splitlines()) != 1 or not result.message.startswith("shrink: ")):
                problems.append(f"{label}: not one line of error: {result}")
            elif result.code != 0 and result.out:
                problems.append(f"{label}: results beside an error: {result}")
            elif must_refuse and result.code == 0:
                problems.append(f"{label}: accepted")
        if refused < minimum_refused:
            problems.append(f"only {refused} were refused")
        self.check(f"{name} ({count} cases, {refused} refused)", count > 0 and not problems,
                   f"{len(problems)} problems, the first: {problems[:3]}")
