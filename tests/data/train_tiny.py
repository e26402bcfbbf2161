"""Trains the two embedded models on the King James Bible. Run inside the environment of tests/interop/setup.sh:

    python tests/data/train_tiny.py [--steps N] [llama] [gpt2]

Needs the text, Debian's package bible-kjv-text (/usr/lib/bible.data). Writes tiny-llama/ and tiny-gpt2/ beside this
file, each with tokens.txt (ids of a text that training never saw) and logits_f64.npy (transformers' logits of them,
float64, shape (tokens, vocabulary)). Seeds are fixed; another processor or torch may still give other weights.
"""
import argparse
import json
import math
import os
import shutil
import struct
import subprocess
import sys
import time

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(here, "..", "interop"))

import numpy as np
import reference
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

VOCAB = 512
CHUNK = 8192  # characters; every 50th chunk is kept out of the training
LLAMA3_SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
                r"\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA_SPECIAL = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' "
    "+ message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")


def read_bible(path="/usr/lib/bible.data"):
    """The verses, one a line, without their numbers.

    The file is a header ("EC02...", at 0x58 a big-endian count of windows, then their offsets) and windows of 64 KiB
    of text, each packed by compress(1) without its three magic bytes."""
    with open(path, "rb") as f:
        data = f.read()
    n = struct.unpack_from(">I", data, 0x58)[0]
    starts = list(struct.unpack_from(f">{n}I", data, 0x5C)) + [len(data)]
    text = b"".join(
        subprocess.run(["gzip", "-dc"], input=b"\x1f\x9d\x90" + data[a:b], capture_output=True, check=True).stdout
        for a, b in zip(starts, starts[1:])).decode("latin-1")
    lines = text.split("\n")[1:]
    assert lines[0].startswith("Ge1:1 In the beginning") and lines[-2].startswith("Rev22:21 ")
    return "\n".join(line.split(" ", 1)[1] for line in lines if line)


def split_text(text):
    chunks = [text[i:i + CHUNK] for i in range(0, len(text), CHUNK)]
    train = "".join(c for i, c in enumerate(chunks) if i % 50 != 25)
    held = [c for i, c in enumerate(chunks) if i % 50 == 25]
    return train, held


def llama_tokenizer(text):
    tok = Tokenizer(models.BPE(ignore_merges=True))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB - len(LLAMA_SPECIAL), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator(text.split("\n"), trainer)
    tok.add_special_tokens(LLAMA_SPECIAL)
    bos = LLAMA_SPECIAL[0]
    tok.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos}:1 $B:1",
                                      special_tokens=[(bos, tok.token_to_id(bos))])])
    assert tok.get_vocab_size() == VOCAB
    return tok


def gpt2_tokenizer(text):
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB - 1, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tok.train_from_iterator(text.split("\n"), trainer)
    tok.add_special_tokens(["<|endoftext|>"])
    assert tok.get_vocab_size() == VOCAB
    return tok


def llama_model(tok):
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(
        vocab_size=VOCAB, hidden_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=64, intermediate_size=256, max_position_embeddings=256, tie_word_embeddings=True, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        bos_token_id=tok.token_to_id(LLAMA_SPECIAL[0]), eos_token_id=tok.token_to_id(LLAMA_SPECIAL[1])))


def gpt2_model(tok):
    end = tok.token_to_id("<|endoftext|>")
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(
        vocab_size=VOCAB, n_embd=256, n_layer=2, n_head=4, n_inner=256, n_positions=128, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=end, eos_token_id=end))


def encode(tok, text):
    return torch.tensor(tok.encode(text, add_special_tokens=False).ids, dtype=torch.long)


@torch.no_grad()
def held_out_loss(model, tok, held, window, first):
    """Mean cross entropy in nats per token, over windows of text that training never saw, begun as in training."""
    total, count = 0.0, 0
    for chunk in held:
        ids = encode(tok, chunk)
        rows = ids[:len(ids) // window * window].view(-1, window).clone()
        if first is not None:
            rows[:, 0] = first
        logits = model(rows).logits.float()[:, :-1]
        total += torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum").item()
        count += rows.shape[0] * (window - 1)
    return total / count


def unigram_entropy(train_ids, held_ids):
    """What guessing by frequency alone costs on the held-out text, nats per token."""
    p = (torch.bincount(train_ids, minlength=VOCAB).double() + 1) / (len(train_ids) + VOCAB)
    return -p.log()[held_ids].mean().item()


def train(model, tok, train_text, held, window, first, steps, batch=16):
    data = encode(tok, train_text)
    held_ids = encode(tok, "".join(held))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.95), weight_decay=0.05)
    pick = torch.Generator().manual_seed(1)
    began = time.time()
    for step in range(steps):
        warm = min(1.0, (step + 1) / 50)
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * warm * 0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-5
        at = torch.randint(len(data) - window, (batch,), generator=pick)
        rows = torch.stack([data[i:i + window] for i in at.tolist()])
        if first is not None:
            rows[:, 0] = first  # as in use: a sequence starts with the beginning-of-text token
        loss = model(rows, labels=rows).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step} loss {loss.item():.3f} {time.time() - began:.0f} s", flush=True)
    return {"train_tokens": len(data), "unigram": unigram_entropy(data, held_ids)}


def fresh(name):
    out = os.path.join(here, name)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    return out


def write_json(path, value, indent=2):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, indent=indent, ensure_ascii=False)
        f.write("\n")


def save_llama(model, tok, out):
    model.to(torch.bfloat16).save_pretrained(out)
    tok.save(os.path.join(out, "tokenizer.json"), pretty=False)
    special = {t: tok.token_to_id(t) for t in LLAMA_SPECIAL}
    write_json(os.path.join(out, "tokenizer_config.json"), {
        "added_tokens_decoder": {str(i): {"content": t, "lstrip": False, "normalized": False, "rstrip": False,
                                          "single_word": False, "special": True} for t, i in special.items()},
        "bos_token": LLAMA_SPECIAL[0], "chat_template": CHAT_TEMPLATE, "clean_up_tokenization_spaces": False,
        "eos_token": LLAMA_SPECIAL[1], "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": 256, "tokenizer_class": "PreTrainedTokenizerFast"})
    write_json(os.path.join(out, "special_tokens_map.json"),
               {"bos_token": LLAMA_SPECIAL[0], "eos_token": LLAMA_SPECIAL[1]})


def save_gpt2(model, tok, out):
    """As GPT-2's own files were saved: one torch archive with the mask buffers, the head sharing wte's storage."""
    model.to(torch.float16)
    state = model.state_dict()
    assert state["lm_head.weight"].data_ptr() == state["transformer.wte.weight"].data_ptr()
    n = model.config.n_positions
    for i in range(model.config.n_layer):
        state[f"transformer.h.{i}.attn.bias"] = torch.tril(torch.ones(n, n, dtype=torch.uint8)).view(1, 1, n, n)
    torch.save(dict(state), os.path.join(out, "pytorch_model.bin"))
    config = model.config.to_diff_dict()
    config["n_ctx"] = n
    config["architectures"] = ["GPT2LMHeadModel"]
    write_json(os.path.join(out, "config.json"), dict(sorted(config.items())))
    tok.model.save(out)  # vocab.json, merges.txt
    vocab = json.load(open(os.path.join(out, "vocab.json"), encoding="utf-8"))
    vocab["<|endoftext|>"] = tok.token_to_id("<|endoftext|>")
    write_json(os.path.join(out, "vocab.json"), vocab, indent=None)
    write_json(os.path.join(out, "tokenizer_config.json"), {
        "add_prefix_space": False, "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
        "model_max_length": n, "tokenizer_class": "GPT2Tokenizer", "unk_token": "<|endoftext|>"})


FAMILIES = {
    "llama": dict(folder="tiny-llama", tokenizer=llama_tokenizer, model=llama_model, save=save_llama, tokens=128,
                  bos=LLAMA_SPECIAL[0]),
    "gpt2": dict(folder="tiny-gpt2", tokenizer=gpt2_tokenizer, model=gpt2_model, save=save_gpt2, tokens=100, bos=None),
}


def make(name, steps, text):
    family = FAMILIES[name]
    train_text, held = split_text(text)
    torch.manual_seed(0)
    tok = family["tokenizer"](train_text)
    model = family["model"](tok)
    first = tok.token_to_id(family["bos"]) if family["bos"] else None
    report = train(model, tok, train_text, held, 128, first, steps)
    out = fresh(family["folder"])
    family["save"](model, tok, out)
    saved = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    report["held_out"] = held_out_loss(saved, tok, held, 128, first)
    # Held-out text, from the start of a verse.
    at = held[3].index("\n") + 1
    ids = ([first] if first is not None else []) + encode(tok, held[3][at:]).tolist()
    ids = ids[:family["tokens"]]
    with open(os.path.join(out, "tokens.txt"), "w") as f:
        f.write("\n".join(" ".join(map(str, ids[i:i + 20])) for i in range(0, len(ids), 20)) + "\n")
    np.save(os.path.join(out, "logits_f64.npy"), reference.logits_f64(out, ids))
    size = sum(os.path.getsize(os.path.join(out, f)) for f in os.listdir(out))
    print(f"{family['folder']}: {report['train_tokens']} training tokens, {steps} steps; nats per token on held-out "
          f"text: by frequency {report['unigram']:.3f}, model {report['held_out']:.3f}; {size} bytes with references")
    print(tok.decode(ids)[:200])
    with torch.no_grad():
        said = saved.generate(torch.tensor([ids[:24]]), max_new_tokens=40, do_sample=False)[0].tolist()
    print("continued:", tok.decode(said))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("names", nargs="*", default=list(FAMILIES))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    bible = read_bible()
    for name in options.names:
        make(name, options.steps, bible)
