#!/usr/bin/env python3
"""Write the fixtures of Tests/ShrinkTrainingTests: tokenizers that the library trained, and what it and Python make of texts.

    Tools/goldens/training_data.py TEXT     (TEXT: public-domain English, such as tiny-shakespeare)

Pinned: tokenizers==0.23.3
"""
import csv
import io
import json
import pathlib
import sys

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tricky_text import EDGE_CASES, random_texts

FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "Tests/ShrinkTrainingTests/Fixtures"
BERT_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def write_texts(source):
    """Some English, and lines of many scripts without zero bytes, as UTF-8."""
    english = source[:24_000].rsplit(b"\n", 1)[0] + b"\n"
    lines = [t for t in EDGE_CASES + random_texts(160, 7, 30) if b"\0" not in t]
    lines = [t for t in lines if t.decode("utf-8", "replace").encode() == t]
    (FIXTURES / "english.txt").write_bytes(english)
    (FIXTURES / "scripts.txt").write_bytes(b"\n".join(lines) + b"\n")


def byte_pair(files, size, minimum, lowercase):
    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train(files, trainers.BpeTrainer(
        vocab_size=size, min_frequency=minimum, show_progress=False, special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def word_piece(files, size, minimum, lowercase):
    """The library numbers the characters that continue words in random order, unless it is given them as special
    tokens; so the alphabet goes in as such, in the order that this project documents."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    first, other = set(), set()
    for file in files:
        for line in open(file, newline="\n", encoding="utf-8"):
            for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(line)):
                first |= set(word)
                other |= set(word[1:])
    alphabet = sorted(first) + ["##" + c for c in sorted(other)]
    tokenizer.train(files, trainers.WordPieceTrainer(
        vocab_size=size, min_frequency=minimum, show_progress=False, special_tokens=BERT_TOKENS + alphabet))
    return tokenizer


def trained():
    cases = []
    for kind, train in (("bpe", byte_pair), ("wordpiece", word_piece)):
        for names, size, minimum, lowercase in [
            (["english.txt"], 900, 2, kind == "wordpiece"), (["scripts.txt"], 1500 if kind == "bpe" else 2500, 1, kind != "wordpiece"),
            (["english.txt", "scripts.txt"], 700 if kind == "bpe" else 2300, 2, kind == "wordpiece"), (["english.txt"], 100_000, 3, False),
        ]:
            tokenizer = train([str(FIXTURES / name) for name in names], size, minimum, lowercase)
            model = json.loads(tokenizer.to_str())["model"]
            case = {"kind": kind, "files": names, "size": size, "minimum": minimum, "lowercase": lowercase,
                    "tokens": sorted(model["vocab"], key=model["vocab"].get)}
            if kind == "bpe":
                case["merges"] = [" ".join(m) for m in model["merges"]]
                # In the order of the ids these say the same again.
                del case["tokens"][257:]
            cases.append(case)
    return cases


def truncated():
    """Pairs cut to a limit, and words that were split beforehand."""
    # Again from its vocabulary, as in training the alphabet was special.
    vocabulary = word_piece([str(FIXTURES / "english.txt")], 900, 2, True).get_vocab()
    tokenizer = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(BERT_TOKENS)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    first = "First Citizen: Before we proceed any further, hear me speak."
    second = "You are all resolved rather to die than to famish? Resolved. Resolved."
    pairs, words = [], []
    for limit in range(4, 60):
        tokenizer.enable_truncation(limit, strategy="longest_first")
        for a, b in [(first, second), (second, first), (first, first), ("hear", second), (second, "hear")]:
            pair = tokenizer.encode(a, b)
            pairs.append({"texts": [a, b], "limit": limit, "ids": pair.ids, "types": pair.type_ids})
        split = tokenizer.encode(first.split(" "), is_pretokenized=True)
        starts = [i is not None and i not in split.word_ids[:n] for n, i in enumerate(split.word_ids)]
        words.append({"words": first.split(" "), "limit": limit, "ids": split.ids,
                      "tags": [i if s else -1 for i, s in zip(split.word_ids, starts)]})
    return pairs[::3], words[::4]


def tables():
    """Text of tables and the rows that Python's csv module finds, without those of empty lines."""
    texts = [
        "a,b\n1,2\n", "a,b\r\n1,2\r\n", "a,b\n1,2", 'a,"b"\n', '"a,b",c\n', '"a""b",""\n', '"",""\n', ",\n", ",,\n", "a,\n", ",a\n", '"line\nbreak",x\ny,z\n',
        '"two\n\nempty",x\n', '"cr\r\nlf",x\r\n', 'a"b,c"d\n', 'a ,"b", c\n', "\n\na,b\n\n\nc,d\n\n", '"é","日本"\n"👍",ß\n', "a\n", '"a"\n', '"\n"\n', '""""\n', '"""a"""\n',
        "tab\there,x\n", '"a","b\n\n",""\n"",c,d\n', "'a,b',c\n", '"quote at end"""\nnext,row\n',
    ]
    found = [{"text": t, "rows": [row for row in csv.reader(io.StringIO(t, newline="")) if row]} for t in texts]
    tabs = ["a\tb\n1\t2\n", '"a\tb"\n', 'say "hi"\t\'x\'\n"\t"\n', "\t\n", "a,b\tc\n", "é\t日\n"]
    found_tabs = [{"text": t, "rows": [row for row in csv.reader(io.StringIO(t, newline=""), "excel-tab", quoting=csv.QUOTE_NONE) if row]} for t in tabs]
    return found, found_tabs


def main():
    FIXTURES.mkdir(parents=True, exist_ok=True)
    write_texts(pathlib.Path(sys.argv[1]).read_bytes())
    pairs, words = truncated()
    commas, tabs = tables()
    goldens = {"trained": trained(), "pairs": pairs, "words": words, "commas": commas, "tabs": tabs}
    (FIXTURES / "goldens.json").write_text(json.dumps(goldens, ensure_ascii=False, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
