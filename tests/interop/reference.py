"""Logits of the real peers, for everything in this folder to compare with.

    logits_f64(folder, ids)     transformers, every operation in float64: the arbiter
    logits_f32(folder, ids)     transformers in float32: what ordinary use gives
    attentions_f64(folder, ids) transformers' attention probabilities (eager), every operation in float64
    llama_cpp_logits(gguf, ids) llama.cpp, float32 key/value cache, flash attention off

All take one sequence of token ids (positions 0, 1, ...) and return a numpy array (positions, vocabulary).

transformers' modelling code casts to float32 inside (norms, softmax, RoPE tables) whatever the dtype of the model.
`Lifted` catches each such call and asks for float64 instead; while it is on, an operation that still produces a
float32 tensor is an error, so a cast that is missed cannot pass unseen.

    python reference.py FOLDER IDS_FILE OUT.npy [f32]    does the first two from a shell
"""
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
import transformers
from torch.overrides import TorchFunctionMode

transformers.utils.logging.disable_progress_bar()


class Lifted(TorchFunctionMode):
    """Turns every request for float32 into one for float64."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.float:
            func = torch.Tensor.double
        lift = lambda v: torch.float64 if v is torch.float32 else v
        out = func(*[lift(a) for a in args], **{k: lift(v) for k, v in kwargs.items()})
        for t in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(t, torch.Tensor) and t.is_floating_point() and t.dtype != torch.float64:
                raise AssertionError(f"{getattr(func, '__name__', func)} computes in {t.dtype}")
        return out


def load(folder, dtype, **kwargs):
    """The model in `folder`, weights widened to dtype, eager attention."""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", local_files_only=True, **kwargs)
    return model.eval()


def lift_buffers(model):
    """Computes RoPE frequencies again, in float64 (a cast of the float32 ones would keep their rounding)."""
    for module in model.modules():
        if getattr(module, "inv_freq", None) is None:
            continue
        init = module.compute_default_rope_parameters
        if module.rope_type != "default":
            init = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS[module.rope_type]
        with Lifted():
            module.inv_freq, module.attention_scaling = init(module.config)
        module.original_inv_freq = module.inv_freq.clone()
    for module in model.modules():  # GPT-J keeps a table of sines instead
        if getattr(module, "embed_positions", None) is None:
            continue
        torch.set_default_dtype(torch.float64)
        try:
            with Lifted():
                n, dim = module.embed_positions.shape
                module.embed_positions = transformers.models.gptj.modeling_gptj.create_sinusoidal_positions(n, dim)
        finally:
            torch.set_default_dtype(torch.float32)
    for module in model.modules():  # stored numbers that the library keeps in float32, such as the bias of a choice of experts
        for key, buffer in module._buffers.items():
            if key.endswith("_bias") and buffer is not None:
                module._buffers[key] = buffer.double()
    for name, buffer in model.named_buffers():
        assert not buffer.is_floating_point() or buffer.dtype == torch.float64, name


def logits_of(model, ids, positions=None):
    """One pass. With positions of one's own, a mask of ones keeps transformers from taking them for several packed texts."""
    ids = torch.tensor([list(map(int, ids))])
    where = {}
    if positions is not None:
        where = dict(position_ids=torch.tensor([list(positions)]), attention_mask=torch.ones_like(ids))
    return model(ids, use_cache=False, **where).logits[0].numpy()


def in_f64(folder, compute, **kwargs):
    """compute(model) with every operation in float64."""
    model = load(folder, torch.float64, **kwargs)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # of a number times an integer tensor, as dynamic RoPE has it
    try:
        lift_buffers(model)
        with Lifted():
            return compute(model)
    finally:
        torch.set_default_dtype(usual)


@torch.no_grad()
def logits_f64(folder, ids, positions=None, **kwargs):
    return in_f64(folder, lambda model: logits_of(model, ids, positions), **kwargs)


@torch.no_grad()
def attentions_f64(folder, ids):
    """Attention probabilities, (layers, heads, queries, keys)."""
    tokens = torch.tensor([list(map(int, ids))])
    run = lambda model: model(tokens, use_cache=False, output_attentions=True).attentions
    return np.stack([a[0].numpy() for a in in_f64(folder, run)])


@torch.no_grad()
def logits_f32(folder, ids, positions=None, **kwargs):
    return logits_of(load(folder, torch.float32, **kwargs), ids, positions)


def llama_cpp_model(gguf, n_ctx=512, **kwargs):
    import llama_cpp
    # Later keyword arguments win; n_ctx is rounded up by llama.cpp itself.
    options = dict(n_ctx=n_ctx, n_batch=n_ctx, n_ubatch=n_ctx, logits_all=True, flash_attn=False, type_k=0, type_v=0,
                   n_threads=os.cpu_count(), n_threads_batch=os.cpu_count(), use_mmap=True, verbose=False)
    return llama_cpp.Llama(str(gguf), **(options | kwargs))


def llama_cpp_logits(gguf, ids):
    model = llama_cpp_model(gguf, n_ctx=max(len(ids), 32))
    model.eval(list(map(int, ids)))
    out = np.array(model.scores[:len(ids)], dtype=np.float32)
    model.close()
    return out


def read_ids(path):
    with open(path) as f:
        return [int(word) for word in f.read().split()]


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    compute = logits_f32 if sys.argv[4:] == ["f32"] else logits_f64
    np.save(sys.argv[3], compute(sys.argv[1], read_ids(sys.argv[2])))
