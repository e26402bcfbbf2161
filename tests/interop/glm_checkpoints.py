"""Tiny checkpoints of GLM in transformers' own form (glm, glm4, glm4_moe), with awkward sizes.

make(NAME) gives a folder below the script's work folder, and ids.
"""
import os

import numpy as np
import torch
import transformers as T
from checks import work

BASE = dict(vocab_size=331, hidden_size=60, num_hidden_layers=3, num_attention_heads=5, num_key_value_heads=1, head_dim=12,
            intermediate_size=91, max_position_embeddings=80, pad_token_id=0, eos_token_id=[300, 301])
MOE = dict(vocab_size=331, hidden_size=60, num_hidden_layers=4, num_attention_heads=6, num_key_value_heads=2, head_dim=12,
           intermediate_size=91, max_position_embeddings=80, pad_token_id=0, eos_token_id=[300, 301], n_routed_experts=7,
           num_experts_per_tok=3, n_shared_experts=1, moe_intermediate_size=38, first_k_dense_replace=1, n_group=1, topk_group=1,
           routed_scaling_factor=2.5, norm_topk_prob=True)


def rope(part=0.5, theta=10000.0, **more):
    return {"rope_type": "default", "rope_theta": theta, "partial_rotary_factor": part} | more


VARIANTS = {
    "glm": (T.GlmConfig, T.GlmForCausalLM, BASE | dict(rms_norm_eps=1.5625e-07, attention_bias=True,
                                                      rope_parameters=rope(theta=5e6))),
    "glm-no-bias": (T.GlmConfig, T.GlmForCausalLM, BASE | dict(attention_bias=False, num_key_value_heads=5,
                                                              rope_parameters=rope(1.0))),
    "glm-tied": (T.GlmConfig, T.GlmForCausalLM, BASE | dict(attention_bias=True, tie_word_embeddings=True, rms_norm_eps=1e-5,
                                                           rope_parameters=rope(rope_type="linear", factor=4.0))),
    "glm-wide-heads": (T.GlmConfig, T.GlmForCausalLM, BASE | dict(attention_bias=True, head_dim=16, rope_parameters=rope())),
    "glm4": (T.Glm4Config, T.Glm4ForCausalLM, BASE | dict(attention_bias=False, rms_norm_eps=1e-5, rope_parameters=rope())),
    "glm4-bias": (T.Glm4Config, T.Glm4ForCausalLM, BASE | dict(attention_bias=True, head_dim=16, num_attention_heads=4,
                                                              num_key_value_heads=2, rope_parameters=rope(0.25, 777.0))),
    "glm4-tied": (T.Glm4Config, T.Glm4ForCausalLM, BASE | dict(attention_bias=False, tie_word_embeddings=True,
                                                              rope_parameters=rope())),
    "glm4_moe": (T.Glm4MoeConfig, T.Glm4MoeForCausalLM, MOE | dict(attention_bias=True, use_qk_norm=True,
                                                                  rope_parameters=rope(theta=1e6))),
    "glm4_moe-air": (T.Glm4MoeConfig, T.Glm4MoeForCausalLM, MOE | dict(
        attention_bias=True, use_qk_norm=False, first_k_dense_replace=2, n_shared_experts=2, routed_scaling_factor=1.0,
        num_experts_per_tok=2, rope_parameters=rope())),
    "glm4_moe-plain": (T.Glm4MoeConfig, T.Glm4MoeForCausalLM, MOE | dict(
        attention_bias=False, use_qk_norm=False, norm_topk_prob=False, num_experts_per_tok=7, rope_parameters=rope())),
    # with the layer that predicts the token after next, as published files have it
    "glm4_moe-nextn": (T.Glm4MoeConfig, T.Glm4MoeForCausalLM, MOE | dict(attention_bias=True, use_qk_norm=True,
                                                                        rope_parameters=rope())),
}


def randomize(model, seed):
    g = torch.Generator().manual_seed(seed)
    for name, p in [*model.named_parameters(), *((n, b) for n, b in model.named_buffers() if "correction_bias" in n)]:
        normal = torch.randn(p.shape, generator=g)
        if "correction_bias" in name:
            value = normal  # so large that the choice hangs on it
        elif p.dim() == 1:
            value = 1 + 0.2 * normal if name.endswith("weight") else 0.3 * normal
        elif "embed_tokens" in name:
            value = normal * (2.0 / p.shape[1]**0.5 if model.config.tie_word_embeddings else 1.0)
        else:
            value = normal * ((1.6 if "q_proj" in name or "k_proj" in name else 1.2) / p.shape[-1]**0.5)
        p.data.copy_(value)


def make(name):
    config_class, model_class, values = VARIANTS[name]
    folder = work("checkpoints", name)
    model = model_class(config_class(**values))
    randomize(model, sum(map(ord, name)))
    model.save_pretrained(folder)
    if name.endswith("-nextn"):
        add_nextn(folder, values)
    tokenizer(folder)
    ids = np.random.default_rng(7).integers(0, 290, 45).tolist()
    return folder, ids


def add_nextn(folder, values):
    """transformers writes no such layer, and passes over one that is there."""
    import safetensors.torch
    path, last, e = os.path.join(folder, "model.safetensors"), values["num_hidden_layers"] - 1, values["hidden_size"]
    state = safetensors.torch.load_file(path)
    old, new = f"model.layers.{last}.", f"model.layers.{last + 1}."
    state |= {new + k[len(old):]: t.clone() for k, t in state.items() if k.startswith(old)}
    for key, shape in (("eh_proj", (e, 2 * e)), ("enorm", (e,)), ("hnorm", (e,)), ("shared_head.norm", (e,))):
        state[new + key + ".weight"] = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})


def tokenizer(folder):
    """Byte-level BPE with GLM-4's split and special tokens."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    tok = Tokenizer(models.BPE(ignore_merges=True))
    split = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
             r"\s+(?!\S)|\s+")
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), behavior="isolated"),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    tok.train_from_iterator(["the quick brown fox jumps over the lazy dog " * 9], trainers.BpeTrainer(
        vocab_size=290, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    tok.add_special_tokens(["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>",
                            "<|assistant|>", "<|observation|>"])
    T.PreTrainedTokenizerFast(tokenizer_object=tok, eos_token="<|endoftext|>", pad_token="<|endoftext|>").save_pretrained(folder)
