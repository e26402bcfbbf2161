"""Writes tests/vectors/quant: input rows, the bytes ggml's quantizers make of them, random blocks and what gguf-py reads from them.

    python tests/vectors/make_quant_vectors.py            (Python with numpy, torch, gguf, llama_cpp; x86-64)

Files, all little-endian and without headers:
    rows.f32        N_ROWS rows of N_COLS floats; their names are in MANIFEST, in order
    TYPE.enc        the rows through ggml_quantize_chunk without importance matrix, for the types that existed first
    weights.f32     importance weights, one per column; some are zero
    sums            `TYPE plain|weights HASH ...`: for every type and way that .enc does not cover, the FNV-1a hash of each row's bytes; `-` where
                    ggml ends the process, which the codebook types do when sums overflow
    TYPE.blocks     blocks of random bytes with finite scales (all 256 codes for the 8-bit floats)
    TYPE.f32        what ggml and gguf-py (torch for the 8-bit floats) decode from TYPE.blocks
    cast.f64        doubles whose roundings are delicate; cast.f16, cast.bf16: their single roundings
"""
import ctypes
import hashlib
import os
import platform
import resource
from fractions import Fraction

import gguf
import llama_cpp
import numpy as np
import torch

SEED = 20261124
N_COLS = 512
OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "quant")

# Seeds of rows (Gaussian, 0.02, rounded to BF16 for Q4_0, which then has ties) of which the first block of 256 comes out differently when multiplications and additions are fused: found by
# comparing a build of the encoders with -mfma -ffp-contract=fast against one without.
FUSED_SEEDS = {"q4_0": 5, "q6_k": 52}

# name: (id in ggml, bytes of a block, offsets of halves in it). All other bytes of a block may hold anything.
TYPES = {
    "q4_0": (2, 18, [0]), "q4_1": (3, 20, [0, 2]), "q5_0": (6, 22, [0]), "q5_1": (7, 24, [0, 2]), "q8_0": (8, 34, [0]),
    "q2_k": (10, 84, [80, 82]), "q3_k": (11, 110, [108]), "q4_k": (12, 144, [0, 2]), "q5_k": (13, 176, [0, 2]),
    "q6_k": (14, 210, [208]), "iq4_nl": (20, 18, [0]), "iq4_xs": (23, 136, [0]), "tq1_0": (34, 54, [52]),
    "tq2_0": (35, 66, [64]), "mxfp4": (39, 17, []), "nvfp4": (40, 36, []), "q1_0": (41, 18, [0]), "q2_0": (42, 18, [0]),
    "iq2_xxs": (16, 66, [0]), "iq2_xs": (17, 74, [0]), "iq3_xxs": (18, 98, [0]), "iq1_s": (19, 50, [0]), "iq3_s": (21, 110, [0]),
    "iq2_s": (22, 82, [0]), "iq1_m": (29, 56, None), "f16": (1, 2, None), "bf16": (30, 2, None),
}
# Of these only sums are kept.
SUMS_ONLY = {"iq2_xxs", "iq2_xs", "iq3_xxs", "iq1_s", "iq3_s", "iq2_s", "iq1_m"}
IGNORES_WEIGHTS = {"q8_0", "tq1_0", "tq2_0", "mxfp4", "nvfp4", "q1_0", "q2_0", "f16", "bf16"}
NEEDS_WEIGHTS = {"iq2_xxs", "iq2_xs", "iq1_s"}


def bf16(a):
    bits = np.ascontiguousarray(a, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)


def make_rows():
    rng = np.random.default_rng(SEED)
    normal = lambda scale=1.0: (rng.standard_normal(N_COLS) * scale).astype(np.float32)
    rows = {}
    for name, seed in FUSED_SEEDS.items():
        row = (np.random.default_rng(seed).standard_normal(N_COLS) * 0.02).astype(np.float32)
        rows["fused_" + name] = bf16(row) if name == "q4_0" else row
    rows["gauss"] = normal(0.02)
    rows["gauss_bf16"] = bf16(normal(0.02))
    rows["student3_bf16"] = bf16(rng.standard_t(3, N_COLS) * 0.02)
    rows["cauchy"] = rng.standard_t(1, N_COLS).astype(np.float32)
    rows["uniform"] = rng.random(N_COLS).astype(np.float32)
    rows["offset"] = normal(0.01) + np.float32(1)
    rows["zero"] = np.zeros(N_COLS, np.float32)
    rows["minus_zero"] = -rows["zero"]
    rows["constant"] = np.full(N_COLS, 0.3, np.float32)
    rows["minus_constant"] = -rows["constant"]
    rows["ternary"] = rng.integers(-1, 2, N_COLS).astype(np.float32)
    rows["small_integers"] = rng.integers(-8, 9, N_COLS).astype(np.float32)
    rows["one_hot"] = np.where(np.arange(N_COLS) % 100 == 7, normal(), 0).astype(np.float32)
    rows["sparse_signed_zeros"] = np.where(rng.random(N_COLS) < 0.05, normal(), rng.choice([0.0, -0.0], N_COLS)).astype(np.float32)
    for exponent in (-9, -15, -20, -30, -38, -40, 4, 6, 12, 18, 30):
        rows["1e%d" % exponent] = normal(10.0**exponent)
    rows["exponents_of_elements"] = (normal() * 10.0 ** rng.uniform(-10, 4, N_COLS)).astype(np.float32)
    rows["exponents_of_16"] = (normal() * np.repeat(10.0 ** rng.uniform(-8, 2, N_COLS // 16), 16)).astype(np.float32)
    rows["exponents_of_32"] = (normal() * np.repeat(10.0 ** rng.uniform(-40, 36, N_COLS // 32), 32)).astype(np.float32)
    # Q8_0 with d = 1: every x is a tie of the rounding; the same with 8 (Q4_0: x * id + 8.5 is whole)
    ties = (rng.integers(-253, 254, N_COLS) * 0.5).astype(np.float32)
    ties[::32] = 127
    rows["ties_q8_0"] = ties
    ties = (rng.integers(-15, 16, N_COLS) * 0.5).astype(np.float32)
    ties[5::32] = -8
    rows["ties_q4_0"] = ties
    # the scale lands on the last half, on the tie to infinity, just below and above, for each divisor that occurs
    edge = normal(0.5)
    for i, v in enumerate(v for k in (127, 8, 1, 32 * 128) for v in (65504 * k, 65519.996 * k, 65520 * k, 65536 * k)):
        edge[32 * i : 32 * i + 32] *= np.float32(v) / 8
        edge[32 * i + i] = np.float32(v) * (-1) ** i
    rows["half_overflow"] = edge
    # halves that tie, and the ends of their range
    step = np.float32(2.0**-24)
    tie = (rng.integers(0, 4096, N_COLS).astype(np.float32) + np.float32(0.5)) * step * rng.choice([1, -1], N_COLS).astype(np.float32)
    tie[256:] = (1 + (2 * rng.integers(0, 1024, 256) + 1) * 2.0**-11) * 2.0 ** rng.integers(-14, 16, 256)
    rows["half_ties"] = tie
    # not finite: last, so that a reader may stop before them
    odd = normal(0.02)
    odd[3::64] = np.inf
    odd[40::96] = -np.inf
    rows["infinite"] = odd
    odd = normal(0.02)
    odd[[0, 31, 40, 64, 65, 127, 130, 140, 159, 256, 300, 511]] = np.nan
    rows["nan"] = odd
    rows["all_nan"] = np.full(N_COLS, np.nan, np.float32)
    return rows


def load_ggml():
    lib = ctypes.CDLL(os.path.join(os.path.dirname(llama_cpp.__file__), "lib", "libggml-base.so"))
    lib.ggml_quantize_chunk.restype = ctypes.c_size_t
    lib.ggml_quantize_chunk.argtypes = [ctypes.c_int] + [ctypes.c_void_p] * 2 + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    lib.ggml_row_size.restype = ctypes.c_size_t
    lib.ggml_row_size.argtypes = [ctypes.c_int, ctypes.c_int64]
    return lib


def encode(lib, ggml_id, rows):
    out = np.zeros(len(rows) * lib.ggml_row_size(ggml_id, N_COLS), np.uint8)
    lib.ggml_quantize_chunk(ggml_id, rows.ctypes.data, out.ctypes.data, 0, len(rows), N_COLS, None)
    return out.tobytes()


def make_weights():
    rng = np.random.default_rng(SEED + 3)
    weights = (rng.standard_normal(N_COLS) ** 2 * 10.0 ** rng.uniform(-3, 1, N_COLS)).astype(np.float32)
    weights[7::29] = 0
    return weights


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return "%016x" % h


def row_sums(lib, ggml_id, rows, weights):
    """Sums of the rows, in processes of their own: ggml ends one, and the next goes on after that row."""
    sums = []
    while len(sums) < len(rows):
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.environ["GGML_NO_BACKTRACE"] = "1"
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            out = np.zeros(lib.ggml_row_size(ggml_id, N_COLS), np.uint8)
            for row in rows[len(sums) :]:
                lib.ggml_quantize_chunk(ggml_id, row.ctypes.data, out.ctypes.data, 0, 1, N_COLS, None if weights is None else weights.ctypes.data)
                os.write(write_end, (fnv1a(out.tobytes()) + "\n").encode())
            os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end) as f:
            sums += f.read().split()
        _, status = os.waitpid(child, 0)
        if status:
            sums.append("-")
    return sums


def make_sums(lib, rows, weights):
    lines = []
    for name, (ggml_id, _, _) in TYPES.items():
        lib.ggml_quantize_init(ggml_id)  # here and not in every child: some seconds
        if name in SUMS_ONLY and name not in NEEDS_WEIGHTS:
            lines.append(" ".join([name, "plain"] + row_sums(lib, ggml_id, rows, None)))
        if name not in IGNORES_WEIGHTS:
            lines.append(" ".join([name, "weights"] + row_sums(lib, ggml_id, rows, weights)))
    return "\n".join(lines) + "\n"


def random_blocks(rng, block_bytes, halves, n):
    """Random bytes; a half that would be infinite or NaN gets a smaller exponent."""
    b = rng.integers(0, 256, (n, block_bytes), dtype=np.uint8)
    for off in halves:
        full = (b[:, off + 1] & 0x7C) == 0x7C
        b[full, off + 1] &= 0xBF
    return b


class Traits(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("block", ctypes.c_int64), ("interleave", ctypes.c_int64), ("size", ctypes.c_size_t),
                ("quantized", ctypes.c_bool), ("to_float", ctypes.c_void_p), ("from_float", ctypes.c_void_p)]


def decode_blocks(lib, ggml_id, blocks):
    """Through gguf-py, or ggml where gguf-py cannot; ggml must agree with gguf-py."""
    lib.ggml_get_type_traits.restype = ctypes.POINTER(Traits)
    traits = lib.ggml_get_type_traits(ggml_id).contents
    to_float = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)(traits.to_float)
    floats = np.zeros((len(blocks), traits.block), np.float32)
    to_float(blocks.ctypes.data, floats.ctypes.data, floats.size)
    try:
        independent = gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType(ggml_id)).astype(np.float32)
        assert floats.tobytes() == independent.tobytes()
        return floats.tobytes(), "gguf"
    except (NotImplementedError, ValueError):  # a type without decoder, a type it does not know
        return floats.tobytes(), "ggml"


def round_once(v, mantissa_bits, exponent_min, exponent_max):
    """The IEEE number with these parameters nearest to double v, ties to even, in exact arithmetic; returns its bits without sign."""
    x = Fraction(abs(v))
    e = exponent_min
    while e < exponent_max and x >= Fraction(2) ** (e + 1):
        e += 1
    q, r = divmod(x / Fraction(2) ** (e - mantissa_bits), 1)
    q = int(q) + (r > Fraction(1, 2) or (r == Fraction(1, 2) and q % 2 == 1))
    infinity = (exponent_max - exponent_min + 2) << mantissa_bits
    return min(q + ((e - exponent_min) << mantissa_bits), infinity)  # the leading 1 of q is the exponent field's last step


def make_casts():
    """Doubles next to ties of the target, which a first rounding to float would turn into the tie."""
    rng = np.random.default_rng(SEED + 1)
    v = [0.0, 2.0**-1074, 65519.999999999, 65520.0, 65504.0, 2.0**-25, np.nextafter(2.0**-25, 1), 2.0**-24, 1e-300, 1e300,
         2.0**-134, np.nextafter(2.0**-134, 1), 2.0**-150, 3.3961775292304e38, np.nextafter(3.3961775292304e38, 1e39), 3.4028235e38,
         2.0**128 - 2.0**119, np.nextafter(2.0**128 - 2.0**119, 0), 2.0**128 - 2.0**103, 2.0**128]
    for bits, low, high in ((10, -16, 16), (10, -26, -13), (7, -128, 127), (7, -136, -125)):
        for _ in range(60):
            e = int(rng.integers(low, high))
            mid = (1 + (2 * int(rng.integers(0, 1 << bits)) + 1) / 2.0 ** (bits + 1)) * 2.0**e
            v += [mid, mid * (1 + 2.0**-40), mid * (1 - 2.0**-40), mid * (1 + 2.0**-52)]
    v = np.array(v, np.float64)
    return np.concatenate([v, -v])


def cast_bits(v, mantissa_bits, exponent_min, exponent_max):
    bits = [round_once(float(x), mantissa_bits, exponent_min, exponent_max) for x in v]
    sign = np.signbit(v).astype(np.uint16) << 15
    return np.array(bits, np.uint16) | sign


def main():
    os.makedirs(OUT, exist_ok=True)
    files = {}
    rows = make_rows()
    data = np.stack(list(rows.values())).astype(np.float32)
    files["rows.f32"] = data.tobytes()
    lib = load_ggml()
    rng = np.random.default_rng(SEED + 2)
    decoders = {}
    for name, (ggml_id, block_bytes, halves) in TYPES.items():
        if name not in SUMS_ONLY:
            files[name + ".enc"] = encode(lib, ggml_id, data)
        if halves is not None or name == "iq1_m":
            elements = N_COLS // (lib.ggml_row_size(ggml_id, N_COLS) // block_bytes)
            blocks = random_blocks(rng, block_bytes, halves or [], 1280 // elements)
            if name == "iq1_m":  # its half is in upper nibbles, the exponent's first bit here
                blocks[:, 55] &= 0xBF
            files[name + ".blocks"] = blocks.tobytes()
            files[name + ".f32"], decoders[name] = decode_blocks(lib, ggml_id, blocks)
    weights = make_weights()
    files["weights.f32"] = weights.tobytes()
    files["sums"] = make_sums(lib, data, weights).encode()
    codes = np.arange(256, dtype=np.uint8)
    for name, dtype in (("f8_e4m3", torch.float8_e4m3fn), ("f8_e5m2", torch.float8_e5m2)):
        files[name + ".blocks"] = codes.tobytes()
        files[name + ".f32"] = torch.from_numpy(codes.copy()).view(dtype).to(torch.float32).numpy().tobytes()
    v = make_casts()
    files["cast.f64"] = v.tobytes()
    files["cast.f16"] = cast_bits(v, 10, -14, 15).tobytes()
    files["cast.bf16"] = cast_bits(v, 7, -126, 127).tobytes()
    assert files["cast.f16"] == v.astype(np.float16).tobytes()  # numpy rounds doubles to halves once

    with open(os.path.join(OUT, "MANIFEST"), "w") as f:
        f.write("# written by make_quant_vectors.py; python %s, numpy %s, torch %s, gguf %s, llama-cpp-python %s (%s)\n" % (
            platform.python_version(), np.__version__, torch.__version__, gguf_version(), llama_cpp.__version__, platform.machine()))
        f.write("# seeds %d, %s\n" % (SEED, ", ".join("%s %d" % kv for kv in FUSED_SEEDS.items())))
        f.write("# decoded by ggml alone, gguf-py cannot: %s\n" % ", ".join(k for k, v in decoders.items() if v == "ggml"))
        f.write("cols %d\n" % N_COLS)
        for name in rows:
            f.write("row %s\n" % name)
        for name, content in files.items():
            f.write("file %s %d %s\n" % (name, len(content), hashlib.sha256(content).hexdigest()))
    for name, content in files.items():
        with open(os.path.join(OUT, name), "wb") as f:
            f.write(content)
    print(sum(map(len, files.values())), "bytes in", len(files), "files")


def gguf_version():
    from importlib.metadata import version

    return version("gguf")


if __name__ == "__main__":
    main()
