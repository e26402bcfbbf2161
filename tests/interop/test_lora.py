"""LoRA adapters as peft saves them.

  * lathe-convert BASE --merge-lora ADAPTER --type f32 against peft's merged model, both in float64: equal once peft's merged
    weights are rounded to F32, and no further from the unrounded ones than that rounding. Also with --lora-scale, use_rslora, .bin files, GPT-2's Conv1D, fused matrices, and onto the GGUF instead of the checkpoint (the same bytes).
  * The adapter as a GGUF: gguf's reader finds llama.cpp's names and keys; llama.cpp loads it (llama_adapter_lora_init), and base and adapter together
    give the logits of the merged file.
  * Onto a quantized base: what is written is the encoding of the decoded base plus the adapter, in numpy.
  * Several adapters at once, each with its scale, against peft's merge of all of them; tables of embeddings (lora_embedding_A and B), tied too.
  * What an adapter cannot say is refused by name: DoRA, biases, whole modules, another base.
"""
import json
import os
import re
import shutil

import gguf
import numpy as np
import torch
import transformers
from checks import *

import gpt_checkpoints
import llama_checkpoints
import peft
import reference

quiet_llama_cpp()
RUNTIME_LIMIT = 2e-3
SPECS = [
    # name, module, variant, modules, what LoraConfig is given on top, --lora-scale
    ("llama", llama_checkpoints, "llama-3.2", ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], {}, 1.0),
    ("llama-scaled", llama_checkpoints, "linear", ["q_proj", "k_proj"], dict(r=3), 0.5),
    ("llama-rslora", llama_checkpoints, "tinyllama", ["q_proj", "v_proj"], dict(use_rslora=True), 1.0),
    ("qwen2", llama_checkpoints, "qwen2", ["q_proj", "k_proj", "v_proj"], {}, 1.0),
    ("gpt2", gpt_checkpoints, "gpt2-relu", ["c_attn", "c_proj", "c_fc"], dict(fan_in_fan_out=True), 1.0),
    ("gptneox", gpt_checkpoints, "gptneox", ["query_key_value", "dense"], {}, 1.0),
    ("whole", llama_checkpoints, "llama-2", ["q_proj"], dict(modules_to_save=["lm_head", "input_layernorm"]), 1.0),
    ("embedding", llama_checkpoints, "llama-2", ["embed_tokens", "q_proj"], dict(r=3), 1.0),
    ("embedding-tied", llama_checkpoints, "llama-3.2", ["embed_tokens", "v_proj"], {}, 0.5),
    ("gptj", gpt_checkpoints, "gptj", ["q_proj", "k_proj", "fc_in"], {}, 2.0),
]


def adapter(folder, modules, out, options, container="safetensors", seed=11):
    """A random adapter, saved by peft."""
    shutil.rmtree(out, ignore_errors=True)
    base = reference.load(folder, torch.float32)
    config = peft.LoraConfig(**(dict(r=4, lora_alpha=12, target_modules=modules, task_type="CAUSAL_LM") | options))
    model = peft.get_peft_model(base, config)
    g = torch.Generator().manual_seed(seed)
    for name, p in model.named_parameters():
        if "lora_" in name:
            p.data.copy_(torch.randn(p.shape, generator=g) * (0.3 if "lora_A" in name else 0.2))
        elif "modules_to_save" in name:
            p.data.add_(torch.randn(p.shape, generator=g) * 0.1)
    model.save_pretrained(out, safe_serialization=container == "safetensors")
    return out


@torch.no_grad()
def merged_logits(folder, adapters, ids):
    """adapters: (folder, scale), merged in this order"""
    base = reference.load(folder, torch.float64)
    model = peft.PeftModel.from_pretrained(base, adapters[0][0], adapter_name="0")
    for i, (more, _) in enumerate(adapters[1:], 1):
        model.load_adapter(more, adapter_name=str(i))
    model.base_model.set_adapter([str(i) for i in range(len(adapters))])  # modules_to_save are those of active adapters
    for module in model.modules():
        if hasattr(module, "scaling") and isinstance(module.scaling, dict):
            module.scaling = {k: v * adapters[int(k)][1] for k, v in module.scaling.items()}
        for parameter in module.parameters(recurse=False):
            assert parameter.dtype == torch.float64 or "lora" in type(module).__name__.lower() or parameter.dtype == torch.float32
    model = model.double().merge_and_unload(adapter_names=[str(i) for i in range(len(adapters))])
    reference.lift_buffers(model)
    with reference.Lifted():
        exact = reference.logits_of(model, ids)
    for parameter in model.parameters():
        parameter.data = parameter.data.float().double()
    with reference.Lifted():
        return exact, reference.logits_of(model, ids)


def make_base(name, module, variant):
    variants = {variant: module.VARIANTS[variant] | {"dtype": "f32"}}
    return module.make(variant, work("bases", name), variants)


def check_adapter_file(name, folder, adapter_dir, base_gguf, merged_gguf, ids, scale):
    out = work("adapter.gguf")
    run("convert", adapter_dir, "--lora-base", folder, "-o", out, "--force", "--quiet")
    other = work("adapter2.gguf")
    run("convert", adapter_dir, "--lora-base", base_gguf, "-o", other, "--force", "--quiet")
    with open(out, "rb") as a, open(other, "rb") as b:
        check(f"{name}: the same adapter file from checkpoint and GGUF as base", a.read() == b.read())
    reader = gguf.GGUFReader(out)
    names = [t.name for t in reader.tensors]
    check(f"{name}: names and keys", reader.fields["general.type"].contents() == "adapter" and reader.fields["adapter.type"].contents() == "lora" and
          all(re.search(r"\.weight\.lora_[ab]$", n) for n in names) and len(names) % 2 == 0, f"{len(names)} tensors")
    with_adapter = llama_cpp(base_gguf, ids, lora_path=out, lora_scale=scale)
    merged = llama_cpp(merged_gguf, ids)
    plain = llama_cpp(base_gguf, ids)
    top = float(np.abs(with_adapter - merged).max())
    check(f"{name}: llama.cpp, base and adapter", top <= RUNTIME_LIMIT * np.abs(merged).max() and np.abs(plain - merged).max() > 20 * top, f"max |d| {top:.2e}")


def llama_cpp(path, ids, **kwargs):
    model = reference.llama_cpp_model(path, **kwargs)
    model.eval([int(i) for i in ids])
    return np.array(model.scores[:len(ids)])


def case(name, module, variant, modules, options, scale):
    folder, ids = make_base(name, module, variant)
    ids = ids[:40]
    ids_file = write_ids("ids.txt", ids)
    adapter_dir = adapter(folder, modules, work("adapters", name), options)
    exact, rounded = merged_logits(folder, [(adapter_dir, scale)], ids)
    merge = ["--merge-lora", adapter_dir, "--lora-scale", scale]
    merged = convert(folder, "merged.gguf", "--type", "f32", *merge)
    ours = logits(merged, ids_file, len(ids), "f64")
    check_f64(f"{name}: merged, against peft's weights in F32", ours, rounded)
    top, own = deviation(ours, exact)[1], deviation(rounded, exact)[1]
    check(f"{name}: merged, against peft in float64", top <= 1.5 * own, f"max |d| {top:.2e}, by the rounding {own:.2e}")
    base = convert(folder, "base.gguf", "--type", "f32")
    onto = convert(base, "onto.gguf", *merge)
    a, b = (run_json("inspect", f, "--tensors", "--hash")["tensors"] for f in (merged, onto))
    check(f"{name}: the same onto the GGUF", {t["name"]: t["sha256"] for t in a} == {t["name"]: t["sha256"] for t in b})
    bf16 = convert(folder, "bf16.gguf", "--type", "bf16", *merge)
    wide = {t.name: t.data for t in gguf.GGUFReader(merged).tensors}
    once = all(np.array_equal(torch.from_numpy(wide[t.name].copy()).bfloat16().view(torch.int16).numpy().ravel(), t.data.view(np.int16).ravel())
               for t in gguf.GGUFReader(bf16).tensors if t.tensor_type == gguf.GGMLQuantizationType.BF16)
    check(f"{name}: BF16 is the merged F32, rounded once", once)
    if name in ("embedding", "llama", "llama-scaled", "llama-rslora", "qwen2", "gpt2", "gptneox"):
        check_adapter_file(name, folder, adapter_dir, base, merged, ids, scale)
    return folder, adapter_dir, base


def quantized(folder, adapter_dir, base):
    """Sizes of these models are no multiples of a block: a base of its own."""
    folder, ids = llama_checkpoints.make("wide", work("bases", "q"), {"wide": llama_checkpoints.v("llama", hidden_size=96, head_dim=16, intermediate_size=128)})
    adapter_dir = adapter(folder, ["q_proj", "down_proj"], work("adapters", "q"), {})
    q8 = convert(folder, "q8.gguf", "--type", "q8_0")
    said = run_json("convert", q8, "-o", work("q8m.gguf"), "--force", "--merge-lora", adapter_dir)
    check("quantized base: said", "merged-requantized" in [w["code"] for w in said["warnings"]] and len(said["damage"]) > 0)
    before = {t.name: t for t in gguf.GGUFReader(q8).tensors}
    after = {t.name: t for t in gguf.GGUFReader(work("q8m.gguf")).tensors}
    import safetensors.numpy
    weights = safetensors.numpy.load_file(os.path.join(adapter_dir, "adapter_model.safetensors"))
    pick = lambda layer, module, which: weights[f"base_model.model.model.layers.{layer}.{module}.lora_{which}.weight"].astype(np.float64)
    want = gguf.quants.dequantize(before["blk.1.ffn_down.weight"].data, before["blk.1.ffn_down.weight"].tensor_type).astype(np.float64)
    want = (want + 3.0 * pick(1, "mlp.down_proj", "B") @ pick(1, "mlp.down_proj", "A")).astype(np.float32)
    encoded = gguf.quants.quantize(want, gguf.GGMLQuantizationType.Q8_0)
    check("quantized base: decoded, merged, encoded", np.array_equal(encoded, after["blk.1.ffn_down.weight"].data))
    untouched = [n for n in before if not re.search("attn_q|ffn_down", n)]
    check("quantized base: the rest as it was", all(np.array_equal(before[n].data, after[n].data) for n in untouched), f"{len(untouched)} tensors")


def refusals(folder, adapter_dir):
    for key, value in (("use_dora", True), ("bias", "all"), ("alpha_pattern", {"q_proj": 3}), ("peft_type", "IA3")):
        broken = work("adapters", "broken")
        shutil.rmtree(broken, ignore_errors=True)
        shutil.copytree(adapter_dir, broken)
        path = os.path.join(broken, "adapter_config.json")
        config = json.load(open(path)) | {key: value}
        json.dump(config, open(path, "w"))
        out = work("refused.gguf")
        try:
            run("convert", folder, "--merge-lora", broken, "-o", out, "--force", expect=2)
            check(f"refused: {key}", not os.path.exists(out))
        except ToolError as e:
            check(f"refused: {key}", False, str(e))


def several():
    folder, ids = make_base("several", llama_checkpoints, "llama-2")
    ids = ids[:40]
    ids_file = write_ids("ids.txt", ids)
    parts = [(["q_proj", "down_proj"], {}, 0.5), (["q_proj", "k_proj", "embed_tokens"], dict(r=3, use_rslora=True), 1.5), (["down_proj"], dict(modules_to_save=["lm_head"]), 1.0)]
    adapters = [(adapter(folder, m, work("adapters", f"several{i}"), o, seed=20 + i), s) for i, (m, o, s) in enumerate(parts)]
    exact, rounded = merged_logits(folder, adapters, ids)
    named = [w for d, s in adapters for w in ("--merge-lora", d, "--lora-scale", s)]
    merged = convert(folder, "several.gguf", "--type", "f32", *named)
    ours = logits(merged, ids_file, len(ids), "f64")
    check_f64("several: against peft's weights in F32", ours, rounded)
    top, own = deviation(ours, exact)[1], deviation(rounded, exact)[1]
    check("several: against peft in float64", top <= 1.5 * own, f"max |d| {top:.2e}, by the rounding {own:.2e}")
    without = logits(convert(folder, "two.gguf", "--type", "f32", *named[:8]), ids_file, len(ids), "f64")
    check("several: the last one counts", deviation(without, exact)[1] > 1e3 * own)
    second = adapter(folder, ["q_proj"], work("adapters", "second"), dict(modules_to_save=["lm_head"]), seed=31)
    on_head = adapter(folder, ["lm_head"], work("adapters", "head"), {}, seed=32)
    for what, more in (("two tensors in one place", second), ("an addition to a tensor that was replaced", on_head)):
        try:
            run("convert", folder, *named, "--merge-lora", more, "--lora-scale", 1, "-o", work("refused.gguf"), "--force", expect=2)
            check(f"several: refused: {what}", not os.path.exists(work("refused.gguf")))
        except ToolError as e:
            check(f"several: refused: {what}", False, str(e))


def bins():
    folder, ids = make_base("bin", llama_checkpoints, "linear")
    safe = adapter(folder, ["q_proj"], work("adapters", "safe"), {})
    torch_form = work("adapters", "torch")
    shutil.rmtree(torch_form, ignore_errors=True)
    shutil.copytree(safe, torch_form)
    import safetensors.torch
    torch.save(safetensors.torch.load_file(os.path.join(safe, "adapter_model.safetensors")), os.path.join(torch_form, "adapter_model.bin"))
    os.unlink(os.path.join(torch_form, "adapter_model.safetensors"))
    a, b = (convert(folder, n, "--merge-lora", d) for n, d in (("a.gguf", safe), ("b.gguf", torch_form)))
    ta, tb = (run_json("inspect", f, "--tensors", "--hash")["tensors"] for f in (a, b))
    check(".bin: the same tensors", ta == tb)


def main():
    kept = None
    for spec in SPECS:
        got = guarded(spec[0], case, *spec)
        kept = kept or got
    guarded("several", several)
    guarded(".bin", bins)
    if kept:
        guarded("quantized base", quantized, *kept)
        guarded("refusals", refusals, *kept[:2])


if __name__ == "__main__":
    main()
    finish()
