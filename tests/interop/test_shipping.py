"""Ways in which weights are shipped: the same tiny LLaMA in every form, written by torch, against transformers in float64.

  * PyTorch files, zip and before: plain, nested, with an optimizer beside, DataParallel, sharded with an index, tied by a shared storage;
  * Meta's folders: one, two and four shards, tokenizers in both forms, LLaMA 3.1's scaled RoPE;
  * a file without a configuration; F64 and F16; FP8 with scales in the published layouts, against torch's own products.

Each form must list what torch finds, give the tensors that the Hugging Face folder gives, and compute its logits.
"""
import argparse
import base64
import hashlib
import json
import os
import shutil
import subprocess
import zlib
from collections import OrderedDict

import gguf
import numpy as np
import torch
from checks import *
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

import fp8
import meta_split
import reference

quiet_llama_cpp()
F64_LIMIT = 1e-6
V, N = 556, 48  # 300 ranks and 256 special tokens
ids = [int(i) for i in torch.randint(0, V, (N,), generator=torch.Generator().manual_seed(3))]
ids_file = write_ids("ids.txt", ids)


def make(folder, **more):
    """Three query heads to a key/value head, a width of the feed-forward layer that follows from Meta's formula."""
    torch.manual_seed(8)
    config = LlamaConfig(**(dict(vocab_size=V, hidden_size=48, intermediate_size=144, num_hidden_layers=2,
                                 num_attention_heads=6, num_key_value_heads=2, max_position_embeddings=4096,
                                 rms_norm_eps=1e-5, initializer_range=0.08, bos_token_id=1, eos_token_id=2) | more))
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 1:
                p.copy_(1 + 0.2 * torch.randn(p.shape))
    model.save_pretrained(folder)
    put_tokenizer(folder)
    return model


def put_tokenizer(folder):
    """llama.cpp loads no file without one; its 512 tokens are padded."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(DATA, "tiny-llama", name), folder)


def digests(path):
    return {t["name"]: (t["dtype"], t["shape"], t["sha256"])
            for t in run_json("inspect", path, "--tensors", "--hash")["tensors"]}


def same_tensors(name, source, expected, *options):
    got = digests(convert(source, "shipped.gguf", *options))
    wrong = [k for k in expected.keys() | got.keys() if expected.get(k) != got.get(k)]
    check(f"{name}: the tensors of the Hugging Face folder", not wrong, f"{len(got)} tensors" if not wrong else wrong[0])


def same_logits(name, source, wanted):
    check_f64(f"{name}: source side, float64", logits(source, ids_file, N, "f64"), wanted, F64_LIMIT)


base = work("base")
model = make(base)
state = model.state_dict()
config_file = os.path.join(base, "config.json")
base_digests = digests(convert(base, "base.gguf"))
base_logits = reference.logits_f64(base, ids)


# --- PyTorch files ---

def flat(value, prefix=()):
    if isinstance(value, torch.Tensor):
        yield ".".join(prefix), value
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from flat(v, prefix + (str(k),))
    elif isinstance(value, (list, tuple)):
        for i, v in enumerate(value):
            yield from flat(v, prefix + (str(i),))


def listed_as_torch_does(name, path):
    want = {k: list(v.shape) for k, v in flat(torch.load(path, weights_only=False))}
    listed = run_json("inspect", path, "--tensors")
    got = {t["name"]: t["shape"] for t in listed["tensors"]}
    check(f"{name}: listed as torch.load finds it", got == want, f"{len(got)} tensors, {listed['container']}")
    return listed["container"]


def optimizer():
    twin = LlamaForCausalLM(model.config)
    o = torch.optim.AdamW(twin.parameters(), lr=1e-3)
    twin(torch.tensor([ids[:8]])).logits.sum().backward()
    o.step()
    return o.state_dict()


training = {"optimizer": optimizer(), "epoch": 3, "args": argparse.Namespace(lr=0.1, device=torch.device("cpu"), name="x"),
            "lr_scheduler": {"last_epoch": 3, "_last_lr": [0.1]}, "loss": 0.25}
parameters = OrderedDict((k, torch.nn.Parameter(v)) for k, v in state.items())
FORMS = {
    "state dict": (state, []),
    "parameters": (parameters, []),
    "in model": ({"model": state}, []),
    "in state_dict, training beside": ({"state_dict": state} | training, ["tensors-beside-dropped"]),
    "in module": ({"module": state}, []),
    "of DataParallel": (OrderedDict(("module." + k, v) for k, v in state.items()), []),
    "of DataParallel in state_dict": ({"state_dict": {"module." + k: v for k, v in state.items()}, "epoch": 1}, []),
}


def torch_form(name, value, codes, zipped):
    folder = work("torch", "x")[:-2]
    path = os.path.join(folder, "pytorch_model.bin")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    shutil.copy(config_file, folder)
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    container = listed_as_torch_does(name, path)
    check(f"{name}: container", container == ("torch-zip" if zipped else "torch-legacy"), container)
    same_tensors(name, folder, base_digests)
    said = [w["code"] for w in run_json("convert", folder, "--dry-run")["warnings"] if w["code"].startswith("tensors")]
    check(f"{name}: what lies beside is said", said == codes, str(said))
    same_logits(name, folder, base_logits)


for form, (value, codes) in FORMS.items():
    for zipped in (True, False):
        name = f"{form}, {'zip' if zipped else 'legacy'}"
        guarded(name, torch_form, name, value, codes, zipped)


def tied(zipped):
    """transformers saved tied models so before safetensors: one storage under two names."""
    name = f"tied by its storage, {'zip' if zipped else 'legacy'}"
    folder = work("tied", "x")[:-2]
    twin = make(folder, tie_word_embeddings=True)
    wanted = reference.logits_f64(folder, ids)
    os.unlink(os.path.join(folder, "model.safetensors"))
    with open(os.path.join(folder, "config.json")) as f:
        config = json.load(f)
    del config["tie_word_embeddings"]
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)
    torch.save(twin.state_dict(), os.path.join(folder, "pytorch_model.bin"), _use_new_zipfile_serialization=zipped)
    out = convert(folder, "tied.gguf")
    reader = gguf.GGUFReader(out)
    check(f"{name}: stored once", "output.weight" not in [t.name for t in reader.tensors]
          and bool(reader.fields["lathe.tied_embeddings"].parts[-1][0]))
    same_logits(name, folder, wanted)
    shutil.rmtree(folder)


for zipped in (True, False):
    guarded("tied", tied, zipped)


def sharded(zipped):
    name = f"sharded with an index, {'zip' if zipped else 'legacy'}"
    folder = work("sharded", "x")[:-2]
    os.makedirs(folder, exist_ok=True)
    shutil.copy(config_file, folder)
    index = os.path.join(folder, "pytorch_model.bin.index.json")
    names = sorted(state)
    files = [f"pytorch_model-0000{i}-of-00003.bin" for i in (1, 2, 3)]
    place = {k: files[i * 3 // len(names)] for i, k in enumerate(names)}

    def write(weight_map, extra=None):
        for file in files:
            part = {k: state[k] for k in names if place[k] == file}
            torch.save(part | (extra or {}).get(file, {}), os.path.join(folder, file), _use_new_zipfile_serialization=zipped)
        with open(index, "w") as f:
            json.dump({"metadata": {"total_size": sum(v.numel() * 4 for v in state.values())}, "weight_map": weight_map}, f)

    def refused(what, text):
        done = subprocess.run([os.path.join(BIN, "lathe-convert"), folder, "-o", work("no.gguf")], capture_output=True, text=True)
        check(f"{name}: {what}", done.returncode == 2 and text in done.stderr and not os.path.exists(work("no.gguf")),
              f"exit {done.returncode}: {done.stderr.strip()[-160:]}")

    write(place)
    for source in (folder, index, os.path.join(folder, files[1])):
        same_tensors(f"{name}, {os.path.basename(source)}", source, base_digests)
    same_logits(name, folder, base_logits)
    write(place, {files[0]: {names[-1]: state[names[-1]]}})
    refused("a tensor twice", "another shard has it too")
    write(place, {files[0]: {"stray.weight": torch.ones(2)}})
    refused("a tensor that the index does not name", "does not name it")
    write(place | {"model.layers.9.w": files[0]})
    refused("a tensor that no shard has", "which does not have it")
    write(place | {names[0]: "../base/" + files[0]})
    refused("a shard outside of the folder", "expected the name of a file in the same folder")
    write(place | {names[0]: files[2]})
    refused("a tensor in another shard", f"but '{files[0]}' has it")
    write(place)
    os.unlink(os.path.join(folder, files[1]))
    refused("a missing shard", f"shard '{files[1]}' of this set is missing")
    shutil.rmtree(folder)


for zipped in (True, False):
    guarded("sharded", sharded, zipped)


# --- Meta's folders ---

half = work("half")
LlamaForCausalLM.from_pretrained(base).to(torch.bfloat16).save_pretrained(half)
half_state = load_file(os.path.join(half, "model.safetensors"))
half_digests = digests(convert(half, "half.gguf"))
half_logits = reference.logits_f64(half, ids)


def meta(name, n, embedding_dim, vocab_size, wrap=lambda x: x, **save):
    folder = work("meta", "7B", "x")[:-2]
    shutil.rmtree(folder, ignore_errors=True)
    names = meta_split.meta_names(half_state, model.config)
    params = meta_split.params_of(model.config, 24, vocab_size=vocab_size)
    meta_split.split(folder, names, n, 2, embedding_dim, params, wrap, **save)
    listed = run_json("inspect", folder, "--tensors", "--hash")
    got = {t["name"]: (t["shape"], t["sha256"]) for t in listed["tensors"]}
    want = {k: (list(v.shape), digest(v)) for k, v in names.items()}
    check(f"{name}: joined tensors", got == want and listed["container"] == "meta", f"{len(got)} tensors, {listed['container']}")
    same_tensors(name, folder, half_digests)
    same_logits(name, folder, half_logits)
    status, _ = run("verify", folder, convert(half, "half.gguf"), "--tokens", ids_file, expect=None)
    check(f"{name}: agrees with the file of the Hugging Face folder", status == 0, f"exit {status}")


def digest(t):
    return hashlib.sha256(t.contiguous().view(torch.uint8).numpy().tobytes()).hexdigest()


for name, arguments in {
        "meta, one file": (1, 0, V),
        "meta, two shards, columns": (2, 1, -1),
        "meta, two shards, rows": (2, 0, V),
        "meta, four shards and two heads": (4, 0, V),
        "meta, four shards, columns, in model": (4, 1, -1, lambda x: {"model": x, "step": 1}),
}.items():
    guarded(name, meta, name, *arguments)
guarded("meta, two shards, legacy", lambda: meta("meta, two shards, legacy", 2, 1, -1, _use_new_zipfile_serialization=False))


def scaled(name, more, n_ctx, factor):
    """LLaMA 3.1's frequencies are another model: below the original context, too."""
    folder, shipped = work("scaled-hf", "x")[:-2], work("scaled", "x")[:-2]
    twin = make(folder, max_position_embeddings=131072, rope_parameters={
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": factor, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192})
    params = meta_split.params_of(twin.config, 24, vocab_size=V, rope_theta=500000.0, use_scaled_rope=True, **more)
    meta_split.split(shipped, meta_split.meta_names(twin.state_dict(), twin.config), 2, 2, 0, params)
    put_tokenizer(shipped)
    wanted = reference.logits_f64(folder, ids)
    same_tensors(name, shipped, digests(convert(folder, "scaled-hf.gguf")))
    same_logits(name, shipped, wanted)
    check(f"{name}: the scaling matters", np.abs(wanted - base_logits).max() > 1e-3)
    out = convert(shipped, "scaled.gguf", "--type", "f32")
    found = gguf.GGUFReader(out).fields["llama.context_length"].parts[-1][0]
    check(f"{name}: context", found == n_ctx, str(found))
    rms, top = deviation(reference.llama_cpp_logits(out, ids), wanted)
    check(f"{name}: llama.cpp computes the same", top <= 5e-5, f"rms {rms:.2e} max {top:.2e}")


guarded("meta 3.1", scaled, "meta 3.1", {}, 131072, 8.0)
guarded("meta 3.1, factor given", scaled, "meta 3.1, factor given", {"rope_scaling_factor": 16, "max_position_embeddings": 65536}, 65536, 16.0)


def mistral():
    """Mistral's own folder: Meta's names in safetensors, heads that do not make up the width, a window shorter than the text."""
    from transformers import MistralConfig, MistralForCausalLM
    folder, shipped = work("mistral-hf", "x")[:-2], work("mistral", "x")[:-2]
    torch.manual_seed(9)
    config = MistralConfig(vocab_size=V, hidden_size=40, intermediate_size=72, num_hidden_layers=2, num_attention_heads=6,
                           num_key_value_heads=2, head_dim=12, max_position_embeddings=32768, sliding_window=9,
                           rms_norm_eps=1e-5, initializer_range=0.1, rope_theta=1e6)
    twin = MistralForCausalLM(config)
    twin.save_pretrained(folder)
    os.makedirs(shipped, exist_ok=True)
    names = meta_split.meta_names(twin.state_dict(), config)
    del names["rope.freqs"]
    save_file({k: v.clone() for k, v in names.items()}, os.path.join(shipped, "consolidated.safetensors"))
    with open(os.path.join(shipped, "params.json"), "w") as f:
        json.dump({"dim": 40, "n_layers": 2, "head_dim": 12, "hidden_dim": 72, "n_heads": 6, "n_kv_heads": 2, "norm_eps": 1e-5,
                   "vocab_size": V, "rope_theta": 1e6, "sliding_window": 9}, f)
    wanted = reference.logits_f64(folder, ids)
    same_tensors("mistral's own", shipped, digests(convert(folder, "mistral-hf.gguf")))
    same_logits("mistral's own", shipped, wanted)
    listed = run_json("inspect", shipped)
    check("mistral's own: family", listed["family"] == "mistral" and listed["recognised_by"] == "params.json", str(listed["family"]))


guarded("mistral's own", mistral)


def receipt(path):
    """{name of a source tensor: (its entry, its digest)} of a file's receipt, as docs/format.md describes it."""
    fields = gguf.GGUFReader(path).fields
    listed = json.loads(zlib.decompress(base64.b64decode(fields["lathe.receipt.tensors"].contents())))
    text, at, found = fields["lathe.receipt.sha256"].contents(), 0, {}
    for t in listed["tensors"]:
        for source in t["sources"] + ([t["scales"]] if "scales" in t else []):
            found[source["name"]] = source, text[at:at + 64]
            at += 64
    return listed, found if at == len(text) else {}


def receipts():
    folder = work("receipt", "x")[:-2]
    names = meta_split.meta_names(half_state, model.config)
    meta_split.split(folder, names, 4, 2, 1, meta_split.params_of(model.config, 24, vocab_size=-1), lambda x: {"model": x})
    listed, found = receipt(convert(folder, "receipt.gguf"))
    names.pop("rope.freqs")
    check("receipt of meta: digests of the joined tensors", {k: d for k, (_, d) in found.items()} == {k: digest(v) for k, v in names.items()})
    place = lambda k: tuple(found[k][0].get(m) for m in ("file", "parts", "dim"))
    check("receipt of meta: where they are", listed["format"] == "meta" and len(listed["files"]) == 4 and
          place("layers.0.attention.wo.weight") == (0, 4, 1) and place("layers.0.attention.wk.weight") == (0, 2, 0) and
          place("norm.weight") == (0, None, None), str([place(k) for k in ("layers.0.attention.wo.weight", "norm.weight")]))
    fp8.write(base, folder, "block")
    for j in range(4):
        os.unlink(os.path.join(folder, f"consolidated.{j:02d}.pth"))
    listed, found = receipt(convert(folder, "receipt.gguf"))
    tensors = load_file(os.path.join(folder, "model.safetensors"))
    check("receipt of fp8: digests of elements and scales", {k: d for k, (_, d) in found.items()} == {k: digest(v) for k, v in tensors.items()})
    q = next(t for t in listed["tensors"] if t["name"] == "blk.0.attn_q.weight")
    check("receipt of fp8: the block", q["block"] == [16, 24], str(q.get("block")))


guarded("receipt", receipts)


# --- tokenizers of Meta's folders ---

R3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
TEXTS = ["Hello world, this is 12345 tests!", "aaaaaaaaaaa aaaaaa ababababa bab", "  two  spaces\n\n\tand tabs", "na\u00efve caf\u00e9 \u4f60\u597d \U0001f600", "the theatre then other"]


def merges_by_the_rule(ranks):
    """Every split of every token into two tokens, by (rank of the token, of the left part, of the right one)."""
    found = []
    for token, rank in ranks.items():
        for i in range(1, len(token)):
            if token[:i] in ranks and token[i:] in ranks:
                found.append((rank, ranks[token[:i]], ranks[token[i:]], token[:i], token[i:]))
    return [(a, b) for _, _, _, a, b in sorted(found)]


def tiktoken_tokenizer():
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers.convert_slow_tokenizer import bytes_to_unicode
    import transformers.convert_slow_tokenizer as slow
    spell = bytes_to_unicode()
    unspell = {c: b for b, c in spell.items()}
    split = lambda: pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(R3), "isolated"),
                                             pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = split()
    text = [" ".join(TEXTS)] * 40 + ["the other theatre then gathers others there"] * 40
    text += ["aaaaaaaa aaaaaaa aaaaa aaa", "abababab babab ababa"] * 40  # tokens that come of several pairs
    trained.train_from_iterator(text, trainers.BpeTrainer(vocab_size=300, initial_alphabet=list(spell.values()), show_progress=False))
    known = json.loads(trained.to_str())["model"]
    ranks = {bytes(unspell[c] for c in token): rank for token, rank in known["vocab"].items()}

    folder = work("tiktoken", "x")[:-2]
    os.makedirs(folder, exist_ok=True)
    names = meta_split.meta_names(half_state, model.config)
    meta_split.split(folder, names, 1, 2, 0, meta_split.params_of(model.config, 24, vocab_size=V, use_scaled_rope=True,
                                                                  rope_theta=500000.0))
    with open(os.path.join(folder, "tokenizer.model"), "w") as f:
        for token, rank in sorted(ranks.items(), key=lambda x: x[1]):
            f.write(f"{base64.b64encode(token).decode()} {rank}\n")

    # the list that transformers makes of such a file, and the rule itself
    class Converter(slow.TikTokenConverter):
        def load_tiktoken_bpe(self, _):
            return ranks
    converter = Converter.__new__(Converter)
    vocab, merges = converter.extract_vocab_merges_from_model("")
    rule = [(spell_of(a, spell), spell_of(b, spell)) for a, b in merges_by_the_rule(ranks)]
    check("tiktoken: the rule gives transformers' merges", rule == [tuple(m) for m in merges], f"{len(rule)} merges")

    out = convert(folder, "tiktoken.gguf")
    fields = gguf.GGUFReader(out).fields
    got = fields["tokenizer.ggml.merges"].contents()
    check("tiktoken: more merges than were trained", len(got) > len(known["merges"]))
    check("tiktoken: merges", [tuple(m.split(" ")) for m in got] == rule, f"{len(got)} merges, {len(known['merges'])} were trained")
    tokens = fields["tokenizer.ggml.tokens"].contents()
    check("tiktoken: vocabulary", all(tokens[r] == spell_of(t, spell) for t, r in ranks.items()) and len(tokens) == V)
    specials = {s: tokens.index(s) for s in ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|python_tag|>", "<|reserved_special_token_247|>")}
    check("tiktoken: special tokens of 3.1", list(specials.values()) == [300, 301, 309, 310, 555], str(specials))
    check("tiktoken: keys", fields["tokenizer.ggml.pre"].contents() == "llama-bpe" and
          fields["tokenizer.ggml.bos_token_id"].contents() == 300 and fields["tokenizer.ggml.model"].contents() == "gpt2")
    whole = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(m) for m in merges], ignore_merges=True))
    whole.pre_tokenizer = split()
    for text in TEXTS:
        want = whole.encode(text).ids
        got = run_json("inspect", out, "--tokenize", text)["ids"]
        check(f"tiktoken: encodes {text[:12]!r}", got == want, f"{len(got)} ids" if got == want else f"{got} not {want}")


def spell_of(token, spell):
    return "".join(spell[b] for b in token)


guarded("tiktoken", tiktoken_tokenizer)


def sentencepiece_above():
    import sentencepiece
    folder = work("LLaMA", "13B", "x")[:-2]
    names = meta_split.meta_names(half_state, model.config)
    meta_split.split(folder, names, 2, 2, 1, meta_split.params_of(model.config, 24, vocab_size=-1))
    spm = os.path.join(HERE, "..", "vectors", "tokenizers", "spm", "tokenizer.model")
    shutil.copy(spm, work("LLaMA", "tokenizer.model"))
    out = convert(folder, "above.gguf")
    fields = gguf.GGUFReader(out).fields
    tokens, scores = fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.scores"].contents()
    p = sentencepiece.SentencePieceProcessor(model_file=spm)
    n = min(p.vocab_size(), V)
    check("sentencepiece one folder up: pieces and scores", len(tokens) == V and
          all(tokens[i] == p.id_to_piece(i) and np.float32(scores[i]) == np.float32(p.get_score(i)) for i in range(n)), f"{n} pieces")
    check("sentencepiece one folder up: in the receipt", "lathe.receipt.file.tokenizer.model" in fields)


guarded("sentencepiece one folder up", sentencepiece_above)


# --- configurations, types ---

def bare():
    folder = work("bare", "x")[:-2]
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "weights.safetensors")
    shutil.copy(os.path.join(base, "model.safetensors"), path)
    check("bare file: refused", run("convert", path, "-o", work("no.gguf"), expect=None)[0] == 2)
    same_tensors("bare file with --config", path, base_digests, "--config", config_file)
    out = work("bare.npy")
    run("verify", path, "--config", config_file, "--tokens", ids_file, "--context", N, "--precision", "f64", "--save-logits", out, "--quiet")
    check_f64("bare file with --config: logits", np.load(out), base_logits, F64_LIMIT)


def of_type(name, dtype):
    folder = work(name, "x")[:-2]
    os.makedirs(folder, exist_ok=True)
    shutil.copy(config_file, folder)
    tensors = {k: v.to(dtype) for k, v in state.items()}
    save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    wanted = reference.logits_f64(folder, ids)
    same_logits(name, folder, wanted)
    status, _ = run("verify", folder, convert(folder, "typed.gguf"), "--tokens", ids_file, expect=None)
    check(f"{name}: agrees with its file", status == 0, f"exit {status}")


guarded("bare file", bare)
for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
    guarded(str(dtype), of_type, str(dtype)[6:], dtype)


# --- FP8 ---

def scaled_floats(layout):
    name = f"fp8, {layout}"
    folder, plain = work("fp8", layout), work("fp8", layout + "-whole")
    whole = fp8.write(base, folder, layout)
    os.makedirs(plain, exist_ok=True)
    shutil.copy(config_file, plain)
    save_file(whole, os.path.join(plain, "model.safetensors"), metadata={"format": "pt"})
    same_tensors(name + " to F32", folder, digests(convert(plain, "whole.gguf", "--type", "f32")), "--type", "f32")
    for k, v in whole.items():
        whole[k] = v.to(torch.bfloat16) if fp8.is_scaled(k, v) else v
    save_file(whole, os.path.join(plain, "model.safetensors"), metadata={"format": "pt"})
    same_tensors(name + " to BF16", folder, digests(convert(plain, "whole.gguf")))
    same_tensors(name + " to Q8_0", folder, digests(convert(folder, "once.gguf", "--type", "q8_0", "--threads", "1")), "--type", "q8_0")
    # the reference multiplies in float64, as verify does in that precision
    exact = {k: v.double() for k, v in load_file(os.path.join(folder, "model.safetensors")).items() if not k.endswith(("scale", "scale_inv", "scale_ub"))}
    for k, v in list(exact.items()):
        if fp8.is_scaled(k, v):
            exact[k] = exact_product(folder, k, layout)
    save_file(exact, os.path.join(plain, "model.safetensors"), metadata={"format": "pt"})
    wanted = reference.logits_f64(plain, ids)
    same_logits(name, folder, wanted)
    kept = convert(folder, "kept.gguf")
    status, out = run("verify", folder, kept, "--tokens", ids_file, "--json", expect=None)
    check(f"{name}: agrees with its file", status == 0, f"max |d| {json.loads(out)['max_abs_diff']:.2e}")
    rms, top = deviation(reference.llama_cpp_logits(kept, ids), wanted)
    check(f"{name}: llama.cpp reads it", top < 0.3, f"max {top:.2e} from weights in float64")


def exact_product(folder, key, layout):
    tensors = load_file(os.path.join(folder, "model.safetensors"))
    w, s = tensors[key], tensors[key + fp8.LAYOUTS[layout][1]].float().double()
    block = fp8.LAYOUTS[layout][0]
    block = (1, w.shape[1]) if block == "row" else tuple(w.shape) if block == "tensor" else block
    return w.double() * fp8.spread(s.reshape(-1, s.shape[-1]) if s.dim() else s.reshape(1, 1), w.shape, block)


def transformers_reads_fp8():
    """transformers' own dequantization of the same folder, where its rule for blocks is the config's."""
    from transformers import FineGrainedFP8Config
    folder = work("fp8", "block_ue8m0")
    twin = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, quantization_config=FineGrainedFP8Config(
        dequantize=True, weight_block_size=(16, 16)))
    plain = work("fp8", "by-transformers")
    os.makedirs(plain, exist_ok=True)
    save_file({k: v.contiguous() for k, v in twin.state_dict().items()}, os.path.join(plain, "model.safetensors"), metadata={"format": "pt"})
    shutil.copy(config_file, plain)
    got, want = digests(convert(folder, "own.gguf")), digests(convert(plain, "theirs.gguf"))
    wrong = [k for k in want if k.startswith("blk.") and want[k] != got.get(k)]
    check("fp8: transformers' own dequantization gives the same matrices", not wrong, f"{len(want)} tensors" if not wrong else str(wrong[:3]))


for layout in fp8.LAYOUTS:
    guarded(f"fp8, {layout}", scaled_floats, layout)
guarded("fp8: transformers", transformers_reads_fp8)
finish()
