"""Writes tests/vectors/tokenizers/NAME/: small tokenizer folders as Hugging Face's libraries save them, each with expected.gguf, the
metadata that they mean, written by gguf-py from what transformers and sentencepiece say about the same folder.
Made with tokenizers 0.23.3, transformers 5.23.0, sentencepiece 0.2.3, gguf 0.19.0.

usage: python make_tokenizer_vectors.py OUT_DIR
"""
import json
import sys
from pathlib import Path

import sentencepiece
from gguf import GGUFWriter, SpecialVocab, TokenType
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

TEXT = """In the beginning God created the heaven and the earth. And the earth was without form, and void; and darkness was
upon the face of the deep. And the Spirit of God moved upon the face of the waters. And God said, Let there be light: and there was
light. And God saw the light, that it was good: and God divided the light from the darkness. And God called the light Day, and the
darkness he called Night. And the evening and the morning were the first day. 12 345 6789
"""
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)


def split(regex):
    return pre_tokenizers.Split(Regex(regex), "isolated")


def train(pre, n=300, normalizer=None):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre
    if normalizer:
        t.normalizer = normalizer
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator([TEXT], trainers.BpeTrainer(
        vocab_size=n, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    return t


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def save(t, folder, merges_as_text=False, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    j = json.loads(t.to_str())
    if merges_as_text:
        j["model"]["merges"] = [" ".join(m) for m in j["model"]["merges"]]
    j["model"].update(changes)
    write_json(folder / "tokenizer.json", j)


def looks_special(text):  # the rule of llama.cpp's converter
    return text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]") or (text.startswith("<|") and text.endswith("|>"))


def expect(folder, model, pre, tokens, types, scores=None, extra=lambda w: None, merges=True, n_rows=None):
    w = GGUFWriter(folder / "expected.gguf", "llama")
    if n_rows:  # not a tokenizer key: how many rows the test's embedding has
        w.add_uint32("test.rows", n_rows)
    w.add_tokenizer_model(model)
    w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    if scores is not None:
        w.add_token_scores(scores)
    w.add_token_types(types)
    SpecialVocab(folder, load_merges=merges, n_vocab=len(tokens)).add_to_gguf(w, quiet=True)
    extra(w)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    w.close()


def bpe_rows(folder, n_rows):
    """As llama.cpp's converter reads a byte-level BPE through transformers."""
    t = PreTrainedTokenizerFast.from_pretrained(folder)
    texts = {i: s for s, i in t.get_vocab().items()}
    added = t.added_tokens_decoder
    tokens, types = [], []
    for i in range(n_rows):
        if i not in texts:
            tokens.append(f"[PAD{i}]")
            types.append(TokenType.UNUSED)
        elif i in added:
            control = added[i].special or looks_special(texts[i])
            tokens.append(texts[i] if control else texts[i].replace("\u2581", " "))
            types.append(TokenType.CONTROL if control else TokenType.USER_DEFINED)
        else:
            tokens.append(texts[i])
            types.append(TokenType.NORMAL)
    return tokens, types


def bpe_llama3(folder):
    t = train(pre_tokenizers.Sequence([split(LLAMA3), byte_level(False)]))
    t.add_special_tokens([AddedToken("<|begin|>", special=True), AddedToken("<|end|>", special=True)])
    t.add_tokens([AddedToken("two  spaces", special=False, normalized=True), AddedToken("<|tool|>", special=False),
                  AddedToken("\u2581mark", special=False, normalized=True)])
    t.post_processor = processors.TemplateProcessing(single="<|begin|> $A", pair="<|begin|> $A <|begin|> $B:1",
                                                     special_tokens=[("<|begin|>", 300)])
    save(t, folder, ignore_merges=True)
    write_json(folder / "tokenizer_config.json", {
        "bos_token": "<|begin|>", "eos_token": {"__type": "AddedToken", "content": "<|end|>"},
        "chat_template": [{"name": "tool use", "template": "{{ tools }}"}, {"name": "default", "template": "{{ bos_token }}\n\u00e9"}],
        "model_max_length": 1000000000000000019884624838656})
    write_json(folder / "config.json", {"eos_token_id": [301, 300], "pad_token_id": 302, "vocab_size": 320})
    tokens, types = bpe_rows(folder, 320)
    expect(folder, "gpt2", "llama-bpe", tokens, types, n_rows=320)


def bpe_smollm(folder):
    t = train(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level(True)]), 290)
    t.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    save(t, folder, merges_as_text=True)
    write_json(folder / "tokenizer_config.json", {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
                                                  "add_prefix_space": False})
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m }}{% endfor %}", encoding="utf-8")
    tokens, types = bpe_rows(folder, 291)
    expect(folder, "gpt2", "smollm", tokens, types, extra=lambda w: w.add_add_space_prefix(False))


def bpe_files(folder):
    t = train(byte_level(True), 290)
    t.add_special_tokens([AddedToken("<|endoftext|>", special=True)])
    save(t, folder)
    tokens, types = bpe_rows(folder, 291)
    t.model.save(str(folder))
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    vocab["<|endoftext|>"] = 290
    write_json(folder / "vocab.json", vocab)
    (folder / "tokenizer.json").unlink()
    write_json(folder / "config.json", {"bos_token_id": 290, "eos_token_id": 290})
    expect(folder, "gpt2", "gpt-2", tokens, types, extra=lambda w: w.add_unk_token_id(290))


def bpe_nfc(folder):
    t = train(byte_level(True), 280, normalizers.NFC())
    save(t, folder)
    tokens, types = bpe_rows(folder, 280)
    expect(folder, "gpt2", "olmo", tokens, types, extra=lambda w: w.add_string("lathe.tokenizer.normalizer", '{"type":"NFC"}'))


def bpe_unknown(folder):
    t = train(pre_tokenizers.Sequence([split(LLAMA3.replace("{1,3}", "{1,2}")), byte_level(False)]), 280)
    save(t, folder)
    tokens, types = bpe_rows(folder, 280)
    expect(folder, "gpt2", "dbrx", tokens, types)


def spm(folder):
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.txt"
    corpus.write_text(TEXT, encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus), model_prefix=str(folder / "tokenizer"), model_type="bpe", vocab_size=340, byte_fallback=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, character_coverage=1.0, user_defined_symbols=["<sep>"],
        hard_vocab_limit=False, minloglevel=2)
    corpus.unlink()
    (folder / "tokenizer.vocab").unlink()
    path = folder / "tokenizer.model"
    m = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
    m.trainer_spec.input[:] = []
    m.trainer_spec.model_prefix = ""
    m.pieces[300].score = -1e9  # as LLaMA has for runs of spaces
    m.pieces[301].score = float.fromhex("-0x1.5555560000000p+5")
    path.write_bytes(m.SerializeToString())
    n = len(m.pieces)
    write_json(folder / "tokenizer_config.json", {
        "add_bos_token": True, "add_eos_token": False, "bos_token": {"content": "<s>"}, "eos_token": "</s>", "unk_token": "<unk>",
        "added_tokens_decoder": {
            "0": {"content": "<unk>", "special": True}, "1": {"content": "<s>", "special": True}, "2": {"content": "</s>", "special": True},
            str(n): {"content": "\u2581\u2581word", "special": False}, str(n + 1): {"content": "<|im|>", "special": False}}})
    write_json(folder / "config.json", {"bos_token_id": 1, "eos_token_id": 2})
    p = sentencepiece.SentencePieceProcessor()
    p.Load(str(path))
    tokens, scores, types = [], [], []
    for i in range(n):
        tokens.append(p.IdToPiece(i))
        scores.append(p.GetScore(i))
        types.append(TokenType.UNKNOWN if p.IsUnknown(i) else TokenType.CONTROL if p.IsControl(i) else TokenType.BYTE if p.IsByte(i)
                     else TokenType.USER_DEFINED if tokens[-1] == "<sep>" else TokenType.NORMAL)
    for i in range(3):
        scores[i], types[i] = -1000.0, TokenType.CONTROL
    tokens += ["  word", "<|im|>", f"[PAD{n + 2}]"]
    scores += [-1000.0, -1000.0, -10000.0]
    types += [TokenType.USER_DEFINED, TokenType.CONTROL, TokenType.UNUSED]

    def ids(w):  # gguf-py looks ids up in tokenizer.json only; bos and eos come from config.json, unk from the model
        w.add_unk_token_id(0)
    expect(folder, "llama", "default", tokens, types, scores, extra=ids, merges=False, n_rows=n + 3)


def spm_json(folder):
    """SentencePiece's kind of BPE in tokenizer.json only. Scores are lost there: rank of the first merge that makes a token."""
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2}
    vocab.update({f"<0x{i:02X}>": 3 + i for i in range(256)})
    for s in ["\u2581t", "he", "\u2581the", "er", "\u2581", "t", "h", "e", "r", "never"]:
        vocab[s] = len(vocab)
    merges = [("\u2581", "t"), ("h", "e"), ("\u2581t", "he"), ("e", "r"), ("\u2581th", "e")]
    vocab["\u2581th"] = len(vocab)
    t = Tokenizer(models.BPE(vocab=vocab, merges=merges[:4], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([AddedToken(s, special=True) for s in ("<unk>", "<s>", "</s>")])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B:1", special_tokens=[("<s>", 1)])
    save(t, folder, merges_as_text=True)
    write_json(folder / "tokenizer_config.json", {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    tokens = [s for s, _ in sorted(vocab.items(), key=lambda e: e[1])]
    types = [TokenType.CONTROL if i < 3 else TokenType.BYTE if i < 259 else TokenType.NORMAL for i in range(len(tokens))]
    ranks = {"\u2581t": 0, "he": 1, "\u2581the": 2, "er": 3}
    scores = [-1000.0 if i < 3 else 0.0 if i < 259 else float(-ranks.get(s, 10**9)) for i, s in enumerate(tokens)]
    expect(folder, "llama", "default", tokens, types, scores, merges=False)


CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+@"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*@|#"
         r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPELLED_OUT = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
DEEPSEEK = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
            "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")


def pre_tokenizers_of_the_field(out):
    """pre_tokenizer blocks as published tokenizers have them, and the name llama.cpp has for each (None: it has none)."""
    seq = pre_tokenizers.Sequence
    digits = pre_tokenizers.Digits(individual_digits=True)
    qwen2 = LLAMA3.replace("{1,3}", "")
    removed = pre_tokenizers.Split(Regex(LLAMA3), "removed", invert=True)
    cases = [
        ("gpt-2", byte_level(True), {}),
        ("gpt-2", seq([byte_level(True)]), {}),
        ("gpt-2", seq([split(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"), byte_level(False)]), {}),
        ("olmo", byte_level(True), {"normalizer": {"type": "NFC"}}),
        ("olmo", byte_level(True), {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]}}),
        ("llama-bpe", seq([split(LLAMA3), byte_level(False)]), {"ignore_merges": True}),
        ("llama-bpe", seq([removed, byte_level(False)]), {"ignore_merges": True}),
        ("llama-bpe", seq([split(LLAMA3.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", SPELLED_OUT)), byte_level(False)]), {"ignore_merges": True}),
        ("dbrx", seq([split(LLAMA3), byte_level(False)]), {}),
        ("glm4", seq([split(LLAMA3), byte_level(False)]), {"ignore_merges": True, "token": "[gMASK]"}),
        ("chatglm-bpe", seq([split(LLAMA3), byte_level(False)]), {"token": "[gMASK]"}),
        ("qwen2", seq([split(qwen2), byte_level(False)]), {"normalizer": {"type": "NFC"}}),
        ("qwen35", seq([split(qwen2.replace(r"\p{L}+", r"[\p{L}\p{M}]+").replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")),
                        byte_level(False)]), {"normalizer": {"type": "NFC"}}),
        ("tekken", seq([split(CASED.replace("@", "").replace("#", r"\p{N}")), byte_level(False)]), {"ignore_merges": True}),
        ("gpt-4o", seq([split(CASED.replace("@", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?").replace("#", r"\p{N}{1,3}")), byte_level(False)]), {}),
        ("smollm", seq([digits, byte_level(True)]), {}),
        ("starcoder", seq([digits, byte_level(True)]), {"token": "<fim_prefix>"}),
        ("command-r", seq([digits, byte_level(True)]), {"normalizer": {"type": "NFC"}}),
        ("deepseek-v3", seq([split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(DEEPSEEK), byte_level(False)]), {}),
        ("deepseek-coder", seq([split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"),
                                split("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), digits, byte_level(False)]), {}),
        ("bloom", seq([split(" ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+"), byte_level(False)]), {}),
        (None, seq([pre_tokenizers.Digits(individual_digits=False), byte_level(True)]), {}),
        (None, seq([digits, split(LLAMA3), byte_level(False)]), {}),
        (None, seq([pre_tokenizers.Split(Regex(LLAMA3), "merged_with_next"), byte_level(False)]), {}),
        (None, seq([pre_tokenizers.Punctuation(), byte_level(True)]), {}),
        (None, seq([pre_tokenizers.Split(" ", "isolated"), byte_level(True)]), {}),
    ]
    rows = []
    for name, pre, extra in cases:
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre
        row = {"pre": name, "pre_tokenizer": json.loads(t.to_str())["pre_tokenizer"]}
        row.update(extra)
        rows.append(row)
    write_json(Path(out) / "pre_tokenizers.json", rows)


def main(out):
    for make in (bpe_llama3, bpe_smollm, bpe_files, bpe_nfc, bpe_unknown, spm, spm_json):
        make(Path(out) / make.__name__)
    pre_tokenizers_of_the_field(out)


if __name__ == "__main__":
    main(sys.argv[1])
