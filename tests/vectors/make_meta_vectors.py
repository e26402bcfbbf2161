"""Writes tests/vectors/meta/: one tiny LLaMA as Hugging Face stores it and as Meta ships it, cut for tensor parallelism.

    python tests/vectors/make_meta_vectors.py

    hf/           LlamaForCausalLM by transformers' save_pretrained
    llama2/two/   two shards, tok_embeddings cut along columns, tokenizer one folder up, vocab_size -1, inside {"model": ...}
    llama3/       four shards, tok_embeddings cut along rows; two key/value heads, so that two shards each hold one of them

Made with torch 2.13.0, transformers 5.23.0.
"""
import os
import shutil
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "interop"))
from meta_split import meta_names, params_of, split

out = os.path.join(here, "meta")
shutil.rmtree(out, ignore_errors=True)
torch.manual_seed(4)
config = LlamaConfig(vocab_size=40, hidden_size=32, intermediate_size=88, num_hidden_layers=2, num_attention_heads=4,
                     num_key_value_heads=2, max_position_embeddings=4096, rms_norm_eps=1e-5, dtype="bfloat16",
                     initializer_range=0.3, bos_token_id=1, eos_token_id=2, pad_token_id=None)
model = LlamaForCausalLM(config).to(torch.bfloat16)
with torch.no_grad():
    for name, p in model.named_parameters():
        if p.dim() == 1:
            p.copy_(1 + 0.3 * torch.randn(p.shape))
model.save_pretrained(os.path.join(out, "hf"))
names = meta_names(model.state_dict(), config)
split(os.path.join(out, "llama2", "two"), names, 2, 2, 1, params_of(config, 8, vocab_size=-1),
      lambda x: {"model": x, "step": 7})
split(os.path.join(out, "llama3"), names, 4, 2, 0, params_of(config, 8, vocab_size=40, ffn_dim_multiplier=1.0))
