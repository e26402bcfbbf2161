"""Recipes of lathe-quantize beside llama.cpp's own quantizer.

  * plans: for models of many shapes (grouped queries, experts, fused projections, tied tables, 70B, odd widths), every recipe, with and without an
    importance matrix: order and types are those that llama_model_quantize's dry run names. The files are sparse: no weight is read;
  * options: --pure, --tensor-type, --output-tensor-type, --token-embedding-type, likewise;
  * whole files: a random model with rows of 256 n and SmolLM2 (rows of 576: many fallbacks) to the usual recipes from F32, F16 and BF16: the file is
    llama_model_quantize's, byte for byte, keys included (--receipt none); the plan promised its size and types; llama.cpp loads and runs it;
  * importance matrix: --collect-imatrix beside sums that hooks take in transformers, names and keys as llama-imatrix has them; llama.cpp's quantizer
    given the same matrix writes the same file; the older .dat form means the same;
  * damage: figures beside numpy's on gguf's dequantized tensors.
"""
import ctypes
import hashlib
import os
import re
import struct

import gguf
import llama_cpp
import numpy as np
from checks import *

import smollm2

# Recipe: file type. The order is that of --list-types.
RECIPES = {"F32": 0, "F16": 1, "BF16": 32, "Q1_0": 40, "Q2_0": 41, "IQ1_S": 24, "IQ1_M": 31, "TQ1_0": 36, "TQ2_0": 37, "IQ2_XXS": 19, "IQ2_XS": 20,
           "IQ2_S": 28, "IQ2_M": 29, "Q2_K_S": 21, "Q2_K": 10, "IQ3_XXS": 23, "IQ3_XS": 22, "Q3_K_S": 11, "IQ3_S": 26, "IQ3_M": 27, "Q3_K_M": 12,
           "Q3_K_L": 13, "IQ4_XS": 30, "IQ4_NL": 25, "Q4_0": 2, "Q4_K_S": 14, "Q4_1": 3, "Q4_K_M": 15, "Q5_0": 8, "Q5_K_S": 16, "Q5_1": 9,
           "Q5_K_M": 17, "Q6_K": 18, "Q8_0": 7, "MXFP4_MOE": 38}
TYPE_ID = {t.name: t.value for t in gguf.GGMLQuantizationType}

_said = []


@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
def _listen(level, text, user):
    _said.append(text.decode("utf-8", "replace"))


llama_cpp.llama_log_set(_listen, ctypes.c_void_p(0))


class Override(ctypes.Structure):
    _fields_ = [("pattern", ctypes.c_char_p), ("type", ctypes.c_int)]


class ImatrixData(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.POINTER(ctypes.c_float)), ("size", ctypes.c_size_t)]


class Params(ctypes.Structure):
    """llama_model_quantize_params of the vendored llama.cpp; the binding's own lags behind."""
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int), ("output_tensor_type", ctypes.c_int), ("token_embedding_type", ctypes.c_int),
                ("allow_requantize", ctypes.c_bool), ("quantize_output_tensor", ctypes.c_bool), ("only_copy", ctypes.c_bool), ("pure", ctypes.c_bool),
                ("keep_split", ctypes.c_bool), ("dry_run", ctypes.c_bool), ("imatrix", ctypes.c_void_p), ("kv_overrides", ctypes.c_void_p),
                ("tt_overrides", ctypes.c_void_p), ("prune_layers", ctypes.c_void_p), ("max_buf_size", ctypes.c_size_t)]


LIB = llama_cpp.llama_cpp._lib if hasattr(llama_cpp.llama_cpp, "_lib") else ctypes.CDLL(
    os.path.join(os.path.dirname(llama_cpp.__file__), "lib", "libllama.so"))
N_TYPES = 43


def default_params():
    f = LIB.llama_model_quantize_default_params
    f.restype = Params
    f.argtypes = []
    return f()


def llama_quantize(source, out, ftype, imatrix=None, patterns=(), kv=None, **options):
    """llama_model_quantize; gives what it logged. imatrix: {name: float32 array}; kv: a llama_model_kv_override array."""
    params = default_params()
    params.ftype = ftype
    params.nthread = 2
    for key, value in options.items():
        setattr(params, key, value)
    keep = []
    if patterns:
        table = (Override * (len(patterns) + 1))(*[Override(p.encode(), t) for p, t in patterns], Override(None, N_TYPES))
        params.tt_overrides = ctypes.cast(table, ctypes.c_void_p)
        keep.append(table)
    if imatrix:
        table = (ImatrixData * (len(imatrix) + 1))()
        for i, (name, values) in enumerate(imatrix.items()):
            values = np.ascontiguousarray(values, dtype=np.float32)
            keep.append(values)
            table[i] = ImatrixData(name.encode(), values.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), values.size)
        params.imatrix = ctypes.cast(table, ctypes.c_void_p)
        keep.append(table)
    if kv is not None:
        params.kv_overrides = ctypes.cast(kv, ctypes.c_void_p)
    _said.clear()
    f = LIB.llama_model_quantize
    f.restype = ctypes.c_uint32
    f.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Params)]
    code = f(source.encode(), out.encode(), ctypes.byref(params))
    text = "".join(_said)
    if code:
        raise RuntimeError("llama_model_quantize: " + text.strip()[-300:])
    return text


LINE = re.compile(r"\[\s*\d+/\s*\d+\] (\S+)\s+- \[[^\]]*\], type =\s*(\S+), size =\s*[\d.]+ MiB(?: ->\s*[\d.]+ MiB \((\S+)\))?")


def their_types(source, ftype, **options):
    text = llama_quantize(source, work("never.gguf"), ftype, dry_run=True, **options)
    return [(name, (new or old).upper()) for name, old, new in LINE.findall(text)]


def our_plan(source, recipe, *options):
    return run_json("quantize", source, work("never.gguf"), recipe, "--dry-run", *options)


def our_types(source, recipe, *options):
    return [(t["name"], t["dtype"].upper()) for t in our_plan(source, recipe, *options)["plan"]["tensors"]]


# --- models that are nothing but shapes ---

def block(names, shapes, i):
    return [(f"blk.{i}.{n}.weight", shapes[n]) for n in names]


def dense(n_layer, e, f, n_head, n_kv, vocab=1024, tied=False, arch="llama"):
    d = e // n_head
    shapes = {"attn_norm": (e,), "ffn_norm": (e,), "attn_q": (e, e), "attn_k": (n_kv * d, e), "attn_v": (n_kv * d, e), "attn_output": (e, e),
              "ffn_gate": (f, e), "ffn_up": (f, e), "ffn_down": (e, f)}
    tensors = [("token_embd.weight", (vocab, e)), ("output_norm.weight", (e,))]
    if not tied:
        tensors.append(("output.weight", (vocab, e)))
    for i in range(n_layer):
        tensors += block(shapes, shapes, i)
    return arch, dict(n_layer=n_layer, e=e, f=f, n_head=n_head, n_kv=n_kv, vocab=vocab), tensors


def experts(n_layer, e, f, n_head, n_kv, n_expert, arch="llama"):
    arch, hp, tensors = dense(n_layer, e, f, n_head, n_kv, arch=arch)
    tensors = [t for t in tensors if ".ffn_" not in t[0] or "norm" in t[0]]
    for i in range(n_layer):
        tensors += [(f"blk.{i}.ffn_gate_inp.weight", (n_expert, e)), (f"blk.{i}.ffn_gate_exps.weight", (n_expert, f, e)),
                    (f"blk.{i}.ffn_up_exps.weight", (n_expert, f, e)), (f"blk.{i}.ffn_down_exps.weight", (n_expert, e, f))]
    return arch, dict(hp, n_expert=n_expert), tensors


def fused(n_layer, e, arch, tied, n_kv=None, n_head=8):
    d = e // n_head
    qkv = e + 2 * (n_kv or n_head) * d
    tensors = [("token_embd.weight", (1024, e)), ("output_norm.weight", (e,)), ("output_norm.bias", (e,))]
    if arch == "gpt2":
        tensors.append(("position_embd.weight", (64, e)))
    if not tied:
        tensors.append(("output.weight", (1024, e)))
    for i in range(n_layer):
        tensors += [(f"blk.{i}.attn_norm.weight", (e,)), (f"blk.{i}.attn_norm.bias", (e,)), (f"blk.{i}.attn_qkv.weight", (qkv, e)),
                    (f"blk.{i}.attn_qkv.bias", (qkv,)), (f"blk.{i}.attn_output.weight", (e, e)), (f"blk.{i}.ffn_norm.weight", (e,)),
                    (f"blk.{i}.ffn_up.weight", (4 * e, e)), (f"blk.{i}.ffn_down.weight", (e, 4 * e))]
    return arch, dict(n_layer=n_layer, e=e, f=4 * e, n_head=n_head, n_kv=n_kv or n_head, vocab=1024), tensors


MODELS = {
    "llama, 4 query heads a key": dense(32, 512, 1536, 8, 2),
    "llama, 2 query heads a key": dense(28, 512, 1536, 8, 4, tied=True),
    "llama, 70B": dense(80, 512, 1536, 8, 1),
    "llama, rows of 576": dense(30, 576, 1536, 9, 3, tied=True),
    "llama, rows of 80": dense(9, 80, 96, 5, 5),
    "qwen2 of 80 layers": dense(80, 256, 512, 4, 4, arch="qwen2"),
    "llama, 8 experts": experts(16, 256, 512, 8, 2, 8),
    "llama, 16 experts": experts(17, 256, 512, 4, 4, 16),
    "falcon": fused(33, 256, "falcon", False, n_kv=1),
    "gpt2": fused(12, 768, "gpt2", True, n_head=12),
}


def write_shapes(path, arch, hp, tensors, data=None, dtype=gguf.GGMLQuantizationType.F32):
    """A GGUF file of these shapes; without data a sparse one."""
    w = gguf.GGUFWriter(path, arch)
    w.add_block_count(hp["n_layer"])
    w.add_context_length(128)
    w.add_embedding_length(hp["e"])
    w.add_feed_forward_length(hp["f"])
    w.add_head_count(hp["n_head"])
    w.add_head_count_kv(hp["n_kv"])
    w.add_layer_norm_eps(1e-5)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(hp["vocab"])
    if "n_expert" in hp:
        w.add_expert_count(hp["n_expert"])
        w.add_expert_used_count(2)
    w.add_file_type(0)
    size = 0
    for name, shape in tensors:
        n = int(np.prod(shape)) * 4
        w.add_tensor_info(name, shape, np.dtype(np.float32), n)
        size += (n + 31) // 32 * 32
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    w.close()
    start = (os.path.getsize(path) + 31) // 32 * 32
    os.truncate(path, start + size)


def ones_imatrix(path, tensors):
    """An importance matrix for every matrix but the embedding, all ones; {name: values} as llama-quantize reads it."""
    w = gguf.GGUFWriter(path, "unused")
    w.kv_data[0].clear()
    w.add_string("general.type", "imatrix")
    w.add_array("imatrix.datasets", ["ones.txt"])
    w.add_uint32("imatrix.chunk_count", 3)
    w.add_uint32("imatrix.chunk_size", 512)
    values = {}
    for name, shape in tensors:
        if len(shape) < 2 or name in ("token_embd.weight", "position_embd.weight"):
            continue
        n_mat = shape[0] if len(shape) == 3 else 1
        values[name] = np.ones(n_mat * shape[-1], np.float32)
        w.add_tensor(f"{name}.in_sum2", np.full((n_mat, shape[-1]), 5, np.float32))
        w.add_tensor(f"{name}.counts", np.full((n_mat, 1), 5, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return values


def differences(ours, theirs):
    if [n for n, _ in ours] != [n for n, _ in theirs]:
        return ["the tensors or their order"]
    return [f"{n}: {a}, llama.cpp {b}" for (n, a), (_, b) in zip(ours, theirs) if a != b]


def compare(source, recipe, ours_options=(), **theirs_options):
    """What differs; None where both refuse."""
    try:
        theirs = their_types(source, RECIPES[recipe], **theirs_options)
    except RuntimeError as e:
        theirs = None
    status, out = run("quantize", source, work("never.gguf"), recipe, "--dry-run", "--json", *ours_options, expect=None)
    if status or theirs is None:
        return [] if status and theirs is None else [f"lathe exit {status}, llama.cpp {'refuses' if theirs is None else 'accepts'}: {out[-200:]}"]
    ours = [(t["name"], t["dtype"].upper()) for t in json.loads(out)["plan"]["tensors"]]
    return differences(ours, theirs)


NEEDS = {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "Q2_K_S", "IQ3_XXS", "IQ3_XS"}


def plans(name, model):
    source, matrix = work("shapes.gguf"), work("ones.gguf")
    write_shapes(source, *model)
    values = ones_imatrix(matrix, model[2])
    for title, recipes, ours, theirs in (
            ("", [r for r in RECIPES if r not in NEEDS], (), {}),
            (", importance matrix", list(RECIPES), ("--imatrix", matrix), {"imatrix": values})):
        wrong = []
        for recipe in recipes:
            wrong += [f"{recipe}: {d}" for d in compare(source, recipe, ours, **theirs)[:2]]
        check(f"plans of {name}{title}: types and order are llama.cpp's", not wrong, f"{len(recipes)} recipes" if not wrong else "; ".join(wrong[:4]))
    os.unlink(source)
    os.unlink(matrix)


def options():
    source = work("shapes.gguf")
    write_shapes(source, *MODELS["llama, 4 query heads a key"])
    cases = {
        "--pure": (["--pure"], {"pure": True}),
        "--output-tensor-type": (["--output-tensor-type", "q5_0"], {"output_tensor_type": TYPE_ID["Q5_0"]}),
        "--token-embedding-type": (["--token-embedding-type", "Q8_0"], {"token_embedding_type": TYPE_ID["Q8_0"]}),
        "--tensor-type": (["--tensor-type", r"blk\.([0-9]|1[0-5])\.ffn_(up|gate)=q5_k", "--tensor-type", "ffn_up=q3_K", "--tensor-type", "ATTN_V=f16"],
                          {"patterns": [(r"blk\.([0-9]|1[0-5])\.ffn_(up|gate)", TYPE_ID["Q5_K"]), ("ffn_up", TYPE_ID["Q3_K"]), ("attn_v", TYPE_ID["F16"])]}),
        "--tensor-type of some ffn_down": (["--tensor-type", r"blk\.\d\.ffn_down=q8_0"], {"patterns": [(r"blk\.\d\.ffn_down", TYPE_ID["Q8_0"])]}),
        "--tensor-type and --pure": (["--pure", "--tensor-type", "attn_k=q6_k"], {"pure": True, "patterns": [("attn_k", TYPE_ID["Q6_K"])]}),
    }
    for title, (ours, theirs) in cases.items():
        wrong = [f"{r}: {d}" for r in ("Q4_K_M", "Q4_0", "Q3_K_L", "F16") for d in compare(source, r, ours, **theirs)[:2]]
        check(f"{title}: types are llama.cpp's", not wrong, "; ".join(wrong[:4]))
    os.unlink(source)
    write_shapes(source, *MODELS["llama, 2 query heads a key"])
    wrong = [f"{r}: {d}" for r in ("Q4_K_M", "Q4_0") for d in compare(source, r, ["--output-tensor-type", "q5_1"], output_tensor_type=TYPE_ID["Q5_1"])[:2]]
    check("--output-tensor-type of a tied table: types are llama.cpp's", not wrong, "; ".join(wrong[:4]))
    os.unlink(source)


# --- whole files ---

WHOLE = ["Q4_K_M", "Q5_K_M", "Q6_K", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "IQ4_XS", "Q8_0", "Q4_0"]


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def first_difference(a, b):
    """What a reader sees of two files that differ."""
    ra, rb = gguf.GGUFReader(a), gguf.GGUFReader(b)
    ka, kb = list(ra.fields), list(rb.fields)
    if ka != kb:
        return f"keys {[k for k in ka if k not in kb]} {[k for k in kb if k not in ka]}, or their order"
    for k in ka:
        if ra.fields[k].types != rb.fields[k].types or ra.fields[k].contents() != rb.fields[k].contents():
            return f"key {k}: {str(ra.fields[k].contents())[:60]} and {str(rb.fields[k].contents())[:60]}"
    for s, t in zip(ra.tensors, rb.tensors):
        if (s.name, s.tensor_type) != (t.name, t.tensor_type):
            return f"{s.name} {s.tensor_type.name} and {t.name} {t.tensor_type.name}"
        if not np.array_equal(s.data, t.data):
            return f"{s.name} ({s.tensor_type.name}): data"
    return "padding or offsets"


def runs(path, n_vocab):
    """llama.cpp loads the file and computes finite logits."""
    model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
    if not model:
        return False
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = params.n_batch = 32
    context = llama_cpp.llama_init_from_model(model, params)
    ids = (llama_cpp.llama_token * 8)(*[(37 * i + 5) % n_vocab for i in range(8)])
    code = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(ids, 8))
    logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, 7), shape=(n_vocab,)).copy()
    llama_cpp.llama_free(context)
    llama_cpp.llama_model_free(model)
    return code == 0 and bool(np.isfinite(logits).all()) and float(logits.std()) > 0


def write_random(path, storage):
    """A llama of nine layers, so that an eighth of them is one, with rows of 256 n."""
    arch, hp, tensors = dense(9, 512, 768, 8, 2, vocab=640)
    r = np.random.default_rng(11)
    w = gguf.GGUFWriter(path, arch)
    w.add_name("random")
    w.add_block_count(hp["n_layer"])
    w.add_context_length(128)
    w.add_embedding_length(hp["e"])
    w.add_feed_forward_length(hp["f"])
    w.add_head_count(hp["n_head"])
    w.add_head_count_kv(hp["n_kv"])
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_dimension_count(hp["e"] // hp["n_head"])
    w.add_vocab_size(hp["vocab"])
    w.add_tokenizer_model("no_vocab")
    w.add_file_type({"F32": 0, "F16": 1, "BF16": 32}[storage])
    for name, shape in tensors:
        x = r.standard_t(5, shape).astype(np.float32) * np.float32(0.03) if len(shape) > 1 else r.normal(1, 0.1, shape).astype(np.float32)
        if storage == "F16" and len(shape) > 1:
            x = x.astype(np.float16)
        if storage == "BF16" and len(shape) > 1:
            raw = ((x.view(np.uint32) + np.uint32(0x8000)) >> 16).astype(np.uint16)
            w.add_tensor(name, raw.view(np.uint8), raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            w.add_tensor(name, x)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return hp["vocab"]


def whole_file(title, source, recipe, n_vocab, ours_options=(), **theirs_options):
    ours, theirs = work("ours.gguf"), work("theirs.gguf")
    plan = our_plan(source, recipe, "--receipt", "none", *ours_options)
    run("quantize", source, ours, recipe, "--receipt", "none", "--force", "--quiet", *ours_options)
    llama_quantize(source, theirs, RECIPES[recipe], **theirs_options)
    same = sha256(ours) == sha256(theirs)
    check(f"{title} to {recipe}: the file is llama_model_quantize's, byte for byte", same,
          f"{os.path.getsize(ours)} bytes" if same else first_difference(ours, theirs))
    named = [(t["name"], t["dtype"].upper()) for t in plan["plan"]["tensors"]]
    written = [(t.name, t.tensor_type.name) for t in gguf.GGUFReader(theirs).tensors]
    check(f"{title} to {recipe}: the plan is llama.cpp's file, to the byte", named == written and plan["size_bytes"] == os.path.getsize(theirs))
    check(f"{title} to {recipe}: llama.cpp runs it", runs(ours, n_vocab))
    os.unlink(ours)
    os.unlink(theirs)


def random_model(storage, recipes):
    source = work("random.gguf")
    n_vocab = write_random(source, storage)
    for recipe in recipes:
        whole_file(f"random model ({storage})", source, recipe, n_vocab)
    os.unlink(source)


def random_matrix():
    """Recipes that need an importance matrix, or use it, on the random model."""
    source, path, ids_file = work("random.gguf"), work("imatrix.gguf"), write_ids("ids.txt", np.random.default_rng(9).integers(0, 640, 256))
    n_vocab = write_random(source, "BF16")
    run("quantize", "--collect-imatrix", source, "--tokens", ids_file, "--context", 64, "-o", path, "--force", "--quiet")
    values = read_matrix(path)
    kv = overrides("imatrix.gguf", "ids.txt", len(values), 4)
    for recipe in ("IQ2_XXS", "IQ2_M", "IQ1_M", "IQ3_XXS", "IQ4_XS", "Q2_K_S", "Q3_K_M", "Q5_0"):
        whole_file("random model with its importance matrix", source, recipe, n_vocab, ("--imatrix", path), imatrix=values, kv=kv)
    os.unlink(source)
    os.unlink(path)


# --- importance matrix ---

def hooked(folder, ids, n_context):
    """{GGUF name: (sums of squares, count)} of what each linear layer sees, by hooks in transformers."""
    import reference
    import torch
    model = reference.load(folder, torch.float32)
    kinds = {v: k for k, v in smollm2.LAYER.items()}
    sums, handles = {}, []

    def hook(name):
        def add(module, args):
            x = args[0].detach().to(torch.float64).reshape(-1, args[0].shape[-1])
            total, count = sums.get(name, (0, 0))
            sums[name] = (total + (x ** 2).sum(dim=0), count + x.shape[0])
        return add

    for i, layer in enumerate(model.model.layers):
        for path, kind in kinds.items():
            if "norm" in kind:
                continue
            module = layer
            for part in path.split("."):
                module = getattr(module, part)
            handles.append(module.register_forward_pre_hook(hook(f"blk.{i}.{kind}.weight")))
    with torch.no_grad():
        for at in range(0, len(ids) - n_context + 1, n_context):
            model(torch.tensor([ids[at:at + n_context]]), use_cache=False)
    return {name: (total.numpy(), count) for name, (total, count) in sums.items()}


def read_matrix(path):
    """{name: values} as llama-quantize's common_imatrix_load and load_imatrix read them."""
    reader = gguf.GGUFReader(path)
    tensors = {t.name: t.data for t in reader.tensors}
    return {name[:-8]: (data / tensors[name[:-8] + ".counts"]).astype(np.float32).ravel() for name, data in tensors.items() if name.endswith(".in_sum2")}


def write_dat(path, matrix, n_calls, chunks, dataset):
    with open(path, "wb") as f:
        f.write(struct.pack("<i", len(matrix)))
        for name, values in sorted(matrix.items()):
            f.write(struct.pack("<i", len(name)) + name.encode() + struct.pack("<ii", n_calls, len(values)))
            f.write((values * np.float32(n_calls)).astype("<f4").tobytes())
        f.write(struct.pack("<ii", chunks, len(dataset)) + dataset.encode())


def overrides(file, dataset, entries, chunks):
    """quantize.imatrix.* as llama-quantize hands them to llama_model_quantize."""
    table = (llama_cpp.llama_model_kv_override * 5)()
    for slot, (key, value) in zip(table, [("file", file), ("dataset", dataset), ("entries_count", entries), ("chunks_count", chunks)]):
        slot.key = f"quantize.imatrix.{key}".encode()
        if isinstance(value, str):
            slot.tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_STR
            slot.value.val_str = value.encode()
        else:
            slot.tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_INT
            slot.value.val_i64 = value
    return table


def matrix(kept, folder):
    ids = [int(i) for i in np.random.default_rng(3).integers(0, 49152, 3 * 64 + 9)]
    ids_file, path = write_ids("calibration.txt", ids), work("imatrix.gguf")
    told = run_json("quantize", "--collect-imatrix", kept, "--tokens", ids_file, "--context", 64, "-o", path, "--force")
    check("collected: windows and what was left over", (told["chunks"], told["unused_ids"], told["entries"]) == (3, 9, 210))
    reader = gguf.GGUFReader(path)
    keys = [k for k in reader.fields if not k.startswith("GGUF.")]
    check("collected: keys are llama-imatrix's", keys == ["general.type", "imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size"] and
          reader.fields["imatrix.datasets"].contents() == ["calibration.txt"] and reader.fields["imatrix.chunk_count"].contents() == 3, keys)
    wanted = hooked(folder, ids, 64)
    tensors = {t.name: t.data.ravel() for t in reader.tensors}
    names = [t.name for t in reader.tensors]
    check("collected: names and order are llama-imatrix's", names == [n + s for n in sorted(wanted) for s in (".in_sum2", ".counts")])
    worst = max(float(np.abs(tensors[n + ".in_sum2"] - total).max() / np.abs(total).max()) for n, (total, _) in wanted.items())
    counts = all(tensors[n + ".counts"][0] == count for n, (_, count) in wanted.items())
    check("collected: sums are those of transformers", worst < 2e-4 and counts, f"largest difference {worst:.1e} of the largest sum")
    from_folder = work("folder.gguf")
    run("quantize", "--collect-imatrix", folder, "--tokens", ids_file, "--context", 64, "-o", from_folder, "--force", "--quiet")
    other = {t.name: t.data.ravel() for t in gguf.GGUFReader(from_folder).tensors}
    worst = max(float(np.abs(tensors[n] - other[n]).max() / np.abs(tensors[n]).max()) for n in tensors)
    check("collected: the same from the folder and from its GGUF", names == list(other) and worst < 1e-4, f"{worst:.1e}")

    values = read_matrix(path)
    kv = overrides("imatrix.gguf", "calibration.txt", len(values), 3)
    for recipe in ("Q4_K_M", "Q4_0"):
        whole_file("SmolLM2 with its importance matrix", kept, recipe, 49152, ("--imatrix", path), imatrix=values, kv=kv)
    dat, a, b = work("old.dat"), work("a.gguf"), work("b.gguf")
    write_dat(dat, values, 1, 3, "calibration.txt")
    run("quantize", kept, a, "Q4_0", "--imatrix", path, "--force", "--quiet")
    run("quantize", kept, b, "Q4_0", "--imatrix", dat, "--force", "--quiet")
    same = all(np.array_equal(s.data, t.data) for s, t in zip(gguf.GGUFReader(a).tensors, gguf.GGUFReader(b).tensors))
    check("the older form gives the same tensors", same)
    reader = gguf.GGUFReader(a)
    check("the matrix's digest is in the file", reader.fields["lathe.quantize.imatrix.sha256"].contents() == sha256(path))
    one = work("one.gguf")
    run("quantize", kept, one, "Q4_0", "--imatrix", path, "--force", "--quiet", "--threads", "1")
    check("one thread gives the same file, damage included", sha256(a) == sha256(one))
    for file in (a, b, one, dat, path, from_folder):
        os.unlink(file)


def figures(kept):
    out = work("damage.gguf")
    told = run_json("quantize", kept, out, "Q4_K_M", "--force")
    before = {t.name: t for t in gguf.GGUFReader(kept).tensors}
    after = {t.name: t for t in gguf.GGUFReader(out).tensors}
    text = gguf.GGUFReader(out).fields["lathe.quantize.damage"].contents()
    stored = [row.split(" ") for row in text.rstrip(";").split(";")]
    worst, at, order = 0, [], [d["tensor"] for d in told["damage"]]
    for d, row in list(zip(told["damage"], stored))[::7]:
        t = after[d["tensor"]]
        block = gguf.GGML_QUANT_SIZES[t.tensor_type][0]
        x = gguf.dequantize(before[t.name].data, before[t.name].tensor_type).astype(np.float64)
        y = gguf.dequantize(t.data, t.tensor_type).astype(np.float64)
        e = y - x
        sums = (e.reshape(-1, block) ** 2).sum(axis=1)
        k = int(sums.argmax())
        want = {"rmse": np.sqrt((e ** 2).mean()), "relative": np.sqrt((e ** 2).sum() / (x ** 2).sum()),
                "one_minus_cosine": 1 - (x * y).sum() / np.sqrt((x ** 2).sum() * (y ** 2).sum())}
        worst = max([worst] + [abs(d[key] - v) / v for key, v in want.items()] + [abs(d["worst"]["rmse"] - np.sqrt(sums[k] / block)) / d["worst"]["rmse"]])
        per_row = x.shape[-1] // block
        at.append((d["worst"]["row"], d["worst"]["block"]) == divmod(k, per_row) and int(row[4]) == k)
        worst = max(worst, abs(float(row[0]) - want["rmse"]) / want["rmse"] - 5e-5, abs(float(row[2]) - want["one_minus_cosine"]) / want["one_minus_cosine"] - 5e-5)
    check("damage: figures are numpy's on gguf's dequantized tensors", worst < 1e-5 and len(stored) == len(order), f"{len(at)} tensors, {worst:.1e}")
    check("damage: the worst block is where numpy finds it", all(at))
    os.unlink(out)


def smollm():
    folder = smollm2.ensure()
    kept = convert(folder, "kept.gguf", "--receipt", "none")
    for recipe in WHOLE:
        whole_file("SmolLM2", kept, recipe, 49152)
    for storage in ("f16", "f32"):
        cast = convert(folder, f"{storage}.gguf", "--receipt", "none", "--type", storage)
        whole_file(f"SmolLM2 ({storage.upper()})", cast, "Q4_K_M", 49152)
        os.unlink(cast)
    guarded("importance matrix", matrix, kept, folder)
    guarded("damage", figures, kept)
    os.unlink(kept)


for model_name in MODELS:
    guarded(model_name, plans, model_name, MODELS[model_name])
guarded("options", options)
guarded("random model F32", random_model, "F32", WHOLE)
guarded("random model F16", random_model, "F16", ["Q4_K_M", "IQ4_XS"])
guarded("random model BF16", random_model, "BF16", ["Q5_K_M", "Q2_K"])
guarded("random model, importance matrix", random_matrix)
guarded("smollm2", smollm)
finish()
