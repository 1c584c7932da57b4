#!/usr/bin/env python3
"""Write Sources/ShrinkTokenizers/UnicodeData.swift: the character tables of the `tokenizers` library.

The library carries several Unicode versions (its normalizer, its regex engine and Rust's own
tables differ), so every table is found by asking the library about every code point.

Pinned: tokenizers==0.23.3
"""
import pathlib
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def base36(n):
    text = ""
    while True:
        n, r = divmod(n, 36)
        text = DIGITS[r] + text
        if n == 0:
            return text


def signed36(n):
    return "-" + base36(-n) if n < 0 else base36(n)


def matching(pattern):
    """The code points that a regular expression of one class matches."""
    everything = "".join(map(chr, SCALARS))
    matched = bytearray(b"\1") * len(everything)
    for _, (start, end) in pre_tokenizers.Split(Regex(pattern + "+"), "removed").pre_tokenize_str(everything):
        matched[start:end] = bytes(end - start)
    return {SCALARS[i] for i, m in enumerate(matched) if m}


def pieces(pre_tokenizer):
    """How many pieces a<c>a makes, by code point."""
    return {c: len(pre_tokenizer.pre_tokenize_str("a" + chr(c) + "a")) for c in SCALARS}


def bert(**options):
    every = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**(every | options))


def changed(normalizer):
    found = {}
    for c in SCALARS:
        text = normalizer.normalize_str(chr(c))
        if text != chr(c):
            found[c] = text
    return found


def runs(members):
    """Lengths of alternating runs outside and inside the set, from U+0000; surrogates are outside."""
    lengths, inside, length = [], False, 0
    for c in range(0x110000):
        if (c in members) != inside:
            lengths.append(length)
            inside, length = not inside, 0
        length += 1
    if inside:
        lengths.append(length)
    return " ".join(map(base36, lengths))


def combining_classes():
    """A class for every non-starter, seen from which marks the library's NFD reorders."""
    nfd = normalizers.NFD()
    references = {}
    for c in SCALARS:
        k, text = unicodedata.combining(chr(c)), chr(c)
        known = k == 240 or nfd.normalize_str("\u0345" + text) == text + "\u0345"
        if k and known and nfd.normalize_str(text) == text:
            references.setdefault(k, c)
    low, high = references[1], references[240]
    classes = {}
    for c in SCALARS:
        text = chr(c)
        if nfd.normalize_str(text) != text:
            continue
        if nfd.normalize_str(text + chr(low)) == text + chr(low) and nfd.normalize_str(chr(high) + text) == chr(high) + text:
            continue
        for k, r in references.items():
            if nfd.normalize_str(text + chr(r)) == text + chr(r) and nfd.normalize_str(chr(r) + text) == chr(r) + text:
                classes[c] = k
                break
        else:
            sys.exit(f"no combining class found for U+{c:04X}")
    return classes


def main():
    whitespace = matching(r"\s")
    split = pieces(pre_tokenizers.BertPreTokenizer())
    words = pieces(pre_tokenizers.Whitespace())
    clean = changed(bert(clean_text=True))
    assert {c for c, n in split.items() if n == 2} == whitespace
    assert {c for c, n in words.items() if n == 2} == whitespace
    assert {c for c, n in pieces(pre_tokenizers.WhitespaceSplit()).items() if n == 2} == whitespace
    # Tab, newline and return are white space in `clean_text` though their category is Cc.
    assert {c for c, t in clean.items() if t == " "} | {0x20} >= whitespace - set(clean) and set(clean.values()) == {"", " "}
    control = {c for c, t in clean.items() if t == ""}
    word = {c for c, n in words.items() if n == 1}

    probe = Tokenizer(models.WordPiece(vocab={"[UNK]": 0, "q": 1}, unk_token="[UNK]"))
    probe.add_tokens([AddedToken("q", single_word=True)])
    edge = {c for c in SCALARS if c != ord("q") and len(probe.encode("q" + chr(c)).ids) == 1}
    assert edge - {ord("q")} == word - {ord("q")}, "single_word uses another \\w"

    nfd = changed(normalizers.NFD())
    nfc = changed(normalizers.NFC())
    for c in range(0xAC00, 0xD7A4):
        i = c - 0xAC00
        jamo = [0x1100 + i // 588, 0x1161 + i % 588 // 28] + ([0x11A7 + i % 28] if i % 28 else [])
        assert nfd.pop(c) == "".join(map(chr, jamo))
    assert all(nfc[c] == chr(c) or c in nfd for c in nfc)
    lower = changed(normalizers.Lowercase())
    assert lower.pop(0x130) == "i\u0307" and all(len(t) == 1 for t in lower.values())
    stripped = bert(strip_accents=True)
    digits = pre_tokenizers.Digits(individual_digits=True)

    sets = {
        "letter": matching(r"\p{L}"),
        "number": matching(r"\p{N}"),
        "whitespace": whitespace,
        "numeric": {c for c in SCALARS if len(digits.pre_tokenize_str("a" + chr(c))) == 2},
        "punctuation": {c for c, n in split.items() if n == 3},
        "word": word,
        "control": control,
        "ideograph": set(changed(bert(handle_chinese_chars=True))),
        "nonspacingMark": {c for c in SCALARS if c not in nfd and stripped.normalize_str(chr(c)) == ""},
        "mark": {c for c, t in changed(normalizers.StripAccents()).items() if t == ""},
        "compositionExclusion": {c for c in nfd if c in nfc},
    }

    entries, previous = [], 0
    for c, text in sorted(nfd.items()):
        entries.append(base36(c - previous) + ":" + ",".join(base36(ord(x)) for x in text))
        previous = c
    maps = {"decompositions": " ".join(entries)}

    groups = []  # (first, count, step, delta)
    for c, text in sorted(lower.items()):
        delta = ord(text) - c
        if groups:
            first, count, step, d = groups[-1]
            if d == delta and (count == 1 and c - first <= 2 or count > 1 and c == first + count * step):
                groups[-1] = (first, count + 1, c - first if count == 1 else step, d)
                continue
        groups.append((c, 1, 1, delta))
    maps["lowercase"] = " ".join(f"{base36(f)}:{base36(n)},{s},{signed36(d)}" for f, n, s, d in groups)

    ranges = []
    for c, k in sorted(combining_classes().items()):
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == k:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, k])
    maps["combiningClasses"] = " ".join(f"{base36(a)}:{base36(b - a)},{base36(k)}" for a, b, k in ranges)

    out = [
        "// Written by Tools/goldens/tokenizer_unicode.py; not to be edited by hand.",
        "",
        "/// What the `tokenizers` library (0.23.3) believes about every code point; numbers in base 36.",
        "///",
        "/// A set is the lengths of its alternating runs, outside first. `decompositions`: distance from the",
        "/// last entry, then the full canonical decomposition (Hangul syllables are computed). `lowercase`:",
        "/// first, then count, step and what is added. `combiningClasses`: first, then how many follow, class.",
        "enum UnicodeData {",
    ]
    for name, text in [(n, runs(s)) for n, s in sets.items()] + list(maps.items()):
        out.append(f'    static let {name} = """')
        line = ""
        for item in text.split(" "):
            if len(line) + len(item) > 126:
                out.append("        " + line + " \\")
                line = ""
            line += (" " if line else "") + item
        out += ["        " + line, '        """']
    out.append("}")
    target = pathlib.Path(__file__).resolve().parents[2] / "Sources/ShrinkTokenizers/UnicodeData.swift"
    target.write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
