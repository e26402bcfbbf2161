"""Small random checkpoints in the shapes and spellings that published ones have.

    python make_checkpoints.py OUT_DIR [NAME ...]

One folder per entry of VARIANTS: config.json, weights, tokenizer files, ids.txt. Sizes are awkward on purpose (no powers
of two, hidden size unequal to heads times head size, three query heads to a key head, odd vocabulary), weights are
scaled so that attention is far from flat and logits reach about 5, and every optional part (biases, norm weights) is
random, so that nothing can be lost unseen. The weights come from transformers' own classes; only the spelling of
config and container is done here. Fixed seeds: the same call gives the same bytes.
"""
import collections
import json
import os
import pydoc_data.topics
import re
import shutil
import sys

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
                r"\s*[\r\n]+|\s+(?!\S)|\s+")
TEXT = "\n".join(pydoc_data.topics.topics[k] for k in sorted(pydoc_data.topics.topics))[:200000]
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "f64": torch.float64}

# --- models ---------------------------------------------------------------------------------------------------------

LLAMA = dict(vocab_size=331, hidden_size=60, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
             intermediate_size=88, max_position_embeddings=96, rms_norm_eps=1e-5, tie_word_embeddings=False,
             rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, bos_token_id=300, eos_token_id=301)
GPT2 = dict(vocab_size=331, n_embd=40, n_layer=3, n_head=5, n_positions=64, bos_token_id=300, eos_token_id=300)


def randomize(model, seed):
    """Weights that make a lively model: see the file's head for the aims."""
    g = torch.Generator().manual_seed(seed)
    config = model.config
    tied = config.tie_word_embeddings
    for name, p in model.named_parameters():
        kind = name.rsplit(".", 2)[-2]
        normal = torch.randn(p.shape, generator=g)
        fan_in = p.shape[0] if re.search(r"c_attn|c_proj|c_fc", name) else p.shape[-1]
        if p.dim() == 1:
            value = 1 + 0.2 * normal if re.search(r"norm|ln_", name) and name.endswith("weight") else 0.3 * normal
        elif kind in ("embed_tokens", "wte"):
            value = normal * (2.0 / p.shape[1] ** 0.5 if tied else 1.0)
        elif kind == "wpe":
            value = normal * 0.5
        elif kind in ("q_proj", "k_proj", "c_attn"):
            value = normal * (1.6 / fan_in ** 0.5)
        elif kind == "lm_head":
            value = normal * (1.8 / fan_in ** 0.5)
        else:
            value = normal * (1.0 / fan_in ** 0.5)
        p.data.copy_(value)


def build(variant, seed):
    """config and state dict (float32) as transformers has them."""
    if variant["family"] == "llama":
        config = transformers.LlamaConfig(**(LLAMA | variant.get("config", {})))
        model = transformers.LlamaForCausalLM(config)
    else:
        config = transformers.GPT2Config(**(GPT2 | variant.get("config", {})))
        model = transformers.GPT2LMHeadModel(config)
    model.eval()
    randomize(model, seed)
    state = collections.OrderedDict((k, v.detach().clone()) for k, v in model.state_dict().items())
    if config.tie_word_embeddings:
        del state["lm_head.weight"]  # put back by a quirk where a file is to hold it
    config.architectures = [type(model).__name__]
    return config, state


# --- spellings of config.json ---------------------------------------------------------------------------------------

def config_json(config, variant):
    c = json.loads(config.to_json_string(use_diff=False))
    spelling = variant.get("spelling", "5.x")
    if spelling == "5.x":
        c = json.loads(config.to_json_string())
        c["architectures"] = config.architectures
    elif variant["family"] == "llama":
        # As transformers 4.x wrote it: only these keys, RoPE at top level.
        keep = ("architectures attention_bias attention_dropout bos_token_id eos_token_id head_dim hidden_act "
                "hidden_size initializer_range intermediate_size max_position_embeddings mlp_bias model_type "
                "num_attention_heads num_hidden_layers num_key_value_heads pretraining_tp rms_norm_eps "
                "tie_word_embeddings use_cache vocab_size").split()
        rope = config.rope_parameters
        c = {k: c[k] for k in keep if k in c}
        c["rope_theta"] = rope["rope_theta"]
        c["rope_scaling"] = None
        if rope["rope_type"] != "default":
            kind = "type" if spelling == "4.x-type" else "rope_type"
            c["rope_scaling"] = {kind: rope["rope_type"], "factor": rope["factor"]}
        c["torch_dtype"] = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}[variant["dtype"]]
        c["transformers_version"] = "4.40.1"
        if spelling == "2023":  # LLaMA-1 days: no rope keys, no kv heads, no bias flags
            for k in ("rope_theta", "rope_scaling", "num_key_value_heads", "attention_bias", "mlp_bias", "head_dim"):
                c.pop(k, None)
    else:
        # openai-community/gpt2's own set of keys.
        c = {"activation_function": c["activation_function"], "architectures": c["architectures"],
             "attn_pdrop": 0.1, "bos_token_id": c["bos_token_id"], "embd_pdrop": 0.1, "eos_token_id": c["eos_token_id"],
             "initializer_range": 0.02, "layer_norm_epsilon": c["layer_norm_epsilon"], "model_type": "gpt2",
             "n_ctx": c["n_positions"], "n_embd": c["n_embd"], "n_head": c["n_head"], "n_layer": c["n_layer"],
             "n_positions": c["n_positions"], "resid_pdrop": 0.1, "summary_activation": None,
             "summary_first_dropout": 0.1, "summary_proj_to_labels": True, "summary_type": "cls_index",
             "summary_use_proj": True, "task_specific_params": {"text-generation": {"do_sample": True,
                                                                                    "max_length": 50}},
             "vocab_size": c["vocab_size"]}
        if not config.tie_word_embeddings:
            c["tie_word_embeddings"] = False
    c.update(variant.get("raw_config", {}))
    for key in variant.get("drop_config", ()):
        c.pop(key, None)
    return c


# --- quirks of published files --------------------------------------------------------------------------------------

def quirk_inv_freq(state, config):
    d = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    freq = 1.0 / (10000.0 ** (torch.arange(0, d, 2).float() / d))
    for i in range(config.num_hidden_layers):
        state[f"model.layers.{i}.self_attn.rotary_emb.inv_freq"] = freq.half()  # inexact on purpose: must not be used


def quirk_bare(state, config):
    for k in [k for k in state if k.startswith("transformer.")]:
        state[k[len("transformer."):]] = state.pop(k)


def mask_buffers(state, config, dtype, masked):
    n = config.n_positions
    prefix = "transformer." if any(k.startswith("transformer.") for k in state) else ""
    for i in range(config.n_layer):
        state[f"{prefix}h.{i}.attn.bias"] = torch.tril(torch.ones(n, n)).to(dtype).view(1, 1, n, n)
        if masked:
            state[f"{prefix}h.{i}.attn.masked_bias"] = torch.tensor(-1e4)


QUIRKS = {
    "inv_freq": quirk_inv_freq,
    "bare": quirk_bare,
    "mask_f32": lambda s, c: mask_buffers(s, c, torch.float32, True),
    "mask_u8": lambda s, c: mask_buffers(s, c, torch.uint8, False),
    "mask_bool": lambda s, c: mask_buffers(s, c, torch.bool, True),
    "head_copy": lambda s, c: s.update({"lm_head.weight": embedding(s).clone()}),
    "head_shared": lambda s, c: s.update({"lm_head.weight": embedding(s)}),
}


def embedding(state):
    return next(v for k, v in state.items() if re.search(r"(embed_tokens|wte)\.weight$", k))


def cast(state, dtype, mixed):
    """To the stored dtype, keeping shared tensors shared. mixed: norms stay in float32, as some published files do."""
    done = {}
    for k, v in state.items():
        if not v.is_floating_point() or "inv_freq" in k or "masked_bias" in k or v.dim() == 4:
            continue
        if mixed and v.dim() == 1:
            continue
        key = v.data_ptr()
        if key not in done:
            done[key] = v.to(DTYPES[dtype])
        state[k] = done[key]


def restride(state):
    """Every way in which a tensor of a torch file can lie in its storage, in turn."""
    one = {}
    names = list(state)
    # Half of the tensors share one storage per dtype, at odd offsets.
    shared = names[::2]
    for dtype in {state[k].dtype for k in shared}:
        mine = [k for k in shared if state[k].dtype == dtype]
        flat = torch.zeros(3 + sum(state[k].numel() + 5 for k in mine), dtype=dtype)
        at = 3
        for k in mine:
            n = state[k].numel()
            flat[at:at + n] = state[k].reshape(-1)
            one[k] = flat[at:at + n].view(state[k].shape)
            at += n + 5
    for i, k in enumerate(names):
        t = state[k]
        if k in one:
            state[k] = one[k]
        elif t.dim() == 2 and i % 4 == 1:
            state[k] = t.t().contiguous().t()  # transposed view
        elif t.dim() == 2:
            wide = torch.zeros(t.shape[0] * 2 + 1, t.shape[1] + 7, dtype=t.dtype)
            view = wide[1::2, 3:3 + t.shape[1]]  # every second row, a window of columns
            view.copy_(t)
            state[k] = view
        elif t.dim() == 1:
            wide = torch.zeros(t.shape[0] * 3, dtype=t.dtype)
            wide[2::3] = t
            state[k] = wide[2::3]
    last = [k for k in state if state[k].dim() == 1 and "norm" in k or ".ln_" in k and k.endswith("weight")][-1]
    state[last] = torch.tensor([1.25], dtype=state[last].dtype).expand(state[last].shape)  # stride 0


# --- containers -----------------------------------------------------------------------------------------------------

def save(state, out, container):
    torch_file = container.startswith("bin")
    stem, suffix = ("pytorch_model", "bin") if torch_file else ("model", "safetensors")

    def write(part, path):
        if torch_file:
            torch.save(collections.OrderedDict(part), path)
        else:
            save_file({k: v.contiguous() for k, v in part.items()}, path, metadata={"format": "pt"})

    if not container.endswith("-sharded"):
        write(state, os.path.join(out, f"{stem}.{suffix}"))
        return
    names = list(state)
    n = 3
    size = (len(names) + n - 1) // n
    index = {"metadata": {"total_size": sum(v.numel() * v.element_size() for v in state.values())}, "weight_map": {}}
    for i in range(n):
        file = f"{stem}-{i + 1:05}-of-{n:05}.{suffix}"
        part = {k: state[k] for k in names[i * size:(i + 1) * size]}
        write(part, os.path.join(out, file))
        index["weight_map"].update({k: file for k in part})
    with open(os.path.join(out, f"{stem}.{suffix}.index.json"), "w") as f:
        json.dump(index, f, indent=2)


# --- tokenizers -----------------------------------------------------------------------------------------------------

def bpe_llama():
    """Llama-3's structure: 300 byte-level pieces, then special tokens."""
    tok = Tokenizer(models.BPE(ignore_merges=True))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    train(tok)
    tok.add_special_tokens(["<|begin_of_text|>", "<|end_of_text|>"])
    tok.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
        special_tokens=[("<|begin_of_text|>", 300)])
    return tok


def bpe_gpt2():
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    train(tok)
    tok.add_special_tokens(["<|endoftext|>"])
    return tok


def train(tok):
    tok.train_from_iterator(TEXT.split("\n"), trainers.BpeTrainer(
        vocab_size=300, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    assert tok.get_vocab_size() == 300


def save_tokenizer(kind, out):
    def dump(name, value):
        with open(os.path.join(out, name), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False, indent=2)

    if kind == "llama":
        bpe_llama().save(os.path.join(out, "tokenizer.json"))
        dump("tokenizer_config.json", {
            "bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>", "model_max_length": 10 ** 30,
            "chat_template": "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}",
            "tokenizer_class": "PreTrainedTokenizerFast"})
    elif kind == "gpt2":
        tok = bpe_gpt2()
        tok.model.save(out)
        vocab = json.load(open(os.path.join(out, "vocab.json"), encoding="utf-8"))
        dump("vocab.json", vocab | {"<|endoftext|>": 300})
        dump("tokenizer_config.json", {"add_prefix_space": False, "bos_token": "<|endoftext|>",
                                       "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
                                       "tokenizer_class": "GPT2Tokenizer"})
    elif kind == "gpt2-json":
        bpe_gpt2().save(os.path.join(out, "tokenizer.json"))
        dump("tokenizer_config.json", {"add_prefix_space": False, "bos_token": "<|endoftext|>",
                                       "eos_token": "<|endoftext|>", "tokenizer_class": "GPT2Tokenizer"})
    elif kind == "spm":
        import io
        import sentencepiece
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXT.split("\n")), model_writer=model, model_type="bpe", vocab_size=401,
            byte_fallback=True, character_coverage=0.999, normalization_rule_name="identity", split_digits=True,
            remove_extra_whitespaces=False, add_dummy_prefix=True, minloglevel=2, num_threads=1)
        with open(os.path.join(out, "tokenizer.model"), "wb") as f:
            f.write(model.getvalue())
        dump("tokenizer_config.json", {
            "add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "eos_token": "</s>",
            "unk_token": "<unk>", "tokenizer_class": "LlamaTokenizer", "legacy": False})


# --- the list -------------------------------------------------------------------------------------------------------

LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
VARIANTS = {
    # llama: shapes
    "llama-mha": dict(family="llama", dtype="f32", container="safetensors",
                      config=dict(hidden_size=48, num_attention_heads=3, num_key_value_heads=3)),
    "llama-gqa": dict(family="llama", dtype="bf16", container="safetensors-sharded"),
    "llama-mqa": dict(family="llama", dtype="f16", container="safetensors", config=dict(num_key_value_heads=1)),
    "llama-head-dim": dict(family="llama", dtype="f16", container="bin",
                           config=dict(hidden_size=54, head_dim=12)),
    "llama-tied": dict(family="llama", dtype="f32", container="bin-sharded", config=dict(tie_word_embeddings=True)),
    "llama-tied-copy": dict(family="llama", dtype="bf16", container="safetensors", quirks=["head_copy"],
                            config=dict(tie_word_embeddings=True)),
    "llama-tied-shared": dict(family="llama", dtype="f16", container="bin", quirks=["head_shared"], spelling="4.x",
                              config=dict(tie_word_embeddings=True)),
    "llama-bias": dict(family="llama", dtype="bf16", container="safetensors-sharded",
                       config=dict(attention_bias=True, mlp_bias=True, hidden_size=54, head_dim=12)),
    "llama-attention-bias": dict(family="llama", dtype="f32", container="bin", config=dict(attention_bias=True)),
    "llama-mixed-dtypes": dict(family="llama", dtype="bf16", container="safetensors", mixed=True),
    # llama: RoPE and its spellings
    "llama-theta": dict(family="llama", dtype="f32", container="safetensors-sharded",
                        config=dict(rope_parameters={"rope_type": "default", "rope_theta": 500000.0})),
    "llama-linear": dict(family="llama", dtype="f32", container="safetensors", config=dict(rope_parameters=LINEAR)),
    "llama-old": dict(family="llama", dtype="f16", container="bin-sharded", spelling="4.x", quirks=["inv_freq"],
                      config=dict(rope_parameters={"rope_type": "default", "rope_theta": 50000.0})),
    "llama-old-linear": dict(family="llama", dtype="bf16", container="safetensors", spelling="4.x",
                             config=dict(rope_parameters=LINEAR | {"rope_theta": 50000.0})),
    "llama-old-linear-type": dict(family="llama", dtype="f16", container="bin", spelling="4.x-type",
                                  quirks=["inv_freq"], config=dict(rope_parameters=LINEAR)),
    "llama-2023": dict(family="llama", dtype="f16", container="bin-sharded", spelling="2023", quirks=["inv_freq"],
                       config=dict(num_key_value_heads=6), tokenizer="spm"),
    # llama: containers
    "llama-strided": dict(family="llama", dtype="f32", container="bin", strided=True),
    "llama-strided-bf16": dict(family="llama", dtype="bf16", container="bin-sharded", strided=True,
                               config=dict(attention_bias=True, mlp_bias=True)),
    # tokenizers
    "llama-spm": dict(family="llama", dtype="f32", container="safetensors", tokenizer="spm",
                      config=dict(vocab_size=401, bos_token_id=1, eos_token_id=2)),
    # gpt2
    "gpt2-plain": dict(family="gpt2", dtype="f32", container="safetensors"),
    "gpt2-bare-masks": dict(family="gpt2", dtype="f32", container="safetensors", spelling="old",
                            quirks=["bare", "mask_f32"]),
    "gpt2-old": dict(family="gpt2", dtype="f16", container="bin", spelling="old", quirks=["mask_f32", "head_shared"]),
    "gpt2-bare-old": dict(family="gpt2", dtype="f32", container="bin", spelling="old", quirks=["bare", "mask_u8"]),
    "gpt2-sharded": dict(family="gpt2", dtype="bf16", container="safetensors-sharded", quirks=["mask_bool"],
                         tokenizer="gpt2-json"),
    "gpt2-untied": dict(family="gpt2", dtype="f32", container="bin-sharded", config=dict(tie_word_embeddings=False)),
    "gpt2-untied-old": dict(family="gpt2", dtype="f16", container="safetensors", spelling="old",
                            config=dict(tie_word_embeddings=False)),
    "gpt2-inner": dict(family="gpt2", dtype="bf16", container="bin", config=dict(n_inner=90)),
    "gpt2-strided": dict(family="gpt2", dtype="f32", container="bin", strided=True, quirks=["mask_u8"]),
    "gpt2-strided-f16": dict(family="gpt2", dtype="f16", container="bin-sharded", strided=True, spelling="old",
                             quirks=["bare", "mask_f32"]),
}


def make(name, out_dir):
    variant = VARIANTS[name]
    out = os.path.join(out_dir, name)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    seed = list(VARIANTS).index(name) + 1
    config, state = build(variant, seed)
    cast(state, variant["dtype"], variant.get("mixed", False))
    for quirk in variant.get("quirks", ()):
        QUIRKS[quirk](state, config)
    if variant.get("strided"):
        restride(state)
    config.dtype = DTYPES[variant["dtype"]]
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config_json(config, variant), f, indent=2)
    save(state, out, variant["container"])
    save_tokenizer(variant.get("tokenizer", variant["family"]), out)
    n = 64 if variant["family"] == "gpt2" else 80
    ids = np.random.default_rng(seed).integers(0, config.vocab_size, n)
    with open(os.path.join(out, "ids.txt"), "w") as f:
        f.write(" ".join(map(str, ids)) + "\n")
    return out


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for name in sys.argv[2:] or VARIANTS:
        make(name, sys.argv[1])
