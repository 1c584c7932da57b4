"""Makes the fixtures of ShrinkCheckpointsTests.

    python3 Tools/goldens/checkpoint_files.py

Needs gguf==0.19.0, numpy==2.4.6, safetensors==0.8.0.

blocks-TYPE.bin    random stored blocks, then the float32 values that gguf.quants.dequantize gives for them
small.gguf         every metadata type and several tensor types, written by gguf.GGUFWriter
small.safetensors  several tensor types and metadata, written by the safetensors package
"""

from pathlib import Path

import gguf
import numpy as np
import safetensors.numpy
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize

FIXTURES = Path(__file__).parents[2] / "Tests/ShrinkCheckpointsTests/Fixtures"

# Byte offsets of the half-precision scales and minima in a block.
HALVES = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
    Type.F16: [0], Type.BF16: [],
}

# Zeros, smallest and largest denormals, smallest normals, one, largest finite, infinity.
EXTREMES = [0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x3C00, 0x7BFF, 0xFBFF, 0x7C00]


def random_blocks(rng, kind):
    block_size, byte_count = gguf.GGML_QUANT_SIZES[kind]
    count = 512 if block_size == 1 else 40 if block_size == 32 else 14
    blocks = rng.integers(0, 256, (count, byte_count), dtype=np.uint8)
    for offset in HALVES[kind]:
        halves = rng.integers(0, 0x7C00, count, dtype=np.uint16) | rng.integers(0, 2, count, dtype=np.uint16) << 15
        halves[:len(EXTREMES)] = rng.permutation(EXTREMES)
        blocks[:, offset:offset + 2] = halves.astype("<u2").view(np.uint8).reshape(count, 2)
    return blocks


def write_blocks():
    for kind in HALVES:
        rng = np.random.default_rng(int(kind))
        blocks = random_blocks(rng, kind)
        with np.errstate(all="ignore"):
            floats = dequantize(blocks, kind).astype("<f4")
        (FIXTURES / f"blocks-{kind.name}.bin").write_bytes(blocks.tobytes() + floats.tobytes())


def write_gguf():
    writer = gguf.GGUFWriter(FIXTURES / "small.gguf", "llama")
    writer.add_custom_alignment(64)
    writer.add_uint8("test.uint8", 200)
    writer.add_int8("test.int8", -100)
    writer.add_uint16("test.uint16", 60000)
    writer.add_int16("test.int16", -30000)
    writer.add_uint32("test.uint32", 4000000000)
    writer.add_int32("test.int32", -2000000000)
    writer.add_uint64("test.uint64", 2**64 - 1)
    writer.add_int64("test.int64", -2**63)
    writer.add_float32("test.float32", 0.1)
    writer.add_float64("test.float64", 0.1)
    writer.add_bool("test.bool", True)
    writer.add_string("test.string", "naïve 🙂")
    writer.add_token_list([b"<s>", b"\xff\xfe", "Ġthe".encode(), b""])
    writer.add_token_merges(["Ġ t", "h e"])
    writer.add_token_scores([0.0, -1.5, -2.25, 3.0])
    writer.add_token_types([3, 6, 1, 1])
    writer.add_array("test.bools", [True, False, True])
    writer.add_array("test.nested", [[1, 2], [3]])

    ramp = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    writer.add_tensor("ramp.f32", ramp)
    writer.add_tensor("ramp.f16", (ramp / 8).astype(np.float16))
    writer.add_tensor("counts.i32", np.array([-1, 0, 7], dtype=np.int32))
    blocks = random_blocks(np.random.default_rng(1), Type.Q8_0)[:6].reshape(3, -1)
    writer.add_tensor("blocks.q8_0", blocks, raw_dtype=Type.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_safetensors():
    safetensors.numpy.save_file(
        {
            "ramp.f32": np.arange(6, dtype=np.float32).reshape(2, 3) - 2.5,
            "ramp.f16": np.arange(5, dtype=np.float16) / 4,
            "ids": np.array([[1, -2], [3, 2**40]], dtype=np.int64),
            "flags": np.array([True, False, True]),
            "nothing": np.zeros((0, 7), dtype=np.float32),
            "scalar é": np.array(0.1, dtype=np.float64),
        },
        FIXTURES / "small.safetensors",
        metadata={"format": "pt"},
    )


if __name__ == "__main__":
    FIXTURES.mkdir(parents=True, exist_ok=True)
    write_blocks()
    write_gguf()
    write_safetensors()
