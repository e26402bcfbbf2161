"""Makes the folders of this directory that no published sample covers: random weights, logits by glm_numpy.py in float64.

    python make_variants.py          needs numpy alone; seeds are fixed

Each gets config.json, weights, input_ids.npy, logits.npy (float64), and where positions are not simply counted
position_ids.npy (2, T) and mask_blocked.npy (T, T), as the folders from the published implementations have them.
"""
import json
import os
import shutil

import numpy as np

import glm_numpy
from glm_numpy import here

CODE = {"AutoConfig": "configuration_chatglm.ChatGLMConfig", "AutoModel": "modeling_chatglm.ChatGLMForConditionalGeneration"}


class Maker:
    def __init__(self, name, seed):
        self.folder, self.rng, self.w = os.path.join(here, name), np.random.default_rng(seed), {}
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)

    def matrix(self, name, *shape, scale=None):
        self.w[name] = (self.rng.standard_normal(shape) * (scale or 1 / np.sqrt(shape[-1]))).astype(np.float32)

    def vector(self, name, n, around=0.0):
        self.w[name] = (around + 0.2 * self.rng.standard_normal(n)).astype(np.float32)

    def norm(self, name, n, bias):
        self.vector(name + ".weight", n, 1.0)
        if bias:
            self.vector(name + ".bias", n)

    def linear(self, name, rows, cols, bias):
        self.matrix(name + ".weight", rows, cols, scale=1.5 / np.sqrt(cols))
        if bias:
            self.vector(name + ".bias", rows)

    def round(self, dtype):
        """Weights as `dtype` holds them, so that files of that type lose nothing."""
        for k, v in self.w.items():
            if dtype == "bf16":
                bits = np.ascontiguousarray(v).view(np.uint32)
                self.w[k] = ((bits + 0x8000) & 0xFFFF0000).astype(np.uint32).view(np.float32)
            else:
                self.w[k] = v.astype(dtype)

    def save(self, config, ids, logits, files=None, plan=None, added=None):
        """files: {shard: [names]}, with an index; None: one file"""
        def put(name, value):
            np.save(os.path.join(self.folder, name), value)
        with open(os.path.join(self.folder, "config.json"), "w") as f:
            json.dump(config, f, indent=2)
        put("input_ids.npy", np.array(ids, np.int64))
        put("logits.npy", logits)
        if plan:
            pos, block, prefix = plan
            put("position_ids.npy", np.stack([pos, block]).astype(np.int64))
            put("mask_blocked.npy", glm_numpy.prefix_mask(len(ids), prefix))
        if added:
            with open(os.path.join(self.folder, "added_tokens.json"), "w") as f:
                json.dump(added, f)
        stored = self.stored if hasattr(self, "stored") else self.w
        if not files:
            return glm_numpy.write_safetensors(os.path.join(self.folder, "model.safetensors"), stored)
        index = {"metadata": {}, "weight_map": {n: shard for shard, names in files.items() for n in names}}
        for shard, names in files.items():
            glm_numpy.write_safetensors(os.path.join(self.folder, shard), {n: stored[n] for n in names})
        with open(os.path.join(self.folder, "model.safetensors.index.json"), "w") as f:
            json.dump(index, f, indent=1)

    def quantize(self, bits, names, scale_dtype):
        """int8 rows, or pairs of nibbles (even column high), with one scale a row; w becomes what they stand for"""
        self.stored = {}
        for name, v in self.w.items():
            if not name.endswith(names):
                self.stored[name] = v
                continue
            top = 2**(bits - 1) - 1
            scale = (np.abs(v).max(1) / top).astype(scale_dtype)
            q = np.clip(np.rint(v / scale[:, None].astype(np.float64)), -top - 1, top).astype(np.int8)
            self.w[name] = q.astype(np.float64) * scale[:, None].astype(np.float64)
            if bits == 4:
                q = ((q[:, 0::2] & 15) << 4 | q[:, 1::2] & 15).astype(np.uint8).view(np.int8)
            self.stored[name], self.stored[name + "_scale"] = q, scale


def shards(m, n):
    names = list(getattr(m, "stored", m.w))
    return {f"model-{i + 1:05}-of-{n:05}.safetensors": names[i::n] for i in range(n)}


def chatglm2(name, seed, edit=None, dtype=None, prefix="transformer.", ids=17, quantize=None, n_files=0, **changes):
    c = {"model_type": "chatglm", "architectures": ["ChatGLMModel"], "auto_map": CODE,
         "add_bias_linear": False, "add_qkv_bias": True, "apply_query_key_layer_scaling": True,
         "apply_residual_connection_post_layernorm": False, "attention_dropout": 0.0, "attention_softmax_in_fp32": True,
         "bias_dropout_fusion": True, "ffn_hidden_size": 56, "fp32_residual_connection": False, "hidden_dropout": 0.0,
         "hidden_size": 40, "kv_channels": 8, "layernorm_epsilon": 1e-05, "multi_query_attention": True,
         "multi_query_group_num": 1, "num_attention_heads": 5, "num_layers": 2, "original_rope": True,
         "padded_vocab_size": 88, "post_layer_norm": True, "rmsnorm": True, "seq_length": 64, "torch_dtype": "float32",
         "tie_word_embeddings": False, "use_cache": True, "eos_token_id": 2, "pad_token_id": 0} | changes
    m = Maker(name, seed)
    e, h, d, f, v = (c[k] for k in ("hidden_size", "num_attention_heads", "kv_channels", "ffn_hidden_size", "padded_vocab_size"))
    g = c["multi_query_group_num"] if c["multi_query_attention"] else h
    bias, ln = c["add_bias_linear"], not c["rmsnorm"]
    m.matrix(prefix + "embedding.word_embeddings.weight", v, e, scale=0.7)
    for i in range(c["num_layers"]):
        p = f"{prefix}encoder.layers.{i}."
        m.norm(p + "input_layernorm", e, ln)
        m.linear(p + "self_attention.query_key_value", (h + 2 * g) * d, e, c["add_qkv_bias"] or bias)
        m.linear(p + "self_attention.dense", e, h * d, bias)
        m.norm(p + "post_attention_layernorm", e, ln)
        m.linear(p + "mlp.dense_h_to_4h", 2 * f, e, bias)
        m.linear(p + "mlp.dense_4h_to_h", e, f, bias)
    if c["post_layer_norm"]:
        m.norm(prefix + "encoder.final_layernorm", e, ln)
    m.matrix(prefix + "output_layer.weight", v, e, scale=0.5)
    if dtype:
        m.round(dtype)
    if quantize:
        m.quantize(*quantize)
    ids = m.rng.integers(3, v, ids).tolist()
    logits = glm_numpy.chatglm2(c, m.w, ids)
    if dtype == "bf16":
        m.stored = {k: (x.view(np.uint32) >> 16).astype(np.uint16) for k, x in m.w.items()}
    m.save(c, ids, logits, shards(m, n_files) if n_files else None)


def chatglm1(name, seed, ids, quantize=None, **changes):
    c = {"model_type": "chatglm", "architectures": ["ChatGLMModel"], "auto_map": CODE, "bos_token_id": 94,
         "eos_token_id": 95, "mask_token_id": 90, "gmask_token_id": 91, "pad_token_id": 3, "hidden_size": 48,
         "inner_hidden_size": 72, "layernorm_epsilon": 1e-05, "max_sequence_length": 64, "num_attention_heads": 4,
         "num_layers": 3, "position_encoding_2d": True, "torch_dtype": "float32", "use_cache": True,
         "vocab_size": 96} | changes
    m = Maker(name, seed)
    e, f, v = c["hidden_size"], c["inner_hidden_size"], c["vocab_size"]
    m.matrix("transformer.word_embeddings.weight", v, e, scale=0.7)
    for i in range(c["num_layers"]):
        p = f"transformer.layers.{i}."
        m.norm(p + "input_layernorm", e, True)
        m.linear(p + "attention.query_key_value", 3 * e, e, True)
        m.linear(p + "attention.dense", e, e, True)
        m.norm(p + "post_attention_layernorm", e, True)
        m.linear(p + "mlp.dense_h_to_4h", f, e, True)
        m.linear(p + "mlp.dense_4h_to_h", e, f, True)
        m.stored_buffer = f"{p}attention.rotary_emb.inv_freq"
    m.norm("transformer.final_layernorm", e, True)
    m.matrix("lm_head.weight", v, e, scale=0.5)
    if quantize:
        m.quantize(*quantize)
    else:
        m.stored = dict(m.w)
    d = e // c["num_attention_heads"]
    for i in range(c["num_layers"]):  # a buffer that published files carry
        f16 = (10000.0 ** (-np.arange(0, d // 2, 2) / (d // 2))).astype(np.float16)
        m.stored[f"transformer.layers.{i}.attention.rotary_emb.inv_freq"] = f16
    m.save(c, ids, glm_numpy.chatglm1(c, m.w, ids), plan=glm_numpy.chatglm1_positions(c, ids))


def glm2021(name, seed, ids, prefix="glm.", **changes):
    c = {"model_type": "glm", "architectures": ["GLMForConditionalGeneration" if prefix else "GLMModel"],
         "auto_map": {"AutoConfig": "configuration_glm.GLMConfig", "AutoModel": "modeling_glm.GLMModel"},
         "num_layers": 2, "vocab_size": 88, "hidden_size": 40, "num_attention_heads": 5, "embedding_dropout_prob": 0.1,
         "attention_dropout_prob": 0.1, "output_dropout_prob": 0.1, "max_sequence_length": 40,
         "checkpoint_activations": False, "checkpoint_num_layers": 1, "parallel_output": True, "relative_encoding": False,
         "block_position_encoding": True, "output_predict": True, "spell_length": None, "spell_func": "lstm",
         "attention_scale": 1.0, "initializer_range": 0.02, "pool_token": "cls", "torch_dtype": "float32"} | changes
    m = Maker(name, seed)
    e, v = c["hidden_size"], c["vocab_size"]
    rows = c["max_sequence_length"] + c["block_position_encoding"]
    m.matrix(prefix + "word_embeddings.weight", v, e, scale=0.7)
    m.matrix(prefix + "transformer.position_embeddings.weight", rows, e, scale=0.5)
    if c["block_position_encoding"]:
        m.matrix(prefix + "transformer.block_position_embeddings.weight", rows, e, scale=0.5)
    for i in range(c["num_layers"]):
        p = f"{prefix}transformer.layers.{i}."
        m.norm(p + "input_layernorm", e, True)
        m.linear(p + "attention.query_key_value", 3 * e, e, True)
        m.linear(p + "attention.dense", e, e, True)
        m.norm(p + "post_attention_layernorm", e, True)
        m.linear(p + "mlp.dense_h_to_4h", 4 * e, e, True)
        m.linear(p + "mlp.dense_4h_to_h", e, 4 * e, True)
    m.norm(prefix + "transformer.final_layernorm", e, True)
    added = {"<|endoftext|>": 80, "[MASK]": 81, "[gMASK]": 82, "[sMASK]": 83, "<|startofpiece|>": 84, "<|endofpiece|>": 85}
    special = {"sop": 84, "masks": [81, 82, 83]}
    plan = glm_numpy.glm2021_positions(ids, special, c["block_position_encoding"])
    m.save(c, ids, glm_numpy.glm2021(c, m.w, ids, special), plan=plan, added=added)


def main():
    linears = ("query_key_value.weight", "dense.weight", "dense_h_to_4h.weight", "dense_4h_to_h.weight")
    chatglm2("chatglm2_all_heads", 11, multi_query_attention=False)
    chatglm2("chatglm2x_norm_bias_residual", 12, rmsnorm=False, add_bias_linear=True,
             apply_residual_connection_post_layernorm=True)
    chatglm2("chatglm2x_halves_no_final_norm", 13, original_rope=False, post_layer_norm=False, prefix="")
    chatglm2("chatglm2x_halves_all_heads", 14, original_rope=False, multi_query_attention=False, rope_ratio=3)
    chatglm2("chatglm2_wide_heads", 15, kv_channels=12, add_qkv_bias=False)
    chatglm2("chatglm2_1m_shards", 16, dtype="bf16", n_files=3, hidden_size=64, num_attention_heads=8, ffn_hidden_size=72,
             multi_query_group_num=4, rope_ratio=10000, layernorm_epsilon=1.5625e-07, seq_length=1048576,
             torch_dtype="bfloat16")
    chatglm2("chatglm2_int8", 17, dtype=np.float16, quantize=(8, linears, np.float16), quantization_bit=8)
    chatglm2("chatglm2_int4_qe_shards", 18, quantize=(4, linears + ("word_embeddings.weight",), np.float32), n_files=2,
             quantization_bit=4)
    text = [5, 40, 17, 62, 8, 33]
    chatglm1("chatglm1_mask_middle", 21, text + [90] + [71, 12, 9] + [94] + [55, 21, 34, 6, 78, 13])
    chatglm1("chatglm1_both_masks", 22, text + [90, 4, 91, 8, 94, 50, 51, 52])
    chatglm1("chatglm1_no_sop", 23, text + [91] + text)
    chatglm1("chatglm1_1d", 24, text + [90] + [71, 12, 9] + [94] + [55, 21, 34], position_encoding_2d=False)
    chatglm1("chatglm1_int8", 25, text + [91, 94, 10, 11], quantize=(8, linears, np.float16), quantization_bit=8)
    sop, eop = 84, 85
    context = [3, 14, 81, 15, 9, 81, 26, 5, 83, 35, 80]
    glm2021("glm2021_blanks", 31, context + [sop, 40, 41, 42, eop, sop, 43, eop, sop, 44, 45, 46])
    glm2021("glm2021_one_table", 32, context + [sop, 40, 41, 42], block_position_encoding=False)
    glm2021("glm2021_text", 33, [3, 14, 15, 9, 26, 5, 35, 61, 17], prefix="")


if __name__ == "__main__":
    main()
