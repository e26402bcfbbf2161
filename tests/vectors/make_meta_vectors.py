"""Writes tests/vectors/meta/: one tiny LLaMA as Hugging Face stores it and as Meta ships it, cut for tensor parallelism.

    python tests/vectors/make_meta_vectors.py

    hf/           LlamaForCausalLM by transformers' save_pretrained
    llama2/two/   two shards, tok_embeddings cut along columns, tokenizer one folder up, vocab_size -1, inside {"model": ...}
    llama3/       four shards, tok_embeddings cut along rows; two key/value heads, so that two shards each hold one of them

Made with torch 2.13.0, transformers 5.23.0.
"""
import json
import os
import shutil

import torch
from transformers import LlamaConfig, LlamaForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
out = os.path.join(here, "meta")
D, L, H, K, V, F = 32, 2, 4, 2, 40, 88
HEAD = D // H


def to_pairs(w, heads):
    """Rows of each head from halves to pairs."""
    return w.view(heads, 2, HEAD // 2, -1).transpose(1, 2).reshape(w.shape)


def meta_names(hf):
    names = {"tok_embeddings.weight": hf["model.embed_tokens.weight"], "norm.weight": hf["model.norm.weight"],
             "output.weight": hf["lm_head.weight"], "rope.freqs": torch.arange(HEAD // 2).half()}
    for i in range(L):
        a, b = f"model.layers.{i}.", f"layers.{i}."
        names |= {
            b + "attention.wq.weight": to_pairs(hf[a + "self_attn.q_proj.weight"], H),
            b + "attention.wk.weight": to_pairs(hf[a + "self_attn.k_proj.weight"], K),
            b + "attention.wv.weight": hf[a + "self_attn.v_proj.weight"],
            b + "attention.wo.weight": hf[a + "self_attn.o_proj.weight"],
            b + "feed_forward.w1.weight": hf[a + "mlp.gate_proj.weight"],
            b + "feed_forward.w2.weight": hf[a + "mlp.down_proj.weight"],
            b + "feed_forward.w3.weight": hf[a + "mlp.up_proj.weight"],
            b + "attention_norm.weight": hf[a + "input_layernorm.weight"],
            b + "ffn_norm.weight": hf[a + "post_attention_layernorm.weight"]}
    return names


def shard(name, w, n, j, embedding_dim):
    if w.dim() == 1:
        return w
    if ".wk." in name or ".wv." in name:
        if n > K:  # shards in a row share a head
            j, n = j * K // n, K
        return w.chunk(n, 0)[j]
    dim = embedding_dim if "tok_embeddings" in name else 1 if ".wo." in name or ".w2." in name else 0
    return w.chunk(n, dim)[j]


def split(folder, names, n, embedding_dim, params, wrap=lambda x: x):
    os.makedirs(folder, exist_ok=True)
    for j in range(n):
        part = {k: shard(k, w, n, j, embedding_dim).clone() for k, w in names.items()}
        torch.save(wrap(part), os.path.join(folder, f"consolidated.{j:02d}.pth"))
    with open(os.path.join(folder, "params.json"), "w") as f:
        json.dump(params, f)


if __name__ == "__main__":
    shutil.rmtree(out, ignore_errors=True)
    torch.manual_seed(4)
    config = LlamaConfig(vocab_size=V, hidden_size=D, intermediate_size=F, num_hidden_layers=L, num_attention_heads=H,
                         num_key_value_heads=K, max_position_embeddings=4096, rms_norm_eps=1e-5, dtype="bfloat16",
                         initializer_range=0.3, bos_token_id=1, eos_token_id=2, pad_token_id=None)
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_(1 + 0.3 * torch.randn(p.shape))
    model.save_pretrained(os.path.join(out, "hf"))
    names = meta_names(model.state_dict())
    params = {"dim": D, "n_layers": L, "n_heads": H, "n_kv_heads": K, "multiple_of": 8, "norm_eps": 1e-5}
    split(os.path.join(out, "llama2", "two"), names, 2, 1, params | {"vocab_size": -1}, lambda x: {"model": x, "step": 7})
    split(os.path.join(out, "llama3"), names, 4, 0, params | {"vocab_size": V, "ffn_dim_multiplier": 1.0})
