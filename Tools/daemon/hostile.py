"""Clients that mean no good: damaged JSON, endless lines, half lines, silence, too many connections."""

import json
import random
import time

SEEDS = [
    '{"op":"health","id":"a\\u00e9\\ud83d\\ude00\\n\\\\ü"}', '{"id":-12345678901234567,"op":"health"}', '{"op":"health","id":null}',
    '{"op":"health","id":[1,2.5e-3,{"a":[true,false,null]},-0.0,1E+2,"x"]}', ' [ 0 , -1 , "\\/" , { } , [ ] ] ',
    '{"op":"generate","prompt":1e308,"max_tokens":1e999}', '{"op":"embed","text":1,"id":9223372036854775807}',
    '"\\ud83d"', '"\\udc00x"', "-", "01", "1.", ".5", "+1", "1e", "tru", "nulll", "{}x", "NaN", "[1,]", '{"a":1,}', '{"a" 1}', "\ufeff{}",
]
ALPHABET = [bytes([b]) for b in b'{}[]",:\\/u0123456789eE+-.tfn \t'] + [
    b"\x00", b"\x1f", b"\x7f", b"\x80", b"\xff", b"\xc0\x80", b"\xc3\xa9", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xf4\x90\x80\x80",
    b"\\u12", b"\\ud800", b"\\udfff", b"1e400", b"true", b"null", b'"id":7']


def mutants(count, seed):
    source = random.Random(seed)
    for _ in range(count):
        line = bytearray(source.choice(SEEDS).encode())
        for _ in range(source.choice([0, 1, 1, 2, 3])):
            at, what = source.randrange(len(line) + 1), source.randrange(3)
            line[at:at + (what > 0)] = b"" if what == 1 else source.choice(ALPHABET)
        if bytes(line).strip(b" \t\r"):
            yield bytes(line)


def read_by_python(line):
    """What Python's own reader makes of it; ValueError when it is no JSON."""
    def refuse(name):
        raise ValueError(name)

    def finite(text):
        if float(text) in (float("inf"), float("-inf")):
            raise ValueError(text)
        return float(text)

    value = json.loads(line.decode("utf-8"), parse_constant=refuse, parse_float=finite)
    json.dumps(value, ensure_ascii=False).encode("utf-8")  # a lone surrogate raises
    return value


def json_like_python(daemon, count, seed=1):
    """Compares which lines are JSON, and what their ids are, with Python. Returns problems."""
    problems, lines = [], list(mutants(count, seed))
    with daemon.connect() as connection:
        for start in range(0, len(lines), 20):
            batch = lines[start:start + 20]
            connection.send(*(line + b"\n" for line in batch))
            for line in batch:
                answer = connection.answer()
                code = answer.get("error", {}).get("code")
                try:
                    value, is_json = read_by_python(line), True
                except (ValueError, RecursionError):
                    value, is_json = None, False
                if is_json == (code == "invalid_json"):
                    problems.append(f"{line}: {answer}")
                elif code is None and value.get("id") != answer["id"]:
                    problems.append(f"{line}: another id: {answer}")
    return problems


#: Lines, the code of their error, and a word of its message.
REFUSED = [
    (b'{"op":"embed","id":7,"text":"a"', "invalid_json", 7), (b'{"id":"x","op":"embed","text":"\xff"}', "invalid_json", "x"),
    (b'{"id":3,"op":"health","y":' + b"[" * 5000 + b"]" * 5000 + b"}", "invalid_json", 3),
    (b'{"id":4,"op":"health","y":[' + b"1," * 5000 + b"1]}", "invalid_json", 4),
    (b'{"id":5,"op":"nothing"}', "invalid_request", 5), (b'{"id":6}', "invalid_request", 6),
    (b'{"id":1,"op":"embed"}', "invalid_request", 1), (b'{"id":1,"op":"embed","text":7}', "invalid_request", 1),
    (b'{"id":1,"op":"embed","text":"a","text":"b"}', "invalid_request", 1),
    (b'{"id":1,"op":"embed","text":"a","stream":true}', "invalid_request", 1),
    (b'{"id":1,"op":"generate","prompt":"a","messages":[]}', "invalid_request", 1),
    (b'{"id":1,"op":"generate","messages":[]}', "invalid_request", 1),
    (b'{"id":1,"op":"generate","messages":[{"role":"user"}]}', "invalid_request", 1),
    (b'{"id":1,"op":"generate","messages":[{"role":"user","content":"a","content":"b"}]}', "invalid_request", 1),
    (b'{"id":1,"op":"generate","prompt":"a","max_tokens":0}', "invalid_request", 1),
    (b'{"id":1,"op":"generate","prompt":"a","max_tokens":1000000000000}', "invalid_request", 1),
    (b'{"id":1,"op":"generate","prompt":"a","max_tokens":2.0}', "invalid_request", 1),
    (b'{"id":1,"op":"generate","prompt":"a","temperature":-1}', "invalid_request", 1),
    (b'{"id":1,"op":"generate","prompt":"a","seed":-1}', "invalid_request", 1),
    (b'{"id":1,"op":"generate","prompt":"a","stream":1}', "invalid_request", 1),
    (b'{"id":1.5,"op":"health"}', "invalid_request", None), (b'{"id":"' + b"x" * 65 + b'","op":"health"}', "invalid_request", None),
    (b'"health"', "invalid_request", None), (b"\x00", "invalid_json", None), (b"\x80\x81", "invalid_json", None),
]


def refused_lines(daemon):
    """Each is answered with its error, and the connection goes on. Returns problems."""
    problems = []
    with daemon.connect() as connection:
        for line, code, name in REFUSED:
            connection.send(line + b"\n")
            answer = connection.answer()
            error = (answer or {}).get("error", {})
            if not answer or error.get("code") != code or answer["id"] != name or not error.get("message"):
                problems.append(f"{line[:80]}: {answer}")
        if connection.ask(op="health", id=99)["id"] != 99:
            problems.append("the connection did not go on")
    return problems


def endless_line(daemon):
    with daemon.connect() as connection:
        try:
            connection.send(b'{"op":"embed","id":1,"text":"' + b"x" * (1 << 20))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has seen enough
        answer = connection.line()
        ended = answer and answer["error"]["code"] == "too_long" and connection.line() is None
        return [] if ended else [f"an endless line: {answer}"]


def half_line(daemon):
    """One that is cut off by the end of the sending side, and one by a client that leaves."""
    with daemon.connect() as connection:
        connection.send(b'{"op":"embed","id":1,"te')
    with daemon.connect() as connection:
        connection.send(b'{"op":"health","id":1}\n{"op":"embed","id":2,"te')
        connection.socket.shutdown(1)
        good, bad, end = connection.line(), connection.line(), connection.line()
        right = good["id"] == 1 and bad["error"]["code"] == "invalid_json" and end is None
        return [] if right else [f"half a line: {good} {bad} {end}"]


def random_bytes(daemon, seed):
    """Whatever comes back is whole lines of JSON."""
    with daemon.connect() as connection:
        try:
            connection.send(random.Random(seed).randbytes(20000) + b"\n")
            connection.socket.shutdown(1)
        except (BrokenPipeError, ConnectionResetError):
            pass
        while connection.line() is not None:
            pass
    return []


def all_of(daemon, seconds, seed=1):
    """Goes on for that long, at least once through. Returns problems and the number of rounds."""
    problems, rounds, end = [], 0, time.monotonic() + seconds
    while rounds == 0 or time.monotonic() < end:
        for problem in (refused_lines(daemon), endless_line(daemon), half_line(daemon), random_bytes(daemon, seed + rounds),
                        json_like_python(daemon, 300, seed + rounds)):
            problems += problem
        rounds += 1
    return problems, rounds
