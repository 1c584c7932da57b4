"""Texts that tokenizers stumble over, and random ones."""
import random

EDGE_CASES = [
    b"", b" ", b"  ", b"\n", b"\r\n", b"\t\t x", b"a", b" a", b"a ", b"  a  b  ", b"\n\n\n", b" \n \n ", b"\r\r\n\n \r",
    "Hello, world! It's 1234567.89 o'clock; we'll've I'M DON'T 'S 'LL 'rE 'ſ 'ſx".encode(),
    "’s ‘t it’s ``quoted'' --- *** ... !!! ??? ''s ''' 's's 't 're've'm'll'd 'r 'v 'l '".encode(),
    "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇩🇪🇫🇷 ❤️‍🔥 1️⃣ 🫠 🪿".encode(),
    "中文分词測試，日本語のテスト。カタカナ ｶﾀｶﾅ ひらがな 𠀀𪚥 㐀 豈 﨎".encode(),
    "한국어 텍스트 가각갂힣 \u1100\u1161\u11a8 \u1112\u1175\u11c2 \uac00\u11a8 \uac01\u11a8".encode(),
    "العربية مُشَكَّلَة ٠١٢٣ ﷺ لا ﻻ עִבְרִית שָׁלוֹם हिन्दी क्ष ภาษาไทย น้ำ ខ្មែរ".encode(),
    "e\u0301 é é\u0323 e\u0323\u0301 e\u0301\u0323 a\u030a Å Å Å ñ n\u0303 o\u0308\u0304 ȫ \u0344 \u0958 \u0f73\u0f75 q\u0307\u0323".encode(),
    "\u0301\u0301 \u0345\u0301\u0316 \U0001d165\u302e\u0301 \u302e\U0001d165 \u302a\u0334 \U0001d15e \U0001d1bf \u0fb2\u0f81".encode(),
    "Straße STRASSE ẞ ß İstanbul ıI Σίσυφος ΟΔΥΣΣΕΎΣ ǅ ǆ Ǆ ﬀ ﬁ Ⅷ ⅷ Ａｂ Ⓐ ℌ K Å Ω".encode(),
    "\x00\x01\x02 a\x00b \x7f \x1b[0m \x85 \u00a0 \u00ad \u200b\u200c\u200d\u200e \u2028\u2029 \ufeff \u3000 \u1680 \u180e \u202f \u205f \u2060".encode(),
    "\ufffd a\ufffdb \ue000 \U000f0000 \U0010fffd \ufdd0 \uffff \U0001ffff \u0378 \u0e3f \U000e0001 \U000e0041 \U000e01ef".encode(),
    "x²³ ½ ¾ ① ⑳ Ⅳ 四 ٣ ៩ 𝟘𝟙 𐄇 ᠓ １２３ 1 12 123 1234 12345 1a2b3c 3.14 1,000,000 0x1F 1e-5".encode(),
    "don't do not won't he's [CLS] [SEP] [MASK] [UNK] [PAD] [cls] <|im_start|>user\nhi<|im_end|> <|endoftext|> <s></s><mask> <mask>  x".encode(),
    "##ing ## # ##a #b user_name snake_case_42 CamelCase http://example.com/a?b=c&d=e#f a@b.co C++ C# $5 €6 £7 ¥8 ^ ` ~ | + = < >".encode(),
    "a" * 99 + " " + "b" * 100 + " " + "c" * 101 + " " + "é" * 100 + " " + "日" * 3,
    "0" * 50 + " " * 50 + "\n" * 50 + "." * 50 + "\u0301" * 50 + "가" * 20,
    "    indented\n\tcode();\n\n\n    } // end   \r\n\r\n x \n y  \n  z",
    b"\x80", b"\xff\xfe", b"abc\xc3", b"\xc3\x28", b"\xe2\x82", b"\xe2\x28\xa1", b"\xf0\x9f\x98", b"\xf0\x28\x8c\xbc", b"\xed\xa0\x80",
    b"\xed\xb0\x80\xed\xa0\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"a\xf0\x9f\x98\x80b\xf0\x9f\x98c",
    b"\xf1\x80\x80\xe1\x80\xc2b\x80c\x80\xbfd", b"\xc2\xc2\xa0 \xe1\xa0\xc0\xaf",
]
EDGE_CASES = [x.encode() if isinstance(x, str) else x for x in EDGE_CASES]

PIECES = [
    "the", " the", "The", "'s", "'LL", "'ſ", " ", "  ", "\n", "\r\n", "\t", "\u00a0", "\u2028", "\u3000", ".", "!", "?!", "...", "-", "'", "’", "\"", "(", "]",
    "1", "23", "456", "7890", "²", "½", "٣", "四", "é", "e\u0301", "\u0301", "\u0323", "ö", "Å", "ß", "İ", "Σ", "中", "文字", "ひ", "가", "\u1100", "\u1161",
    "\u11a8", "한국", "ع", "\u064b", "क्", "น้ำ", "👍", "🏽", "\u200d", "\ufe0f", "\u0000", "\u0007", "\ufffd", "\ue000", "##", "[SEP]", "[MASK]", "<|im_end|>",
    "<mask>", "_", "foo_bar", "http", "://", "word", "tokenization", "unaffable", "XYZ", "n't", " do not",
]


def random_texts(count, seed, longest=40):
    """Half mixed from pieces that interact, half drawn from all planes."""
    generator = random.Random(seed)
    texts = []
    for i in range(count):
        length = generator.randint(1, longest)
        if i % 2 == 0:
            texts.append("".join(generator.choice(PIECES) for _ in range(length)).encode())
            continue
        scalars = []
        while len(scalars) < length:
            top = generator.choice([0x80, 0x250, 0x800, 0x3100, 0x10000, 0x20000, 0x110000])
            c = generator.randrange(top)
            if not 0xD800 <= c < 0xE000:
                scalars.append(chr(c))
        texts.append("".join(scalars).encode())
    return texts


def random_bytes(count, seed, longest=40):
    """Mostly ill-formed UTF-8, biased towards lead and continuation bytes."""
    generator = random.Random(seed)
    choices = list(range(256)) + [0x20, 0x61, 0x80, 0xBF, 0xC3, 0xE2, 0xED, 0xF0, 0x9F, 0x98] * 20
    return [bytes(generator.choice(choices) for _ in range(generator.randint(1, longest))) for _ in range(count)]
