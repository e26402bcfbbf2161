"""The GLM line's forward passes in numpy, float64, written from the formulas and from nothing of this repository.

One function per graph; weights are a dictionary of arrays under the published names. Everything is for one sequence.

    chatglm1(config, weights, ids)      ChatGLM-6B, first generation
    chatglm2(config, weights, ids)      ChatGLM2, ChatGLM3, GLM-4-9B as published with remote code
    glm2021(config, weights, ids, special)   GLM of 2021; special = {"sop": id, "masks": [ids]}

    python glm_numpy.py        checks them against the published implementations' logits in this folder
"""
import json
import math
import os
import struct
import sys
import zipfile

import numpy as np

here = os.path.dirname(os.path.abspath(__file__))

# --- pieces ---


def layer_norm(x, w, b, eps):
    d = x - x.mean(-1, keepdims=True)
    return d / np.sqrt((d * d).mean(-1, keepdims=True) + eps) * w + b


def rms_norm(x, w, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * w


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def silu(x):
    return x / (1 + np.exp(-x))


def linear(x, weights, name):
    y = x @ weights[name + ".weight"].T
    return y + weights[name + ".bias"] if name + ".bias" in weights else y


def attention(q, k, v, blocked):
    """q (T, H, d), k and v (T, G, d), blocked (T, T) bool: a query's row, a key's column."""
    heads, groups = q.shape[1], k.shape[1]
    out = np.empty_like(q)
    for h in range(heads):
        g = h // (heads // groups)
        s = q[:, h] @ k[:, g].T / math.sqrt(q.shape[2])
        s = np.where(blocked, -np.inf, s)
        p = np.exp(s - s.max(-1, keepdims=True))
        out[:, h] = p / p.sum(-1, keepdims=True) @ v[:, g]
    return out.reshape(len(q), -1)


def rotate(x, angle, pairs):
    """x (T, heads, n), angle (T, n/2); pairs: neighbours turn together, else the two halves."""
    c, s = np.cos(angle)[:, None, :], np.sin(angle)[:, None, :]
    n = x.shape[-1] // 2
    a, b = (x[..., 0::2], x[..., 1::2]) if pairs else (x[..., :n], x[..., n:])
    y = np.empty_like(x)
    if pairs:
        y[..., 0::2], y[..., 1::2] = a * c - b * s, b * c + a * s
    else:
        y[..., :n], y[..., n:] = a * c - b * s, b * c + a * s
    return y


def frequencies(n, base):
    return base ** (-np.arange(0, n, 2) / n)


def causal(n):
    return np.arange(n)[None, :] > np.arange(n)[:, None]


def prefix_mask(n, prefix):
    return causal(n) & (np.arange(n)[None, :] >= prefix)


# --- the three graphs ---


def chatglm1_positions(config, ids):
    """pos, block, prefix length"""
    ids = list(ids)
    n, sop = len(ids), config["bos_token_id"]
    pos, block = np.arange(n), np.zeros(n, int)
    if sop not in ids:
        return pos, block, n
    c = ids.index(sop)
    has_gmask = config["gmask_token_id"] in ids
    mask = ids.index(config["gmask_token_id"] if has_gmask else config["mask_token_id"])
    if config.get("position_encoding_2d", True):
        pos[c:] = mask
        block[c:] = np.arange(1, n - c + 1)
    elif not has_gmask:
        pos[c:] = mask
    return pos, block, c


def chatglm1(config, weights, ids, round_frequencies=True):
    w = {k.removeprefix("transformer."): np.asarray(v, np.float64) for k, v in weights.items()}
    heads, eps, n = config["num_attention_heads"], config["layernorm_epsilon"], len(ids)
    width = config["hidden_size"]
    d = width // heads
    alpha = math.sqrt(2 * 28)
    two = config.get("position_encoding_2d", True)
    pos, block, prefix = chatglm1_positions(config, ids)
    f = frequencies(d // 2 if two else d, 10000.0)
    if round_frequencies:
        f = f.astype(np.float32).astype(np.float16).astype(np.float64)
    x = w["word_embeddings.weight"][list(ids)]
    for i in range(config["num_layers"]):
        p = f"layers.{i}."
        a = layer_norm(x, w[p + "input_layernorm.weight"], w[p + "input_layernorm.bias"], eps)
        z = linear(a, w, p + "attention.query_key_value").reshape(n, heads, 3, d)
        q, k, v = z[:, :, 0], z[:, :, 1], z[:, :, 2]
        if two:
            turn = lambda t: np.concatenate([rotate(t[..., :d // 2], np.outer(pos, f), False),
                                             rotate(t[..., d // 2:], np.outer(block, f), False)], -1)
        else:
            turn = lambda t: rotate(t, np.outer(pos, f), False)
        o = linear(attention(turn(q), turn(k), v, prefix_mask(n, prefix)), w, p + "attention.dense")
        x = alpha * a + o
        m = layer_norm(x, w[p + "post_attention_layernorm.weight"], w[p + "post_attention_layernorm.bias"], eps)
        x = alpha * m + linear(gelu_tanh(linear(m, w, p + "mlp.dense_h_to_4h")), w, p + "mlp.dense_4h_to_h")
    x = layer_norm(x, w["final_layernorm.weight"], w["final_layernorm.bias"], eps)
    return x @ w["lm_head.weight"].T


def chatglm2(config, weights, ids, divide_positions=False):
    w = {k.removeprefix("transformer."): np.asarray(v, np.float64) for k, v in weights.items()}
    heads, n, d = config["num_attention_heads"], len(ids), config["kv_channels"]
    multi = config.get("multi_query_attention", False)
    groups = config["multi_query_group_num"] if multi else heads
    eps, inner = config["layernorm_epsilon"], config["ffn_hidden_size"]

    def norm(x, name):
        if config.get("rmsnorm", True):
            return rms_norm(x, w[name + ".weight"], eps)
        return layer_norm(x, w[name + ".weight"], w[name + ".bias"], eps)

    ratio = config.get("rope_ratio", 1)
    f = frequencies(d // 2, 10000.0 * (1 if divide_positions else ratio))
    angle = np.outer(np.arange(n) / (ratio if divide_positions else 1), f)
    pairs = config.get("original_rope", True)
    turn = lambda t: np.concatenate([rotate(t[..., :d // 2], angle, pairs), t[..., d // 2:]], -1)
    after = config.get("apply_residual_connection_post_layernorm", False)
    x = w["embedding.word_embeddings.weight"][list(ids)]
    for i in range(config["num_layers"]):
        p = f"encoder.layers.{i}."
        a = norm(x, p + "input_layernorm")
        z = linear(a, w, p + "self_attention.query_key_value")
        if multi:
            q, k, v = np.split(z, [heads * d, (heads + groups) * d], axis=1)
            q, k, v = q.reshape(n, heads, d), k.reshape(n, groups, d), v.reshape(n, groups, d)
        else:
            z = z.reshape(n, heads, 3, d)
            q, k, v = z[:, :, 0], z[:, :, 1], z[:, :, 2]
        o = linear(attention(turn(q), turn(k), v, causal(n)), w, p + "self_attention.dense")
        x = (a if after else x) + o
        m = norm(x, p + "post_attention_layernorm")
        u = linear(m, w, p + "mlp.dense_h_to_4h")
        x = (m if after else x) + linear(silu(u[:, :inner]) * u[:, inner:], w, p + "mlp.dense_4h_to_h")
    if config.get("post_layer_norm", True):
        x = norm(x, "encoder.final_layernorm")
    return x @ w["output_layer.weight"].T


def glm2021_positions(ids, special, two_tables=True):
    """pos, block, prefix length; the k-th piece fills the k-th mask of the context"""
    ids = list(ids)
    n = len(ids)
    pos, block = np.arange(n), np.zeros(n, int)
    if special["sop"] not in ids:
        return pos, block, 0
    prefix = ids.index(special["sop"])
    masks = [i for i in range(prefix) if ids[i] in special["masks"]]
    piece = -1
    for i in range(prefix, n):
        if ids[i] == special["sop"]:
            piece, start = piece + 1, i
        if two_tables:
            pos[i], block[i] = masks[piece], i - start + 1
    return pos, block, prefix


def glm2021(config, weights, ids, special):
    w = {k.removeprefix("glm."): np.asarray(v, np.float64) for k, v in weights.items()}
    heads, n = config["num_attention_heads"], len(ids)
    d = config["hidden_size"] // heads
    two_tables = config.get("block_position_encoding", True)
    pos, block, prefix = glm2021_positions(ids, special, two_tables)
    x = w["word_embeddings.weight"][list(ids)] + w["transformer.position_embeddings.weight"][pos]
    if two_tables:
        x = x + w["transformer.block_position_embeddings.weight"][block]
    norm = lambda x, name: layer_norm(x, w[name + ".weight"], w[name + ".bias"], 1e-5)
    for i in range(config["num_layers"]):
        p = f"transformer.layers.{i}."
        z = linear(norm(x, p + "input_layernorm"), w, p + "attention.query_key_value")
        q, k, v = (t.reshape(n, heads, d) for t in np.split(z, 3, axis=1))
        x = x + linear(attention(q, k, v, prefix_mask(n, prefix)), w, p + "attention.dense")
        m = norm(x, p + "post_attention_layernorm")
        x = x + linear(gelu_erf(linear(m, w, p + "mlp.dense_h_to_4h")), w, p + "mlp.dense_4h_to_h")
    return norm(x, "transformer.final_layernorm") @ w["word_embeddings.weight"].T


# --- files ---

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I8": "|i1"}


def read_safetensors(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(n))
        data = f.read()
    out = {}
    for name, t in header.items():
        if name != "__metadata__":
            a, b = t["data_offsets"]
            out[name] = np.frombuffer(data[a:b], DTYPES[t["dtype"]]).reshape(t["shape"])
    return out


def write_safetensors(path, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    names = {v: k for k, v in DTYPES.items()}
    for name, a in tensors.items():
        raw = np.ascontiguousarray(a).tobytes()
        header[name] = {"dtype": names[a.dtype.str], "shape": list(a.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def read_torch_floats(path):
    """Contiguous float32 tensors of a torch zip archive, by the order of its pickle's calls: no code is run."""
    import pickle

    archive = zipfile.ZipFile(path)
    root = archive.namelist()[0].split("/")[0]

    class Reader(pickle.Unpickler):
        def find_class(self, module, name):
            if name == "_rebuild_tensor_v2":
                return lambda storage, offset, size, stride, *rest: storage[offset:offset + math.prod(size)].reshape(size)
            if name == "OrderedDict":
                return dict
            return name

        def persistent_load(self, saved):
            return np.frombuffer(archive.read(f"{root}/data/{saved[2]}"), "<f4")

    return Reader(archive.open(f"{root}/data.pkl")).load()


def read_folder(folder):
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    path = os.path.join(folder, "model.safetensors")
    weights = read_safetensors(path) if os.path.exists(path) else read_torch_floats(path.replace("model.safetensors", "pytorch_model.bin"))
    ids = np.load(os.path.join(folder, "input_ids.npy")).reshape(-1).tolist()
    return config, weights, ids


def special_of(folder):
    with open(os.path.join(folder, "added_tokens.json")) as f:
        t = json.load(f)
    return {"sop": t["<|startofpiece|>"], "masks": [t[k] for k in ("[MASK]", "[gMASK]", "[sMASK]") if k in t]}


def run_folder(folder):
    config, weights, ids = read_folder(folder)
    if any("block_position" in k or ".word_embeddings" not in k and k.endswith("transformer.position_embeddings.weight") for k in weights):
        return glm2021(config, weights, ids, special_of(folder))
    if any("encoder.layers" in k for k in weights):
        return chatglm2(config, weights, ids, divide_positions="32k" in os.path.basename(folder))
    return chatglm1(config, weights, ids)


def main():
    worst = 0.0
    for name in sorted(os.listdir(here)):
        folder = os.path.join(here, name)
        if not os.path.exists(os.path.join(folder, "logits.npy")):
            continue
        want = np.load(os.path.join(folder, "logits.npy"))
        if want.dtype == np.float64:  # made with this file
            continue
        d = np.abs(run_folder(folder) - want.reshape(-1, want.shape[-1])).max()
        worst = max(worst, d)
        print(f"{name:28} {d:.2e}")
    return 0 if worst < 2e-5 else 1


if __name__ == "__main__":
    sys.exit(main())
