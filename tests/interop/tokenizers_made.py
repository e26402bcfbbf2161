"""Tokenizers in every form that the tools read, with the blocks that published ones have: real vocabularies where llama.cpp's source package carries
them (vocabulary-only GGUF files), else small ones that are trained here."""
import glob
import json
import os
import subprocess
import sys
import tarfile

import numpy as np
import sentencepiece
from gguf import GGUFReader
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from tokenizers import Regex

import stress_text

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = [r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
             r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"]
DEEPSEEK_CODER = [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", r"\p{N}"]


def vocabularies(cache):
    """Folder of ggml-vocab-*.gguf, fetched once with the source package of llama-cpp-python; None when that cannot be had."""
    folder = os.path.join(cache, "vocabularies")
    if glob.glob(folder + "/*.gguf"):
        return folder
    here = os.path.dirname(os.path.abspath(__file__))
    pin = next(line.split("==")[1].strip() for line in open(here + "/requirements.txt") if line.startswith("llama-cpp-python=="))
    made = folder + f".{os.getpid()}"
    os.makedirs(made, exist_ok=True)
    done = subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "llama-cpp-python", "-d", made,
                           f"llama-cpp-python=={pin}"], capture_output=True, text=True)
    archives = glob.glob(made + "/*.tar.gz")
    if done.returncode or not archives:
        return None
    with tarfile.open(archives[0]) as t:
        for m in t.getmembers():
            if "/models/ggml-vocab-" in m.name and m.name.endswith(".gguf"):
                with open(os.path.join(made, os.path.basename(m.name)), "wb") as f:
                    f.write(t.extractfile(m).read())
    os.remove(archives[0])
    os.rename(made, folder)
    return folder


def write_model(folder, n_rows):
    """A model of the least size that lathe-convert takes, so that its tokenizer can be embedded."""
    r = np.random.default_rng(1)
    d = 32
    shapes = {"model.embed_tokens.weight": (n_rows, d), "model.norm.weight": (d,)}
    for n, s in {"input_layernorm": (d,), "post_attention_layernorm": (d,), "self_attn.q_proj": (d, d), "self_attn.k_proj": (d, d), "self_attn.v_proj": (d, d),
                 "self_attn.o_proj": (d, d), "mlp.gate_proj": (d, d), "mlp.up_proj": (d, d), "mlp.down_proj": (d, d)}.items():
        shapes[f"model.layers.0.{n}.weight"] = s
    save_file({k: (r.standard_normal(s) * 0.02).astype(np.float16) for k, s in shapes.items()}, folder + "/model.safetensors")
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": d, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2,
              "intermediate_size": d, "vocab_size": n_rows, "rms_norm_eps": 1e-5, "max_position_embeddings": 512, "tie_word_embeddings": True}
    json.dump(config, open(folder + "/config.json", "w"))


def read_vocabulary(path):
    """Tokens, types, scores, merges of a GGUF."""
    g = GGUFReader(path)

    def strings(key):
        f = g.fields.get("tokenizer.ggml." + key)
        return [bytes(f.parts[i]).decode("utf-8", "surrogateescape") for i in f.data] if f else []

    def numbers(key):
        f = g.fields.get("tokenizer.ggml." + key)
        return [f.parts[i][0] for i in f.data] if f else []
    return strings("tokens"), [int(t) for t in numbers("token_type")], [float(s) for s in numbers("scores")], strings("merges")


def split(regex, behavior="isolated"):
    return pre_tokenizers.Split(Regex(regex), behavior)


BYTES_LAST = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
BYTE_BLOCKS = {
    "gpt-2": (None, lambda: pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "llama-bpe": (None, lambda: pre_tokenizers.Sequence([split(LLAMA3), BYTES_LAST])),
    "qwen2": (normalizers.NFC, lambda: pre_tokenizers.Sequence([split(QWEN2), BYTES_LAST])),
    "gpt-neox": (normalizers.NFC, lambda: pre_tokenizers.ByteLevel(add_prefix_space=False)),
    "starcoder": (None, lambda: pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])),
    "tekken": (None, lambda: pre_tokenizers.Sequence([split(TEKKEN), BYTES_LAST])),
    "deepseek-v3": (None, lambda: pre_tokenizers.Sequence([*(split(p) for p in DEEPSEEK3), BYTES_LAST])),
    "deepseek-coder": (None, lambda: pre_tokenizers.Sequence([*(split(p) for p in DEEPSEEK_CODER), BYTES_LAST])),
    "unknown": (None, lambda: pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), split(r"\p{Lu}\p{Ll}+", "merged_with_next"),
                                                      split(r"\d\d", "merged_with_previous"), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)])),
}


def finish(folder, t, special, ignore_merges=False, bos=None, edit=None):
    """Writes tokenizer.json and its companion."""
    if bos:
        t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, t.token_to_id(bos))])])
    os.makedirs(folder, exist_ok=True)
    t.save(folder + "/tokenizer.json")
    doc = json.load(open(folder + "/tokenizer.json"))
    if "ignore_merges" in doc["model"]:
        doc["model"]["ignore_merges"] = ignore_merges
    if edit:
        edit(doc)
    json.dump(doc, open(folder + "/tokenizer.json", "w"), ensure_ascii=False)
    names = {"bos_token": special[0], "eos_token": special[-1]} if special else {}
    json.dump({"tokenizer_class": "PreTrainedTokenizerFast", **names}, open(folder + "/tokenizer_config.json", "w"))
    write_model(folder, t.get_vocab_size(with_added_tokens=True) + 3)


def real_bytes(folder, source, kind, ignore_merges=False, bos=None):
    """A byte-level tokenizer with a published vocabulary."""
    tokens, types, _, merges = read_vocabulary(source)
    vocab = {s: i for i, s in enumerate(tokens) if types[i] in (1, 3)}
    normalizer, pre = BYTE_BLOCKS[kind]
    t = Tokenizer(models.BPE(vocab=vocab, merges=[tuple(m.split(" ", 1)) for m in merges]))
    if normalizer:
        t.normalizer = normalizer()
    t.pre_tokenizer = pre()
    t.decoder = decoders.ByteLevel()
    added = [{"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": types[i] == 4, "special": types[i] == 3}
             for i, s in enumerate(tokens) if types[i] in (3, 4)]
    special = [a["content"] for a in added if a["special"]]
    finish(folder, t, [], ignore_merges, None, lambda doc: doc.__setitem__("added_tokens", added))
    if bos:
        doc = json.load(open(folder + "/tokenizer.json"))
        t = Tokenizer.from_str(json.dumps(doc))
        finish(folder, t, [bos], ignore_merges, bos)
    write_model(folder, len(tokens))
    return special


def texts():
    return stress_text.lines(3000) + [open(__file__).read()] + stress_text.SENTENCES * 20


def trained_bytes(folder, kind, ignore_merges=False, bos=None, n=1500):
    normalizer, pre = BYTE_BLOCKS[kind]
    t = Tokenizer(models.BPE())
    if normalizer:
        t.normalizer = normalizer()
    t.pre_tokenizer = pre()
    t.decoder = decoders.ByteLevel()
    special = ["<|begin|>", "<|end|>"]
    t.train_from_iterator(texts(), trainers.BpeTrainer(vocab_size=n, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    if kind == "gpt-neox":
        from tokenizers import AddedToken
        t.add_tokens([AddedToken(" " * k, normalized=True) for k in range(24, 1, -1)] + [AddedToken("word", single_word=True), AddedToken("<l>", lstrip=True), AddedToken("<r>", rstrip=True)])
    finish(folder, t, special, ignore_merges, bos)
    return special


def split_scores(tokens, scores):
    """All splits of each piece as merges, best piece first, as transformers translates a SentencePiece model."""
    known = {s: i for i, s in enumerate(tokens)}
    merges = []
    for s, i in known.items():
        local = [(s[:k], s[k:]) for k in range(1, len(s)) if s[:k] in known and s[k:] in known]
        local.sort(key=lambda p: (known[p[0]], known[p[1]]))
        merges += [(p, scores[i]) for p in local]
    merges.sort(key=lambda m: m[1], reverse=True)
    return [m[0] for m in merges]


def llama2_json(folder, source, metaspace=False):
    """SentencePiece's vocabulary as tokenizer.json: BPE with byte fallback, in both of transformers' spellings."""
    tokens, types, scores, _ = read_vocabulary(source)
    pieces = [(s, sc) for s, sc, ty in zip(tokens, scores, types) if ty == 1]
    vocab = {s: i for i, s in enumerate(tokens)}
    t = Tokenizer(models.BPE(vocab=vocab, merges=split_scores([p[0] for p in pieces], [p[1] for p in pieces]), unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    strip = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    t.decoder = decoders.Sequence(strip)
    if metaspace:
        t.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    else:
        t.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    t.add_special_tokens(["<unk>", "<s>", "</s>"])
    finish(folder, t, ["<s>", "</s>"])
    write_model(folder, len(tokens))
    return ["<s>", "</s>"]


def sentence_piece(folder, kind, **options):
    os.makedirs(folder, exist_ok=True)
    corpus = folder + "/corpus.txt"
    with open(corpus, "w") as f:
        f.write("\n".join(stress_text.SENTENCES * 3 + stress_text.CODE * 3) + "\n" + open(__file__).read() + open(stress_text.__file__).read())
    sentencepiece.SentencePieceTrainer.train(input=corpus, model_prefix=folder + "/tokenizer", model_type=kind, max_sentence_length=20000, num_threads=1, minloglevel=2, **options)
    os.remove(corpus)
    os.remove(folder + "/tokenizer.vocab")
    sp = sentencepiece.SentencePieceProcessor(model_file=folder + "/tokenizer.model")
    write_model(folder, sp.get_piece_size() + 2)
    return []


def t5_json(folder, model):
    """A unigram model as tokenizer.json, as transformers translates T5's."""
    from sentencepiece import sentencepiece_model_pb2 as pb
    m = pb.ModelProto()
    m.ParseFromString(open(model, "rb").read())
    t = Tokenizer(models.Unigram([(p.piece, p.score) for p in m.pieces], unk_id=m.trainer_spec.unk_id, byte_fallback=m.trainer_spec.byte_fallback))
    t.normalizer = normalizers.Sequence([normalizers.Precompiled(m.normalizer_spec.precompiled_charsmap), normalizers.Replace(Regex(" {2,}"), "▁")])
    t.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="always")
    t.decoder = decoders.Metaspace("▁", prepend_scheme="always")
    t.add_special_tokens([p.piece for p in m.pieces if p.type == 3])
    t.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", t.token_to_id("</s>"))])
    finish(folder, t, ["</s>"])
    return ["</s>"]


def gpt1(folder):
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>", continuing_subword_prefix="", fuse_unk=False))
    t.normalizer = normalizers.BertNormalizer(lowercase=True)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.BPEDecoder("</w>")
    t.train_from_iterator(texts(), trainers.BpeTrainer(vocab_size=1500, special_tokens=["<unk>"], end_of_word_suffix="</w>", limit_alphabet=400, show_progress=False))
    os.makedirs(folder, exist_ok=True)
    t.model.save(folder)
    n = t.get_vocab_size()
    config = {"architectures": ["OpenAIGPTLMHeadModel"], "model_type": "openai-gpt", "vocab_size": n, "n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 2, "afn": "gelu"}
    json.dump(config, open(folder + "/config.json", "w"))
    r = np.random.default_rng(1)
    e = 32
    shapes = {"tokens_embed.weight": (n, e), "positions_embed.weight": (64, e), "h.0.attn.c_attn.weight": (e, 3 * e), "h.0.attn.c_attn.bias": (3 * e,),
              "h.0.attn.c_proj.weight": (e, e), "h.0.attn.c_proj.bias": (e,), "h.0.ln_1.weight": (e,), "h.0.ln_1.bias": (e,), "h.0.mlp.c_fc.weight": (e, 4 * e),
              "h.0.mlp.c_fc.bias": (4 * e,), "h.0.mlp.c_proj.weight": (4 * e, e), "h.0.mlp.c_proj.bias": (e,), "h.0.ln_2.weight": (e,), "h.0.ln_2.bias": (e,)}
    save_file({k: (r.standard_normal(s) * 0.02).astype(np.float32) for k, s in shapes.items()}, folder + "/model.safetensors")
    t.save(folder + "/peer.json")
    return []
