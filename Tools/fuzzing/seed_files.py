"""Takes artifacts apart and puts them together, and makes tokenizer tables small."""

import hashlib
import struct

#: Code points below this keep their classes and mappings, and so do the blocks of 128 that these are in.
KEPT_BELOW = 0x600
KEPT_BLOCKS = {code // 128 for code in (0x1100, 0x2000, 0x3000, 0x4E2D, 0xAC00, 0x1F44D)}

SECTIONS = 21
CLASS_INDEX, CLASS_BLOCKS, DECOMPOSITIONS, LOWERCASE, COMPOSITIONS, COMBINING = 7, 8, 9, 10, 11, 12


def entries(artifact):
    """The (name, content) of an artifact, which is a plain ustar archive."""
    found, offset = [], 0
    while artifact[offset]:
        name = artifact[offset:offset + 100].rstrip(b"\0").decode()
        size = int(artifact[offset + 124:offset + 135], 8)
        found.append((name, artifact[offset + 512:offset + 512 + size]))
        offset += 512 + (size + 511) // 512 * 512
    return found


def header(name, size):
    block = bytearray(512)
    for offset, text in [
        (0, name), (100, "000644 "), (108, "000000 "), (116, "000000 "), (124, f"{size:011o} "), (136, "00000000000 "),
        (148, " " * 8), (156, "0"), (257, "ustar"), (263, "00"), (329, "000000 "), (337, "000000 "),
    ]:
        block[offset:offset + len(text)] = text.encode()
    block[148:155] = f"{sum(block):06o}\0".encode()
    return bytes(block)


def artifact(parts):
    """The artifact of (name, content) without SHA256SUMS."""
    sums = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in parts).encode()
    blocks = [header(name, len(content)) + content + bytes(-len(content) % 512) for name, content in [*parts, ("SHA256SUMS", sums)]]
    return b"".join(blocks) + bytes(1024)


def words(content):
    return list(struct.unpack(f"<{len(content) // 4}I", content))


def bytes_of(values):
    return struct.pack(f"<{len(values)}I", *values)


def is_kept(scalar):
    return scalar < KEPT_BELOW or scalar // 128 in KEPT_BLOCKS


def small_map(content):
    """A scalar map with the entries that are kept."""
    if not content:
        return content
    numbers = words(content)
    count = numbers[0]
    images = numbers[1 + 2 * count:]
    kept, scalars = [], []
    for scalar, place in zip(numbers[1:1 + 2 * count:2], numbers[2:2 + 2 * count:2]):
        if is_kept(scalar):
            kept += [scalar, len(scalars) << 8 | place & 0xFF]
            scalars += images[place >> 8:(place >> 8) + (place & 0xFF)]
    return bytes_of([len(kept) // 2, *kept, *scalars])


def small_classes(index, blocks):
    """The class tables with the blocks that are kept; all other code points get the last block."""
    numbers = struct.unpack(f"<{len(index) // 2}H", index)
    kept, places, small = [], {}, []
    for place, block in enumerate(numbers):
        if not (is_kept(place * 128) or place in KEPT_BLOCKS):
            block = numbers[-1]
        if block not in places:
            places[block] = len(kept)
            kept.append(blocks[block * 256:block * 256 + 256])
        small.append(places[block])
    return struct.pack(f"<{len(small)}H", *small), b"".join(kept)


def small_tables(tables):
    directory = words(tables[256:256 + 8 * SECTIONS])
    sections = [tables[offset:offset + size] for offset, size in zip(directory[::2], directory[1::2])]
    sections[CLASS_INDEX], sections[CLASS_BLOCKS] = small_classes(sections[CLASS_INDEX], sections[CLASS_BLOCKS])
    for section in DECOMPOSITIONS, LOWERCASE:
        sections[section] = small_map(sections[section])
    triples = words(sections[COMPOSITIONS])
    sections[COMPOSITIONS] = bytes_of(
        [value for i in range(0, len(triples), 3) if is_kept(triples[i + 2]) for value in triples[i:i + 3]])
    pairs = words(sections[COMBINING])
    sections[COMBINING] = bytes_of([value for i in range(0, len(pairs), 2) if is_kept(pairs[i]) for value in pairs[i:i + 2]])

    out = bytearray(tables[:256] + bytes(8 * SECTIONS))
    for number, content in enumerate(sections):
        if content:
            out += bytes(-len(out) % 8)
            struct.pack_into("<II", out, 256 + 8 * number, len(out), len(content))
            out += content
    return bytes(out)
