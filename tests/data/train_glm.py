"""Trains the embedded GLM on classical Chinese poems. Run inside the environment of tests/interop/setup.sh:

    python tests/data/train_glm.py [--steps N] [--poems FOLDER]

Needs the poems of Debian's package fortunes-zh (tang300 and song100 in /usr/share/games/fortunes). Writes tiny-glm4/
beside this file, laid out as train_tiny.py's folders are. Seeds are fixed; another processor or torch may still give
other weights.
"""
import argparse
import os
import re

import numpy as np
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import train_tiny
from train_tiny import encode, fresh, held_out_loss, here, reference, write_json

SPECIAL = ["<|endoftext|>", "[MASK]", "[gMASK]", "[sMASK]", "<sop>", "<eop>", "<|system|>", "<|user|>", "<|assistant|>",
           "<|observation|>"]
VOCAB, WINDOW, TOKENS = 576, 96, 40
CHAT_TEMPLATE = ("[gMASK]<sop>{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] }}"
                 "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}")


def read_poems(folder):
    """Title, poet and lines of each poem, without the terminal's colours."""
    text = ""
    for name in ("tang300", "song100"):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            text += re.sub(r"\x1b\[\d*m", "", f.read()) + "\n%\n"
    return [p.strip() + "\n" for p in text.split("\n%\n") if p.strip()]


def tokenizer(text):
    """Byte-level BPE with GLM-4's split, special tokens behind the vocabulary."""
    tok = Tokenizer(models.BPE(ignore_merges=True))
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(train_tiny.LLAMA3_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCAB - len(SPECIAL), show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    # single characters, so that merges make characters and not lines of this small text
    tok.train_from_iterator(list(text), trainer)
    tok.add_special_tokens(SPECIAL)
    assert tok.get_vocab_size() == VOCAB
    return tok


def new_model(tok):
    ids = [tok.token_to_id(t) for t in ("<|endoftext|>", "<|user|>", "<|observation|>")]
    return transformers.Glm4ForCausalLM(transformers.Glm4Config(
        vocab_size=VOCAB, hidden_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=1, head_dim=64,
        intermediate_size=256, max_position_embeddings=256, rms_norm_eps=1e-5, attention_bias=False,
        tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 10000.0,
                                                   "partial_rotary_factor": 0.5},
        pad_token_id=ids[0], eos_token_id=ids))


def save(model, tok, out):
    model.to(torch.bfloat16).save_pretrained(out)
    tok.save(os.path.join(out, "tokenizer.json"), pretty=False)
    write_json(os.path.join(out, "tokenizer_config.json"), {
        "added_tokens_decoder": {str(tok.token_to_id(t)): {"content": t, "lstrip": False, "normalized": False, "rstrip": False,
                                                           "single_word": False, "special": True} for t in SPECIAL},
        "chat_template": CHAT_TEMPLATE, "clean_up_tokenization_spaces": False, "eos_token": "<|endoftext|>",
        "model_max_length": 256, "pad_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--poems", default="/usr/share/games/fortunes")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train_tiny.VOCAB = VOCAB
    poems = read_poems(options.poems)
    held = poems[7::16]
    train_text = "".join(p for i, p in enumerate(poems) if i % 16 != 7)
    torch.manual_seed(0)
    tok = tokenizer(train_text)
    model = new_model(tok)
    report = train_tiny.train(model, tok, train_text, held, WINDOW, None, options.steps)
    out = fresh("tiny-glm4")
    save(model, tok, out)
    saved = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    report["held_out"] = held_out_loss(saved, tok, ["".join(held)], WINDOW, None)
    ids = [tok.token_to_id("[gMASK]"), tok.token_to_id("<sop>")] + encode(tok, "".join(held)).tolist()
    ids = ids[:TOKENS]
    with open(os.path.join(out, "tokens.txt"), "w") as f:
        f.write("\n".join(" ".join(map(str, ids[i:i + 20])) for i in range(0, len(ids), 20)) + "\n")
    np.save(os.path.join(out, "logits_f64.npy"), reference.logits_f64(out, ids))
    size = sum(os.path.getsize(os.path.join(out, f)) for f in os.listdir(out))
    print(f"tiny-glm4: {len(poems)} poems, {report['train_tokens']} training tokens, {options.steps} steps; nats per token on "
          f"held-out poems: by frequency {report['unigram']:.3f}, model {report['held_out']:.3f}; {size} bytes with references")
    print(tok.decode(ids))
    with torch.no_grad():
        said = saved.generate(torch.tensor([ids[2:24]]), max_new_tokens=60, do_sample=False)[0].tolist()
    print("continued:", tok.decode(said))
    exact = reference.logits_f64(out, ids)
    off = reference.logits_f32(out, ids) - exact
    print(f"transformers in float32: {np.sqrt((off**2).mean()):.1e} RMS, {np.abs(off).max():.1e} at most, "
          f"|logit| up to {np.abs(exact).max():.1f}")


if __name__ == "__main__":
    main()
