"""A LLaMA of transformers' as Meta ships it: names, rows of rotated heads as pairs, shards for tensor parallelism."""
import json
import os

import torch


def to_pairs(w, heads):
    """Rows of each head from halves to pairs."""
    rows = w.shape[0] // heads
    return w.view(heads, 2, rows // 2, -1).transpose(1, 2).reshape(w.shape)


def meta_names(hf, config):
    head = config.hidden_size // config.num_attention_heads
    names = {"tok_embeddings.weight": hf["model.embed_tokens.weight"], "norm.weight": hf["model.norm.weight"],
             "output.weight": hf["lm_head.weight"] if "lm_head.weight" in hf else hf["model.embed_tokens.weight"].clone(),
             "rope.freqs": torch.arange(head // 2).half()}
    for i in range(config.num_hidden_layers):
        a, b = f"model.layers.{i}.", f"layers.{i}."
        names |= {
            b + "attention.wq.weight": to_pairs(hf[a + "self_attn.q_proj.weight"], config.num_attention_heads),
            b + "attention.wk.weight": to_pairs(hf[a + "self_attn.k_proj.weight"], config.num_key_value_heads),
            b + "attention.wv.weight": hf[a + "self_attn.v_proj.weight"],
            b + "attention.wo.weight": hf[a + "self_attn.o_proj.weight"],
            b + "feed_forward.w1.weight": hf[a + "mlp.gate_proj.weight"],
            b + "feed_forward.w2.weight": hf[a + "mlp.down_proj.weight"],
            b + "feed_forward.w3.weight": hf[a + "mlp.up_proj.weight"],
            b + "attention_norm.weight": hf[a + "input_layernorm.weight"],
            b + "ffn_norm.weight": hf[a + "post_attention_layernorm.weight"]}
    return names


def shard(name, w, n, j, n_kv_heads, embedding_dim):
    if w.dim() == 1:
        return w
    if (".wk." in name or ".wv." in name) and n > n_kv_heads:  # shards in a row share a head
        return w.chunk(n_kv_heads, 0)[j * n_kv_heads // n]
    dim = embedding_dim if "tok_embeddings" in name else 1 if ".wo." in name or ".w2." in name else 0
    return w.chunk(n, dim)[j]


def split(folder, names, n, n_kv_heads, embedding_dim, params, wrap=lambda x: x, **save):
    os.makedirs(folder, exist_ok=True)
    for j in range(n):
        part = {k: shard(k, w, n, j, n_kv_heads, embedding_dim).clone() for k, w in names.items()}
        torch.save(wrap(part), os.path.join(folder, f"consolidated.{j:02d}.pth"), **save)
    with open(os.path.join(folder, "params.json"), "w") as f:
        json.dump(params, f)


def params_of(config, multiple_of, **more):
    return {"dim": config.hidden_size, "n_layers": config.num_hidden_layers, "n_heads": config.num_attention_heads,
            "n_kv_heads": config.num_key_value_heads, "multiple_of": multiple_of, "norm_eps": config.rms_norm_eps} | more
